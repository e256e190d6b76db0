import { assert } from '../../base/assert.js';
import type { Environment } from '../../base/environment.js';
import { toWalError, type WalError } from '../../base/errors.js';
import { Waiters } from '../../base/waiters.js';
import type { EntryId } from '../../model/entry.js';
import type { Segment } from '../../segment/segment.js';
import type { Lifecycle } from '../directory/lifecycle.js';
import type { SpareFiles } from '../directory/spare-files.js';
import { Persisting } from './persisting.js';
import { Retirement, type Retention } from './retirement.js';
import { RetryingWorker } from './retrying-worker.js';

export interface CheckpointerEvents {
  /** Persists a segment's entries. When it resolves they are safe outside the log. Rejects at once if it is dropped. */
  persist(segment: Segment, persisting: Persisting): Promise<void>;
  /** The segment's entries are safe elsewhere. */
  onCheckpointed(segment: Segment): void;
  /** From here on no new hold can keep the segment's entries. */
  onRetiring(segment: Segment): void;
  /** The segment's file is about to be reused. */
  onRetired(segment: Segment): void;
  /** `attempt` counts from 1; the next comes after `retryInMs`. */
  onFailed(error: WalError, segmentId: number, attempt: number, retryInMs: number): void;
}

/**
 * Hands full segments to the user's storage, one at a time and in order, and has their files freed.
 * A failure frees nothing and is tried again, with growing pauses. Commits never wait for any of this.
 */
export class Checkpointer {
  /** What becomes of segments that have been checkpointed. */
  readonly retirement: Retirement;
  readonly #lifecycle: Lifecycle;
  readonly #events: CheckpointerEvents;
  readonly #segments: Segment[] = [];
  readonly #worker: RetryingWorker<Segment>;
  /** Callers that wait until a segment has been checkpointed. */
  readonly #waiters = new Waiters<Segment>();
  /** What is running. */
  #persisting: Persisting | undefined;
  /** Entries below this id need not be persisted: the user has released them. */
  #releasedBelow: EntryId = 0;
  /** Entries up to here were stored before the log was opened. */
  #storedId: EntryId = 0;
  /** Whether nothing is begun until `resume`. */
  #isSuspended = false;
  lastError: WalError | undefined;

