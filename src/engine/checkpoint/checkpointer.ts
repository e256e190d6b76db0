import { assert } from '../../base/assert.js';
import { deferred, type Deferred } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import { toWalError, type WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { Segment } from '../../segment/segment.js';
import { RetryingWorker } from './retrying-worker.js';
import type { Lifecycle } from '../directory/lifecycle.js';
import type { SpareFiles } from '../directory/spare-files.js';

export interface CheckpointerEvents {
  /** Persists a segment's entries. When it resolves they are safe outside the log. Rejects at once if it is aborted. */
  persist(segment: Segment, signal: AbortSignal): Promise<void>;
  /** The segment's entries are safe elsewhere. */
  onCheckpointed(segment: Segment): void;
  /** From here on nobody may begin to hold the segment's entries. */
  onRetiring(segment: Segment): void;
  /** The segment's file is about to be used again. */
  onRetired(segment: Segment): void;
  /** `attempt` counts from 1; the next comes after `retryInMs`. */
  onFailed(error: WalError, segmentId: number, attempt: number, retryInMs: number): void;
}

/** Who may still want to read segments that have been checkpointed. */
export interface Retention {
  /** Notes, durably, that entries up to `id` are checkpointed. Only then may their segment be held. */
  checkpointed(id: EntryId): Promise<void>;
  /** Whether somebody wants the entries of `segment`. */
  wants(segment: Segment): boolean;
}

/**
 * Hands full segments to the owner's storage, one at a time and in order, and lets their files go.
 * A failure frees nothing and is tried again, with growing pauses. Commits never wait for any of this.
 */
export class Checkpointer {
  readonly #pool: SpareFiles;
  readonly #events: CheckpointerEvents;
  readonly #retention: Retention;
  readonly #segments: Segment[] = [];
  /** Segments whose entries are safe outside, oldest first, but that somebody may want to read. */
  readonly #held: Segment[] = [];
  /** Aborts the persisting that is running. */
  #persisting: AbortController | undefined;
  /** Entries below this id need not be persisted: the owner has said so. */
  #releasedBelow: EntryId = 0;
  /** Nothing is begun in the meantime. */
  #isSuspended = false;
  readonly #lifecycle: Lifecycle;
  readonly #checkpoints: RetryingWorker<Segment>;
  /** Beside the checkpoints: one that hangs must not keep what nobody wants any more. */
  readonly #retirements: RetryingWorker<Segment>;
  /** Those who wait for segments to go. */
  #released: { readonly id: EntryId; readonly done: Deferred<void> }[] = [];
  lastError: WalError | undefined;

  constructor(
    lifecycle: Lifecycle, pool: SpareFiles, environment: Environment, retention: Retention, events: CheckpointerEvents,
  ) {
    this.#lifecycle = lifecycle;
    lifecycle.onFailed(() => void this.stop());
    this.#pool = pool;
    this.#retention = retention;
    this.#events = events;
    const onFailed = (error: unknown, segment: Segment, attempt: number, retryInMs: number): void => {
      this.lastError = toWalError(error, `segment ${segment.segmentId} cannot be checkpointed`);
      this.#turnAway(this.lastError, (id) => segment.lastId < id);
      this.#events.onFailed(this.lastError, segment.segmentId, attempt, retryInMs);
    };
    this.#checkpoints = new RetryingWorker(environment, {
      next: () => (this.#isHalted ? undefined : this.#segments[0]),
      do: (segment) => this.#checkpoint(segment),
      onFailed,
    });
    this.#retirements = new RetryingWorker(environment, {
      next: () => this.#unwanted(),
      do: (segment) => this.#retire(segment, this.#held),
      onFailed,
    });
  }

  /** The segments that have not been checkpointed yet, oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** The segments that have been checkpointed and are kept for those who hold them. */
  get held(): readonly Segment[] {
    return this.#held;
  }

  /** Entries up to here are safe outside the log, although their segment may still be there. */
  get persistedId(): EntryId {
    // One whose file could not be let go is the next to be.
    const isSafe = ({ phase }: Segment): boolean => phase === 'held' || phase === 'checkpointed';
    return [...this.#held, ...this.#segments].findLast(isSafe)?.lastId ?? 0;
  }

  /** Entries up to here are about to go: their owner has released their segments. */
  get releasingId(): EntryId {
    return this.#below(this.#releasedBelow).at(-1)?.lastId ?? 0;
  }

  /** Takes a segment that is durable to its end and will not be written again. */
  enqueue(segment: Segment): void {
    assert(segment.phase === 'closed' || segment.phase === 'discarded', 'only a closed segment is checkpointed');
    this.#segments.push(segment);
    this.#checkpoints.start();
  }

  /** Takes a segment whose entries were safe outside when the log was opened. */
  adopt(segment: Segment): void {
    segment.hold();
    this.#held.push(segment);
    this.#retirements.start();
  }

  /**
   * Takes a segment that is no part of the log any more, but whose file could not be let go. It goes before all others:
   * with its name it would look like one of them.
   */
  discard(segment: Segment): void {
    assert(segment.phase === 'discarded', 'only what is no part of the log goes before its oldest segment');
    this.#held.unshift(segment);
    this.#retirements.start();
  }

  /** Looks again at what is held: somebody wants less now. */
  reconsider(): void {
    this.#retirements.start();
  }

  /**
   * Lets the segments go that hold only entries below `id`, as if they had been persisted. Resolves when they are gone.
   * Rejects if one cannot be let go; that is tried again.
   */
  async release(id: EntryId): Promise<void> {
    this.#releasedBelow = Math.max(this.#releasedBelow, id);
    const inTheWay = this.#below(id);
    if (inTheWay.length === 0) return;
    const { refusal } = this.#lifecycle;
    if (refusal !== undefined) throw refusal;
    const done = deferred();
    // Those that are there now: what is closed later is not waited for.
    this.#released.push({ id: Math.max(...inTheWay.map(({ lastId }) => lastId)) + 1, done });
    if (this.#segments.length > 0 && this.#segments[0].lastId < id) this.#persisting?.abort();
    this.#checkpoints.hurry();
    this.#retirements.start();
    await done.promise;
  }

  /** Begins nothing until `resume`, and gives up what is being persisted, if it is one of `segments`. */
  async suspend(segments: ReadonlySet<Segment>): Promise<void> {
    this.#isSuspended = true;
    if (this.#persisting !== undefined && segments.has(this.#segments[0])) this.#persisting.abort();
    this.#checkpoints.hurry();
    this.#retirements.hurry();
    await this.#retirements.idle();
    // What is being persisted now is none of them, and may take as long as it likes.
    if (this.#persisting?.signal.aborted !== false) await this.#checkpoints.idle();
  }

  resume(): void {
    this.#isSuspended = false;
    this.#retirements.start();
    this.#checkpoints.start();
  }

  /** Forgets segments: their entries, and all others above `id`, are not part of the log any more. */
  withdraw(segments: ReadonlySet<Segment>, id: EntryId): void {
    // The ids above may be given anew, to entries that nobody has released.
    this.#releasedBelow = Math.min(this.#releasedBelow, id + 1);
    this.#released = this.#released.map(({ id: below, done }) => ({ id: Math.min(below, id + 1), done }));
    for (const list of [this.#segments, this.#held]) {
      list.splice(0, Infinity, ...list.filter((segment) => !segments.has(segment)));
    }
    this.#settleReleased();
  }

  /**
   * Starts nothing new. Resolves when what is running has ended; the segments left are handed over after the next
   * recovery. Those who wait for segments to go hear the reason.
   */
  async stop(): Promise<void> {
    const { refusal } = this.#lifecycle;
    assert(refusal !== undefined, 'checkpoints are stopped once the log is closing or has failed');
    // Not after what is running: that may never end.
    this.#turnAway(refusal, () => true);
    this.#checkpoints.hurry();
    this.#retirements.hurry();
    await this.#retirements.idle();
    await this.#checkpoints.idle();
  }

  get #isHalted(): boolean {
    return this.#lifecycle.refusal !== undefined || this.#isSuspended;
  }

  /** The oldest segment that is kept, if nobody wants it any more. */
  #unwanted(): Segment | undefined {
    const [oldest] = this.#held;
    return this.#isHalted || oldest === undefined || this.#isWanted(oldest) ? undefined : oldest;
  }

  /** What nobody sees any more nobody wants either. */
  #isWanted(segment: Segment): boolean {
    return segment.phase !== 'discarded' && this.#retention.wants(segment);
  }

  async #checkpoint(segment: Segment): Promise<void> {
    if (segment.phase === 'closed') {
      const isSafe = segment.lastId < this.#releasedBelow;
      // What was given up is begun anew, or not at all, but nothing went wrong.
      if (!isSafe && !(await this.#persist(segment))) return;
      // Not again, even if its file cannot be let go now.
      segment.checkpointed();
    }
    if (this.#held.length > 0 || this.#isWanted(segment)) {
      await this.#keep(segment);
      this.#retirements.start();
    } else {
      await this.#retire(segment, this.#segments);
    }
    this.lastError = undefined;
    this.#events.onCheckpointed(segment);
  }

  /** Keeps a segment for those who may want to read it, or until those before it have gone. */
  async #keep(segment: Segment): Promise<void> {
    if (segment.phase === 'checkpointed') {
      await this.#retention.checkpointed(segment.lastId);
      segment.hold();
    }
    this.#held.push(segment);
    this.#segments.shift();
  }

  /** Resolves with whether the segment need not be persisted any more: not if that was given up. */
  async #persist(segment: Segment): Promise<boolean> {
    const persisting = new AbortController();
    this.#persisting = persisting;
    try {
      await this.#events.persist(segment, persisting.signal);
      return true;
    } catch (error) {
      if (!persisting.signal.aborted) throw error;
      return segment.lastId < this.#releasedBelow;
    } finally {
      this.#persisting = undefined;
    }
  }

  /** Gives back the file of one of `segments`. */
  async #retire(segment: Segment, segments: Segment[]): Promise<void> {
    if (segment.phase !== 'discarded') this.#events.onRetiring(segment);
    await this.#pool.retire(segment);
    segments.splice(segments.indexOf(segment), 1);
    this.#events.onRetired(segment);
    this.#settleReleased();
    // A reader may keep its file for as long as it likes; the segments behind need not wait for that.
    this.#pool.recycle(segment).catch((error: unknown) => {
      this.lastError = toWalError(error, `the file of segment ${segment.segmentId} cannot be recycled`);
    });
  }

  /** Tells those who wait for segments to go that it will take longer, or never happen. */
  #turnAway(error: WalError, concerns: (id: EntryId) => boolean): void {
    this.#released = this.#released.filter(({ id, done }) => {
      if (!concerns(id)) return true;
      done.reject(error);
      return false;
    });
  }

  #settleReleased(): void {
    this.#released = this.#released.filter(({ id, done }) => {
      if (this.#below(id).length > 0) return true;
      done.resolve();
      return false;
    });
  }

  /** The segments that hold only entries below `id`, oldest first. */
  #below(id: EntryId): Segment[] {
    const isBelow = ({ lastId, phase }: Segment): boolean => lastId < id && phase !== 'discarded';
    return [...this.#held, ...this.#segments].filter(isBelow);
  }
}
