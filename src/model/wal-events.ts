import type { WalError } from '../base/errors.js';
import type { EntryId } from './entry.js';

/**
 * What a log reports besides what its methods return.
 *
 * @example
 * log.on('checkpointFailed', ({ error, retryInMs }) => console.error(`${error.message}; again in ${retryInMs} ms`));
 * log.on('failed', (error) => console.error(error.message));
 */
export interface WalEvents {
  /**
   * A segment's entries, the last of which is `lastId`, are in the owner's storage, or released by it. They are gone
   * from the log unless a hold keeps them.
   */
  checkpoint: [{ segmentId: number; lastId: EntryId }];
  /**
   * A checkpoint failed and is tried again after `retryInMs`; nothing was freed. Where nothing listens, neither here
   * nor on its channel, the first of a log is a process warning with the code `WAL_CHECKPOINT_FAILED`: the log would
   * only grow, and nothing else would show it.
   */
  checkpointFailed: [{ error: WalError; segmentId: number; attempt: number; retryInMs: number }];
  /** The log went on to a new segment. */
  segment: [{ segmentId: number }];
  /** A hold has kept more bytes than it may, and keeps nothing any more. */
  holdBroken: [{ name: string; from: EntryId; retainedBytes: number }];
  /** A write or sync failed: the log must be shut down and recovered. */
  failed: [WalError];
}
