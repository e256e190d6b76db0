/**
 * The file `LOCK.takeover`: the directory has been taken from an owner that may still run, and nothing has made its
 * late writes harmless yet.
 *
 * It is created before that owner's record is removed. So every opener that gets in later finds it, whichever opener
 * removed the record, and also if the one that took over has died or failed meanwhile.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { hasCode } from '../../base/errno.js';

/** To be called before anything of the previous owner is removed or written over. */
export async function markTakeover(directory: string): Promise<void> {
  await (await fs.open(markPath(directory), 'a')).close();
  await syncNames(directory);
}

/** To be called by the owner: a mark that it does not find now belongs to a later takeover, which is its own loss. */
export async function isTakeoverMarked(directory: string): Promise<boolean> {
  try {
    await fs.stat(markPath(directory));
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** To be called by the owner, while its ownership can be relied on. */
export async function clearTakeover(directory: string): Promise<void> {
  await fs.rm(markPath(directory), { force: true });
}

function markPath(directory: string): string {
  return path.join(directory, 'LOCK.takeover');
}

async function syncNames(directory: string): Promise<void> {
  // Windows cannot open a directory for this.
  if (process.platform === 'win32') return;
  const handle = await fs.open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
