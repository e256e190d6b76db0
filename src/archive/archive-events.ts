import type { EntryId } from '../index.js';
import type { ArchiveError } from './errors.js';
import type { RequestFailure } from './slot-store.js';

/**
 * What an archive reports besides what its methods return.
 *
 * @example
 * import { EventEmitter } from 'node:events';
 *
 * const watch = (archive: EventEmitter<ArchiveEvents>) => {
 *   archive.on('fenced', ({ from, to }) => console.error(`only this machine has the entries ${from} to ${to}`));
 *   archive.on('failed', (error) => console.error(error));
 *   archive.on('requestFailed', ({ error, retryInMs }) => console.error(error, `again in ${retryInMs} ms`));
 * };
 * watch(new EventEmitter());
 */
export interface ArchiveEvents {
  /** An object with the entries up to `lastId` has been stored. */
  archived: [{ lastId: EntryId; entries: number; bytes: number }];
  /**
   * Another writer has taken the archive over: this one archives nothing more. Only this log has the entries `from` to
   * `to`, which is less than `from` if there are none.
   */
  fenced: [{ from: EntryId; to: EntryId; error: ArchiveError }];
  /** Nothing more is archived: an `ARCHIVE_GAP` or `ARCHIVE_AHEAD`, or an error of the log. */
  failed: [unknown];
  /** The store has not answered a request, or has refused it. It is sent again after `retryInMs`. */
  requestFailed: [RequestFailure];
  /** The log has kept as much for the archive as it may, and keeps nothing any more. */
  holdBroken: [{ from: EntryId; retainedBytes: number }];
}
