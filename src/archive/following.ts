import type { EntryId, WriteAheadLog } from '../index.js';
import type { EntryToArchive } from './entries-format.js';

/** The entries of a log from one of them on, and those to come. */
export interface Following {
  /** Rejects once the log is truncated before an entry that it has given out, or before the one it began with. */
  readonly entries: AsyncIterator<EntryToArchive, unknown>;
  /** How often the log had been truncated when it began. */
  readonly truncations: number;
}

export function follow(log: WriteAheadLog, from: EntryId): Following {
  const entries = log.entries({ from, follow: true }) as AsyncIterator<EntryToArchive, unknown>;
  return { entries, truncations: log.truncations.length };
}

/** The lowest id after which the log has been truncated since it had been `truncations` times; Infinity if none. */
export function truncatedAfter(log: WriteAheadLog, truncations: number): number {
  return Math.min(Infinity, ...log.truncations.slice(truncations));
}
