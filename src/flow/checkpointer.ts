import { deferred, ignoreRejection, type Deferred } from '../base/async.js';
import type { Environment } from '../base/environment.js';
import { toWalError, type WalError } from '../base/errors.js';
import type { EntryId } from '../contracts/entry.js';
import type { Segment } from '../segment/segment.js';
import type { SegmentPool } from './segment-pool.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** Thrown where a checkpoint was given up, by a cut or because the log went on without it. */
const GIVEN_UP = new Error('the checkpoint was given up');

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
  readonly #pool: SegmentPool;
  readonly #environment: Environment;
  readonly #events: CheckpointerEvents;
  readonly #retention: Retention;
  readonly #segments: Segment[] = [];
  /** Segments whose entries are safe outside, oldest first, but that somebody may want to read. */
  readonly #held: Segment[] = [];
  /**
   * The segment whose entries are safe outside although its file could not be let go: they are not handed over twice.
   */
  #persisted: Segment | undefined;
  /** Aborts the persisting that is running. */
  #persisting: AbortController | undefined;
  /** Entries below this id need not be persisted: the owner has said so. */
  #releasedBelow: EntryId = 0;
  /** Nothing is begun in the meantime. */
  #isSuspended = false;
  #running: Promise<void> | undefined;
  #isStopped = false;
  #pause: Deferred<void> | undefined;
  /** Those who wait for segments to go. */
  #released: { readonly id: EntryId; readonly done: Deferred<void> }[] = [];
  lastError: WalError | undefined;

  constructor(pool: SegmentPool, environment: Environment, retention: Retention, events: CheckpointerEvents) {
    this.#pool = pool;
    this.#environment = environment;
    this.#retention = retention;
    this.#events = events;
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
    return Math.max(this.#persisted?.lastId ?? 0, this.#held.at(-1)?.lastId ?? 0);
  }

  /** Takes a segment that is durable to its end and will not be written again. */
  enqueue(segment: Segment): void {
    this.#segments.push(segment);
    this.#start();
  }

  /** Takes a segment whose entries were safe outside when the log was opened. */
  adopt(segment: Segment): void {
    this.#held.push(segment);
    this.#start();
  }

  /**
   * Takes a segment that is no part of the log any more, but whose file could not be let go. It goes before all others:
   * with its name it would look like one of them.
   */
  discard(segment: Segment): void {
    segment.lastId = 0;
    this.#held.unshift(segment);
    this.#start();
  }

  /** Looks again at what is held: somebody wants less now. */
  reconsider(): void {
    this.#start();
  }

  /**
   * Lets the segments go that hold only entries below `id`, as if they had been persisted. Resolves when they are gone.
   */
  async release(id: EntryId): Promise<void> {
    this.#releasedBelow = Math.max(this.#releasedBelow, id);
    if (this.#isStopped || !this.#isInTheWay(id)) return;
    const done = deferred();
    this.#released.push({ id, done });
    if (this.#segments.length > 0 && this.#segments[0].lastId < id) this.#persisting?.abort();
    this.#pause?.resolve();
    this.#start();
    await done.promise;
  }

  /** Begins nothing until `resume`, and gives up what is being persisted, if it is one of `segments`. */
  async suspend(segments: ReadonlySet<Segment>): Promise<void> {
    this.#isSuspended = true;
    if (this.#persisting !== undefined && segments.has(this.#segments[0])) this.#persisting.abort();
    this.#pause?.resolve();
    // What is being persisted now is none of them, and may take as long as it likes.
    if (this.#persisting?.signal.aborted !== false) await this.#running;
  }

  resume(): void {
    this.#isSuspended = false;
    this.#start();
  }

  /** Forgets segments: their entries, and all others above `id`, are not part of the log any more. */
  withdraw(segments: ReadonlySet<Segment>, id: EntryId): void {
    // The ids above may be given anew, to entries that nobody has released.
    this.#releasedBelow = Math.min(this.#releasedBelow, id + 1);
    this.#released = this.#released.map(({ id: below, done }) => ({ id: Math.min(below, id + 1), done }));
    this.#segments.splice(0, Infinity, ...this.#segments.filter((segment) => !segments.has(segment)));
    this.#settleReleased();
  }

  /**
   * Starts nothing new. Resolves when what is running has ended; the segments left are handed over after the next
   * recovery. Those who wait for segments to go hear the reason.
   */
  async stop(reason: WalError): Promise<void> {
    this.#isStopped = true;
    this.#pause?.resolve();
    await this.#running;
    for (const { done } of this.#released.splice(0)) done.reject(reason);
  }

  #start(): void {
    if (this.#isSuspended || this.#isStopped || this.#running !== undefined) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      // What came while the last step was ending has not been seen.
      if (this.#next() !== undefined) this.#start();
    });
    ignoreRejection(this.#running);
  }

  async #run(): Promise<void> {
    let attempt = 1;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      try {
        await next.step();
        attempt = 1;
      } catch (error) {
        // What was given up is begun anew, or not at all, but nothing went wrong.
        if (error === GIVEN_UP) continue;
        const reason = toWalError(error, `segment ${next.segment.segmentId} cannot be checkpointed`);
        await this.#waitAfter(reason, next.segment, attempt++);
      }
    }
  }

  /** What is to be done next. */
  #next(): { readonly segment: Segment; step(): Promise<void> } | undefined {
    if (this.#isStopped || this.#isSuspended) return undefined;
    const [oldest] = this.#held;
    if (oldest !== undefined && !this.#retention.wants(oldest)) {
      return { segment: oldest, step: () => this.#retire(oldest, this.#held) };
    }
    const [segment] = this.#segments;
    return segment === undefined ? undefined : { segment, step: () => this.#checkpoint(segment) };
  }

  async #checkpoint(segment: Segment): Promise<void> {
    if (this.#persisted !== segment && segment.lastId >= this.#releasedBelow) await this.#persist(segment);
    this.#persisted = segment;
    if (this.#held.length > 0 || this.#retention.wants(segment)) {
      await this.#retention.checkpointed(segment.lastId);
      this.#held.push(segment);
      this.#segments.shift();
    } else {
      await this.#retire(segment, this.#segments);
    }
    this.#persisted = undefined;
    this.lastError = undefined;
    this.#events.onCheckpointed(segment);
  }

  async #persist(segment: Segment): Promise<void> {
    const persisting = new AbortController();
    this.#persisting = persisting;
    try {
      await this.#events.persist(segment, persisting.signal);
    } catch (error) {
      if (!persisting.signal.aborted) throw error;
      if (segment.lastId >= this.#releasedBelow) throw GIVEN_UP;
    } finally {
      this.#persisting = undefined;
    }
  }

  /** Gives back the file of the first of `segments`. */
  async #retire(segment: Segment, segments: Segment[]): Promise<void> {
    this.#events.onRetiring(segment);
    await this.#pool.retire(segment);
    segments.shift();
    this.#events.onRetired(segment);
    this.#settleReleased();
    // A reader may keep its file for as long as it likes; the segments behind need not wait for that.
    this.#pool.recycle(segment).catch((error: unknown) => {
      this.lastError = toWalError(error, `the file of segment ${segment.segmentId} cannot be recycled`);
    });
  }

  #settleReleased(): void {
    this.#released = this.#released.filter(({ id, done }) => {
      if (this.#isInTheWay(id)) return true;
      done.resolve();
      return false;
    });
  }

  /** Whether there are segments that hold only entries below `id`. */
  #isInTheWay(id: EntryId): boolean {
    return [...this.#held, ...this.#segments].some(({ lastId }) => lastId < id);
  }

  async #waitAfter(error: WalError, segment: Segment, attempt: number): Promise<void> {
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS);
    this.lastError = error;
    this.#events.onFailed(error, segment.segmentId, attempt, pauseMs);
    if (this.#isStopped) return;
    const pause = deferred();
    this.#pause = pause;
    const cancel = this.#environment.callAfter(pauseMs, () => pause.resolve());
    await pause.promise;
    cancel();
  }
}
