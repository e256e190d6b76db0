import { createReadStream } from 'node:fs';
import path from 'node:path';
import { parseSegmentName } from '../../format/file-names.js';
import type { Damage } from './damage.js';
import { readHeader } from './segment-head.js';

/** The segment files from which no entry is read, by name. */
export interface IdleFiles {
  /** They hold nothing. */
  readonly spares: string[];
  /** They have a segment's name, and no bytes but zeros. */
  readonly empty: string[];
  /** They hold something that cannot be read: nobody should delete them. */
  readonly unreadable: string[];
}

const ZEROS = Buffer.alloc(64 * 1024);

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

async function kindOf(file: string): Promise<keyof IdleFiles> {
  try {
    if ((await readHeader(file)) !== undefined) return 'spares';
    return (await isAllZeros(file)) ? 'empty' : 'unreadable';
  } catch (error) {
    // The owner of the log has put it to use meanwhile.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'spares';
    throw error;
  }
}

async function isAllZeros(file: string): Promise<boolean> {
  for await (const block of createReadStream(file, { highWaterMark: ZEROS.length }) as AsyncIterable<Buffer>) {
    if (!block.equals(ZEROS.subarray(0, block.length))) return false;
  }
  return true;
}
