import { open } from 'node:fs/promises';
import path from 'node:path';
import {
  decodeHeader, decodeLink, LINK_LENGTH, MAX_HEADER_LENGTH, type SegmentHeader,
} from '../contracts/segment-format.js';
import type { EntryId, SegmentInfo } from '../index.js';

/** The header of a segment file; undefined if it is not valid. */
export async function readHeader(file: string): Promise<SegmentHeader | undefined> {
  return validHeader(await firstBytes(file));
}

/** The highest id given out before a segment, as far as its own beginning tells. */
export async function lastIdBefore(directory: string, segment: SegmentInfo): Promise<EntryId> {
  const { name, segmentId, formatVersion } = segment;
  const named = segmentId - 1;
  if (formatVersion === 0) return named;
  const bytes = await firstBytes(path.join(directory, name)).catch((error: NodeJS.ErrnoException) => {
    // It has been checkpointed meanwhile.
    if (error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  });
  const header = validHeader(bytes);
  if (header === undefined || bytes.length < header.length + LINK_LENGTH) return named;
  return decodeLink(bytes, header.length, header.seed, header.length)?.lastId ?? named;
}

function validHeader(bytes: Buffer): SegmentHeader | undefined {
  const header = decodeHeader(bytes);
  return header === undefined || 'unknownVersion' in header ? undefined : header;
}

async function firstBytes(file: string): Promise<Buffer> {
  const handle = await open(file);
  try {
    const length = MAX_HEADER_LENGTH + LINK_LENGTH;
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
