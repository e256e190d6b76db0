import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { hasCode } from '../../base/errno.js';
import { decodeHolds, type StoredHolds } from '../../format/holds-format.js';
import { HOLDS_FILE_NAME } from '../../format/file-names.js';

export const HOLDS_DAMAGE = `${HOLDS_FILE_NAME}, which says what is kept and what is checkpointed, is damaged`;

/** What keeps checkpointed entries in the log; undefined if nothing does, `damaged` if that cannot be told. */
export async function readHolds(directory: string): Promise<StoredHolds | 'damaged' | undefined> {
  try {
    return decodeHolds(await readFile(path.join(directory, HOLDS_FILE_NAME))) ?? 'damaged';
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
