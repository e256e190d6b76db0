import fs from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import { hasCode } from '../../base/errno.js';

/**
 * Whether the file at `file` is the one that `expected` describes. That one must be open, or have a name that no other
 * file gets: the system can give the number of a file that is gone to another.
 */
export async function isSameFile(file: string, expected: BigIntStats): Promise<boolean> {
  try {
    const { dev, ino } = await fs.stat(file, { bigint: true });
    return dev === expected.dev && ino === expected.ino;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
