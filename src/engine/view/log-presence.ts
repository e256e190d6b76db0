import path from 'node:path';
import { hasCode } from '../../base/errno.js';
import type { FileHandle, FileManager } from '../../files/file-manager.js';
import { isAllZeros, readFully, withFile } from '../../files/transfer.js';
import { parseSegmentName, type SegmentName } from '../../format/file-names.js';
import { provenEnd } from '../../segment/proof.js';
import { Segment } from '../../segment/segment.js';
import { readHeader } from '../../segment/segment-header.js';
import { openScanner, readFirstLink } from './segment-chain.js';

/** Whether a directory contains files that are named like a log's segments. It need not be there. */
export async function hasSegmentFiles(fileManager: FileManager, directory: string): Promise<boolean> {
  const names = await fileManager.list(directory).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
  return names.some((name) => parseSegmentName(name) !== undefined);
}

/**
 * Whether a directory contains a log, or what is left of one, whole or damaged. Not if all that is there was prepared
 * by a creation that was interrupted: the first link of a log is what makes it one.
 */
export async function containsLog(fileManager: FileManager, directory: string, blockBytes: number): Promise<boolean> {
  for (const name of await fileManager.list(directory)) {
    const parsed = parseSegmentName(name);
    if (parsed === undefined) continue;
    const isUsed = await withFile(fileManager, path.join(directory, name), { access: 'read' }, (file) => {
      return wasUsed(file, name, parsed, blockBytes);
    });
    if (isUsed) return true;
  }
  return false;
}

async function wasUsed(file: FileHandle, name: string, parsed: SegmentName, blockBytes: number): Promise<boolean> {
  const header = await readHeader((target, offset) => readFully(file, target, offset));
  // A crash in the middle of a new header leaves anything, such as another version, where the name is a spare's.
  if (header === undefined) return !parsed.checkpointed && !(await isAllZeros(file));
  if ('unknownVersion' in header) return !parsed.checkpointed;
  const segment = new Segment(header, header.segmentId ?? parsed.id, name, file);
  if (!header.format.isLinked) return !parsed.checkpointed || hasEntry(segment, blockBytes);
  if ((await readFirstLink(segment)) !== undefined) return true;
  return (await provenEnd(segment, segment.start, blockBytes)) > segment.start;
}

async function hasEntry(segment: Segment, blockBytes: number): Promise<boolean> {
  return (await (await openScanner(segment, blockBytes)).next()) !== undefined;
}
