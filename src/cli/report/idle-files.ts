import path from 'node:path';
import { hasCode } from '../../base/errno.js';
import { isAllZeros, readFully, withFile } from '../../files/transfer.js';
import { parseSegmentName } from '../../format/file-names.js';
import { NodeFileManager } from '../../index.js';
import { readHeader } from '../../segment/segment-header.js';
import type { Damage } from './damage.js';

/** The segment files from which no entry is read, by name. */
export interface IdleFiles {
  /** They hold nothing. */
  readonly spares: string[];
  /** They have a segment's name, and no bytes but zeros. */
  readonly empty: string[];
  /** They hold something that cannot be read: they should not be deleted. */
  readonly unreadable: string[];
}

/** Tells the files that a reader calls spare apart, for it only says that it found nothing in them. */
export async function sortIdle(
  directory: string, names: readonly string[], damage: readonly Damage[],
): Promise<IdleFiles> {
  const idle: IdleFiles = { spares: [], empty: [], unreadable: [] };
  for (const name of names) {
    const { id, checkpointed } = parseSegmentName(name) ?? { id: 0, checkpointed: true };
    const kind = checkpointed ? 'spares' : await kindOf(path.join(directory, name));
    const isMissed = damage.some(({ segmentId }) => segmentId === id);
    idle[kind === 'spares' && !checkpointed && isMissed ? 'unreadable' : kind].push(name);
  }
  return idle;
}

/** What to say of the empty ones, unless damage that was found says it. */
export function emptyNotes({ empty }: IdleFiles, damage: readonly Damage[]): string[] {
  const unexplained = empty.filter((name) => !damage.some(({ segmentId }) => segmentId === parseSegmentName(name)?.id));
  return unexplained.map((name) => `${name} is empty: never used, or emptied`);
}

async function kindOf(name: string): Promise<keyof IdleFiles> {
  try {
    return await withFile(new NodeFileManager(), name, { access: 'read' }, async (file) => {
      const header = await readHeader((target, offset) => readFully(file, target, offset));
      if (header !== undefined && !('unknownVersion' in header)) return 'spares';
      return (await isAllZeros(file)) ? 'empty' : 'unreadable';
    });
  } catch (error) {
    // The owner of the log has put it to use meanwhile.
    if (hasCode(error, 'ENOENT')) return 'spares';
    throw error;
  }
}
