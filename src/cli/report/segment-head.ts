import { open } from 'node:fs/promises';
import { decodeHeader, MAX_HEADER_LENGTH, type SegmentHeader } from '../../format/segment-format.js';

/** The header of a segment file; undefined if it is not valid. */
export async function readHeader(file: string): Promise<SegmentHeader | undefined> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_HEADER_LENGTH), 0, MAX_HEADER_LENGTH, 0);
    const header = decodeHeader(buffer.subarray(0, bytesRead));
    return header === undefined || 'unknownVersion' in header ? undefined : header;
  } finally {
    await handle.close();
  }
}