  constructor(
    lifecycle: Lifecycle, pool: SpareFiles, environment: Environment, retention: Retention, events: CheckpointerEvents,
  ) {
    this.#lifecycle = lifecycle;
    this.#events = events;
    lifecycle.onFailed(() => void this.stop());
    const onFailed = (error: unknown, segment: Segment, attempt: number, retryInMs: number): void => {
      this.lastError = toWalError(error, `segment ${segment.segmentId} cannot be checkpointed`);
      this.retirement.turnAway(this.lastError, (id) => segment.lastId < id);
      this.#waiters.reject(this.lastError);
      this.#events.onFailed(this.lastError, segment.segmentId, attempt, retryInMs);
    };
    const isHalted = (): boolean => this.#isHalted;
    this.retirement = new Retirement({ pool, environment, retention, queued: this.#segments, isHalted }, {
      onRetiring: (segment) => this.#events.onRetiring(segment),
      onRetired: (segment) => this.#events.onRetired(segment),
      onNotRecycled: (error, segment) => {
        this.lastError = toWalError(error, `the file of segment ${segment.segmentId} cannot be recycled`);
      },
      onFailed,
    });
    this.#worker = new RetryingWorker(environment, {
      next: () => (this.#isHalted ? undefined : this.#segments[0]),
      do: (segment) => this.#checkpoint(segment),
      onFailed,
    });
  }

  /** The segments that have not been checkpointed yet, oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Entries up to here are about to be freed: the user has released their segments. */
  get releasingId(): EntryId {
    return this.retirement.below(this.#releasedBelow).at(-1)?.lastId ?? 0;
  }

  /** Entries up to here are safe outside the log, although their segment may still be there. */
  get persistedId(): EntryId {
    // One whose file could not be freed is the next to be.
    const isSafe = ({ phase }: Segment): boolean => phase === 'held' || phase === 'checkpointed';
    const segment = [...this.retirement.held, ...this.#segments].findLast(isSafe);
    return Math.max(segment?.lastId ?? 0, this.#storedId);
  }

  /** Entries up to `id` were stored before the log was opened: they are not persisted again. */
  stored(id: EntryId): void {
    assert(this.#segments.length === 0, 'what is stored is known before the first segment is closed');
    this.#storedId = id;
  }

  /** Takes a segment that is durable to its end and will not be written again. */
  enqueue(segment: Segment): void {
    assert(segment.phase === 'closed' || segment.phase === 'discarded', 'only a closed segment is checkpointed');
    this.#segments.push(segment);
    this.#worker.start();
  }

  /**
   * Frees the segments that hold only entries below `id`, as if they had been persisted. Resolves when they are freed.
   * Rejects if one cannot be freed; that is tried again.
   */
  async release(id: EntryId): Promise<void> {
    this.#releasedBelow = Math.max(this.#releasedBelow, id);
    // Those that are there now: what is closed later is not waited for.
    const inTheWay = this.retirement.below(id);
    if (inTheWay.length === 0) return;
    const { refusal } = this.#lifecycle;
    if (refusal !== undefined) throw refusal;
    const freed = this.retirement.whenFreed(inTheWay);
    if (this.#segments.length > 0 && this.#segments[0].lastId < id) this.#persisting?.drop();
    this.#worker.hurry();
    await freed;
  }

  /** Begins nothing until `resume`, and drops what is being persisted, if it is one of `segments`. */
  async suspend(segments: ReadonlySet<Segment>): Promise<void> {
    assert(!this.#isSuspended, 'checkpoints are suspended once at a time');
    this.#isSuspended = true;
    if (this.#persisting !== undefined && segments.has(this.#segments[0])) this.#persisting.drop();
    this.#worker.hurry();
    await this.retirement.idle();
    // What is being persisted now is none of them, and may take as long as it likes.
    if (this.#persisting?.dropped.aborted !== false) await this.#worker.idle();
  }

  /**
   * Resolves when every segment that waits for its checkpoint now has been checkpointed, or is no part of the log any
   * more. Rejects with the error of the next checkpoint that fails, and when there will be none any more.
   */
  async whenEmpty(): Promise<void> {
    const { refusal } = this.#lifecycle;
    const last = this.#segments.at(-1);
    if (last === undefined) return;
    if (refusal !== undefined) throw refusal;
    this.#worker.hurry();
    await this.#waiters.wait(last);
  }

  resume(): void {
    this.#isSuspended = false;
    this.retirement.reconsider();
    this.#worker.start();
  }

  /** Forgets segments: their entries, and all others above `id`, are no longer part of the log. */
  withdraw(segments: ReadonlySet<Segment>, id: EntryId): void {
    assert(this.#isSuspended, 'segments are withdrawn while checkpoints are suspended');
    // The ids above may be used again, for entries that have not been released.
    this.#releasedBelow = Math.min(this.#releasedBelow, id + 1);
    this.#segments.splice(0, Infinity, ...this.#segments.filter((segment) => !segments.has(segment)));
    this.retirement.withdraw(segments, id);
    this.#waiters.resolve((segment) => segments.has(segment));
  }

  /**
   * Begins nothing new, and lets what is running give up. Resolves when it has ended; the segments left are handed over
   * after the next recovery. Callers that wait for segments to be freed are told the reason.
   */
  async stop(): Promise<void> {
    const { refusal } = this.#lifecycle;
    assert(refusal !== undefined, 'checkpoints are stopped once the log is closing or has failed');
    // Not after what is running: that may never end.
    this.retirement.turnAway(refusal);
    this.#waiters.reject(refusal);
    this.#persisting?.stop(refusal);
    this.#worker.hurry();
    await this.retirement.idle();
    await this.#worker.idle();
  }

  get #isHalted(): boolean {
    return this.#lifecycle.refusal !== undefined || this.#isSuspended;
  }

  async #checkpoint(segment: Segment): Promise<void> {
    if (segment.phase === 'closed') {
      const isSafe = segment.lastId < this.#releasedBelow || segment.lastId <= this.#storedId;
      // What was given up is begun again, or not at all, but nothing went wrong.
      if (!isSafe && !(await this.#persist(segment))) return;
      // Not again, even if its file cannot be freed now.
      segment.checkpointed();
    }
    await this.retirement.take(segment, () => {
      assert(this.#segments[0] === segment, 'segments are checkpointed in order');
      this.#segments.shift();
    });
    this.lastError = undefined;
    this.#events.onCheckpointed(segment);
    this.#waiters.resolve((wanted) => wanted === segment);
  }

  /** Resolves with whether the segment need not be persisted any more: not if that was given up. */
  async #persist(segment: Segment): Promise<boolean> {
    const persisting = new Persisting();
    this.#persisting = persisting;
    try {
      await this.#events.persist(segment, persisting);
      return true;
    } catch (error) {
      if (!persisting.isEndedBy(error as WalError)) throw error;
      return segment.lastId < this.#releasedBelow;
    } finally {
      this.#persisting = undefined;
    }
  }
}
