import { ignoreRejection } from '../../base/async.js';
import { show } from '../../base/bytes.js';
import { messageOf, WalError } from '../../base/errors.js';
import { assertId, type EntryId } from '../../model/entry.js';
import { SegmentReader, type Entry } from '../../segment/segment-reader.js';
import type { RecoveredSegment, Segment } from '../../segment/segment.js';
import type { LogManagerOf } from '../checkpoint/log-manager.js';
import type { Persisting } from '../checkpoint/persisting.js';
import type { RecoveryTarget } from '../recover/entry-replay.js';

/** A checkpoint yields to commits at every block it reads: a larger one makes them wait for all the entries in it. */
const CHECKPOINT_BLOCK_BYTES = 16 * 1024;

/** Speaks with the log's owner: whatever its LogManager throws becomes a `WAL_LOG_MANAGER_FAILED`. */
export class ManagerCalls<Log> implements RecoveryTarget {
  readonly #manager: LogManagerOf<Log>;
  readonly #blockBytes: number;
  /** Entries up to here are stored: the manager said so when it was opened. */
  #storedId: EntryId = 0;

  /** Throws a TypeError for anything but a LogManager. */
  constructor(manager: LogManagerOf<Log>, bufferBytes: number) {
    assertManager(manager);
    this.#manager = manager;
    this.#blockBytes = Math.min(bufferBytes, CHECKPOINT_BLOCK_BYTES);
  }

  async open(): Promise<EntryId> {
    try {
      this.#storedId = assertStoredId(await this.#manager.open?.());
      return this.#storedId;
    } catch (error) {
      throw managerError('open', error);
    }
  }

  async shouldRecover(segment: RecoveredSegment): Promise<boolean> {
    if (this.#manager.shouldRecoverSegment === undefined) return true;
    try {
      return assertRecovery(await this.#manager.shouldRecoverSegment(segment)) === 'recover';
    } catch (error) {
      throw managerError('shouldRecoverSegment', error, segment);
    }
  }

  recover(entry: Entry): void | Promise<void> {
    try {
      const settled = this.#manager.recover(entry);
      if (typeof settled?.then !== 'function') return undefined;
      return Promise.resolve(settled).catch((error: unknown) => {
        throw managerError('recover', error, entry.segment);
      });
    } catch (error) {
      throw managerError('recover', error, entry.segment);
    }
  }

  /**
   * Has a closed segment's entries persisted, unless it holds nothing that the owner wants. When that is dropped
   * nothing more of it can be read, and this rejects without waiting for the owner.
   */
  async persist(segment: Segment, log: Log, { signal, dropped }: Persisting): Promise<void> {
    if (segment.isEmpty) return;
    const reader = new SegmentReader(segment, this.#blockBytes, this.#storedId);
    // Before the manager is called, which may be what aborts it.
    const abandoned = whenAborted(dropped);
    try {
      signal.throwIfAborted();
      await Promise.race([this.#manager.checkpointTo(segment.lastId, reader, log, signal), abandoned]);
    } catch (error) {
      throw managerError('checkpointTo', error, segment);
    } finally {
      reader.close();
    }
  }
}

function assertManager(manager: unknown): void {
  const candidate = manager as Partial<LogManagerOf<unknown>> | null | undefined;
  for (const method of ['recover', 'checkpointTo'] as const) {
    if (typeof candidate?.[method] !== 'function') throw new TypeError(`the LogManager must have a method ${method}`);
  }
  for (const method of ['open', 'shouldRecoverSegment'] as const) {
    if (!['function', 'undefined'].includes(typeof candidate?.[method])) {
      throw new TypeError(`the LogManager's ${method} must be a method`);
    }
  }
}

function assertRecovery(answer: unknown): 'recover' | 'abandon' {
  if (answer === 'recover' || answer === 'abandon') return answer;
  throw new TypeError(`shouldRecoverSegment must answer 'recover' or 'abandon', not ${show(answer)}`);
}

function assertStoredId(answer: unknown): EntryId {
  if (answer === undefined) return 0;
  assertId('the answer of open', answer);
  return answer as EntryId;
}

function managerError(method: string, cause: unknown, segment?: { readonly segmentId: number }): WalError {
  const details = segment === undefined ? { cause } : { cause, segmentId: segment.segmentId };
  return new WalError('WAL_LOG_MANAGER_FAILED', `the LogManager's ${method} failed: ${messageOf(cause)}`, details);
}

/** Rejects when `signal` is aborted, whether anybody waits for that or not. */
function whenAborted(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  ignoreRejection(aborted);
  return aborted;
}
