import type { EntryId } from '../../model/entry.js';
import type { Entry, SegmentReader } from '../../segment/segment-reader.js';
import type { RecoveredSegment } from '../../segment/segment.js';

/**
 * What becomes of a segment found when a log is opened. `abandon` gives its entries up: once the log is open nothing
 * shows them again, whoever holds them.
 *
 * @example
 * const shouldRecoverSegment = ({ versionInfo }: RecoveredSegment): Recovery => {
 *   return Buffer.from(versionInfo).toString() === 'v0' ? 'abandon' : 'recover';
 * };
 * const mine = await WriteAheadLog.recover('mine', { ...LogVoid, shouldRecoverSegment }, options);
 * await mine.shutdown();
 */
export type Recovery = 'recover' | 'abandon';

/**
 * What the user provides: how to replay an entry, and how to persist those of a full segment.
 * `Log` is the WriteAheadLog; this module does not know it, so that imports go downward only.
 */
export interface LogManagerOf<Log> {
  /**
   * Opens or loads your storage. Called once for each opening, before everything else and before the first entry, when
   * the log owns its directory: no other process is writing, so the storage may be in it. The answer can be the id of
   * the last entry that is stored: then only later ones are handed over, to `recover` and to `checkpointTo`, and the
   * log gives no id up to that one again, even if it has lost such entries. They must be stored durably, and
   * with all before them. An error makes opening fail with `WAL_LOG_MANAGER_FAILED` and leaves the log as it was.
   */
  open?(): EntryId | void | Promise<EntryId | void>;

  /**
   * Asked of every segment that holds the log, oldest first, before its entries are recovered. Without
   * this method every segment is recovered.
   */
  shouldRecoverSegment?(segment: RecoveredSegment): Recovery | Promise<Recovery>;

  /**
   * Takes one committed entry, in id order. Called for every entry that has not been checkpointed, and it
   * can be called again for entries that were checkpointed just before a crash: apply each id once.
   * `entry` can be read until what this returns has settled. An error makes opening fail with
   * `WAL_LOG_MANAGER_FAILED` and leaves the log as it was.
   */
  recover(entry: Entry): void | Promise<void>;

  /**
   * Persists the entries of a full segment, the last of which is `lastId`. When this returns, or what it
   * returns resolves, they must be synced to your storage: the log forgets them then. It may be called
   * again for the same entries, after an error or a crash, unless `open` answers that they are stored. Commits
   * continue meanwhile. Do not await `log.shutdown()` here: it waits for this call.
   *
   * It may take as long as it likes, for instance to wait until it is worth the work. `signal` is aborted when the log
   * is shut down or has failed, or does not need these entries persisted. To reject with its reason, or with an
   * AbortError, is no failure then: it is not reported, and the entries are handed over again after the next recovery.
   */
  checkpointTo(lastId: EntryId, entries: SegmentReader, log: Log, signal: AbortSignal): void | Promise<void>;
}
