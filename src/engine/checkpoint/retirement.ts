import { assert } from '../../base/assert.js';
import { deferred, type Deferred } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import type { WalError } from '../../base/errors.js';
import { keepAliveUntil } from '../../base/keep-alive.js';
import type { EntryId } from '../../model/entry.js';
import type { Segment } from '../../segment/segment.js';
import type { SpareFiles } from '../directory/spare-files.js';
import { RetryingWorker } from './retrying-worker.js';

/** What keeps checkpointed segments readable. */
export interface Retention {
  /** Records, durably, that entries up to `id` are checkpointed. Only then may their segment be held. */
  checkpointed(id: EntryId): Promise<void>;
  /** Whether a hold keeps the entries of `segment`. */
  wants(segment: Segment): boolean;
}

export interface RetirementEvents {
  /** From here on no new hold can keep the segment's entries. */
  onRetiring(segment: Segment): void;
  /** The segment's file is about to be reused. */
  onRetired(segment: Segment): void;
  /** A held segment could not be freed. That is tried again. */
  onFailed(error: unknown, segment: Segment, attempt: number, retryInMs: number): void;
  /** The file of a segment that was freed stays out of use. */
  onNotRecycled(error: unknown, segment: Segment): void;
}

export interface RetirementParts {
  readonly pool: SpareFiles;
  readonly environment: Environment;
  readonly retention: Retention;
  /** The segments that have not been checkpointed yet, oldest first. */
  readonly queued: readonly Segment[];
  /** Whether no segment may be freed now. */
  isHalted(): boolean;
}

/** A caller that waits until all segments that hold only entries below `id` are freed. */
interface Waiter {
  readonly id: EntryId;
  readonly done: Deferred<void>;
}

/**
 * From checkpointed to freed: keeps the segments that a hold wants, frees them in order once no hold does, and answers
 * the callers that wait for segments to be freed. Works beside the checkpoints: one that hangs must not keep segments
 * that no hold wants.
 */
export class Retirement {
  readonly #parts: RetirementParts;
  readonly #events: RetirementEvents;
  /** Oldest first. */
  readonly #held: Segment[] = [];
  readonly #worker: RetryingWorker<Segment>;
  #waiters: readonly Waiter[] = [];

  constructor(parts: RetirementParts, events: RetirementEvents) {
    this.#parts = parts;
    this.#events = events;
    this.#worker = new RetryingWorker(parts.environment, {
      next: () => this.#unwanted(),
      do: (segment) => this.#free(segment, () => this.#held.splice(this.#held.indexOf(segment), 1)),
      onFailed: (error, segment, attempt, retryInMs) => events.onFailed(error, segment, attempt, retryInMs),
    });
  }

  /** The segments that have been checkpointed and are kept for the holds, oldest first. */
  get held(): readonly Segment[] {
    return this.#held;
  }

  /**
   * Frees a segment that has been checkpointed, or keeps it until no hold wants it and all before it are freed. Calls
   * `leave` when it is no longer the caller's: nothing else may run in between.
   */
  async take(segment: Segment, leave: () => void): Promise<void> {
    if (this.#held.length === 0 && !this.#isWanted(segment)) return this.#free(segment, leave);
    if (segment.phase === 'checkpointed') {
      await this.#parts.retention.checkpointed(segment.lastId);
      segment.hold();
    }
    leave();
    this.#held.push(segment);
    this.#worker.start();
  }

  /** Takes a segment whose entries were already recorded as checkpointed. */
  adopt(segment: Segment): void {
    segment.hold();
    this.#held.push(segment);
    this.#worker.start();
  }

  /**
   * Takes a segment that is no longer part of the log, but whose file could not be freed. It goes before all others:
   * with its name it would look like one of them.
   */
  discard(segment: Segment): void {
    assert(segment.phase === 'discarded', 'only what is no part of the log goes before its oldest segment');
    this.#held.unshift(segment);
    this.#worker.start();
  }

  /** Looks again at what is held: a hold keeps less than before. */
  reconsider(): void {
    this.#worker.start();
  }

  /** Resolves when `segments`, all up to the newest of them, are freed. */
  async whenFreed(segments: readonly Segment[]): Promise<void> {
    const done = deferred();
    this.#waiters = [...this.#waiters, { id: Math.max(...segments.map(({ lastId }) => lastId)) + 1, done }];
    this.#worker.start();
    this.#worker.hurry();
    await keepAliveUntil(done.promise);
  }

  /** Tells waiters that it will take longer, or never happen: those for which `concerns` is true of their id. */
  turnAway(error: WalError, concerns: (id: EntryId) => boolean = () => true): void {
    this.#waiters = this.#waiters.filter(({ id, done }) => {
      if (!concerns(id)) return true;
      done.reject(error);
      return false;
    });
  }

  /** Forgets segments: their entries, and all others above `id`, are no longer part of the log. */
  withdraw(segments: ReadonlySet<Segment>, id: EntryId): void {
    this.#held.splice(0, Infinity, ...this.#held.filter((segment) => !segments.has(segment)));
    this.#waiters = this.#waiters.map(({ id: below, done }) => ({ id: Math.min(below, id + 1), done }));
    this.#settle();
  }

  /** The segments that hold only entries below `id`, oldest first. */
  below(id: EntryId): Segment[] {
    const isBelow = ({ lastId, phase }: Segment): boolean => lastId < id && phase !== 'discarded';
    return [...this.#held, ...this.#parts.queued].filter(isBelow);
  }

  /** Resolves when nothing is being freed. Nothing new is begun while the parts say that it may not be. */
  async idle(): Promise<void> {
    assert(this.#parts.isHalted(), 'freeing is awaited only when nothing new can begin');
    this.#worker.hurry();
    await this.#worker.idle();
  }

  /** Frees the file of a segment, which leaves its list with `leave`. */
  async #free(segment: Segment, leave: () => void): Promise<void> {
    const { pool } = this.#parts;
    if (segment.phase !== 'discarded') this.#events.onRetiring(segment);
    await pool.retire(segment);
    leave();
    this.#events.onRetired(segment);
    this.#settle();
    // A reader may keep its file for as long as it likes; the segments after it need not wait for that.
    pool.recycle(segment).catch((error: unknown) => this.#events.onNotRecycled(error, segment));
  }

  /** Answers the waiters whose segments are freed. */
  #settle(): void {
    this.#waiters = this.#waiters.filter(({ id, done }) => {
      if (this.below(id).length > 0) return true;
      done.resolve();
      return false;
    });
  }

  /** The oldest segment that is kept, if no hold wants it. */
  #unwanted(): Segment | undefined {
    const [oldest] = this.#held;
    return this.#parts.isHalted() || oldest === undefined || this.#isWanted(oldest) ? undefined : oldest;
  }

  /** A segment that is no longer part of the log cannot be wanted. */
  #isWanted(segment: Segment): boolean {
    return segment.phase !== 'discarded' && this.#parts.retention.wants(segment);
  }
}
