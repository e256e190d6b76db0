import type { EntryId } from '../index.js';
import { readBody } from './bodies.js';
import { ArchiveError } from './errors.js';
import type { StoredSnapshot } from './index-format.js';
import type { SlotStore } from './slot-store.js';

/**
 * The state of the user's storage with all entries up to one of them. Iterating over it yields its bytes in pieces.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const snapshots: readonly SnapshotInfo[] = reader.snapshots;
 * console.log(snapshots.length); // 0
 * await archive.close();
 */
export interface SnapshotInfo extends AsyncIterable<Uint8Array> {
  /** The last entry that it includes. */
  readonly lastId: EntryId;
  /** When it was taken. */
  readonly time: Date;
}

export function snapshotOf(at: SlotStore, snapshot: StoredSnapshot): SnapshotInfo {
  const { lastId, time } = snapshot;
  const missing = async (): Promise<Error> => {
    const message = `the snapshot up to entry ${lastId} is not in the archive any more: there is a later one`;
    return new ArchiveError('ARCHIVE_GONE', message, { lastId });
  };
  return { lastId, time: new Date(time), [Symbol.asyncIterator]: () => readBody(at, snapshot, missing) };
}
