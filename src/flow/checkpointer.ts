import { toWalError, type WalError } from '../base/errors.js';
import type { Environment } from '../base/environment.js';
import { deferred, type Deferred } from '../base/async.js';
import type { Segment } from '../segment/segment.js';
import type { SegmentPool } from './segment-pool.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;

export interface CheckpointerEvents {
  /** Persists a segment's entries. When it resolves they are safe outside the log. */
  persist(segment: Segment): Promise<void>;
  onCheckpointed(segment: Segment): void;
  /** `attempt` counts from 1; the next comes after `retryInMs`. */
  onFailed(error: WalError, segmentId: number, attempt: number, retryInMs: number): void;
}

/**
 * Hands full segments to the owner's storage, one at a time and in order, and lets their files go.
 * A failure frees nothing and is tried again, with growing pauses. Commits never wait for any of this.
 */
export class Checkpointer {
  readonly #pool: SegmentPool;
  readonly #environment: Environment;
  readonly #events: CheckpointerEvents;
  readonly #segments: Segment[] = [];
  /**
   * The segment whose entries are safe outside although its file could not be let go: they are not handed over twice.
   */
  #persisted: Segment | undefined;
  #running: Promise<void> | undefined;
  #isStopped = false;
  #pause: Deferred<void> | undefined;
  lastError: WalError | undefined;

  constructor(pool: SegmentPool, environment: Environment, events: CheckpointerEvents) {
    this.#pool = pool;
    this.#environment = environment;
    this.#events = events;
  }

  /** The segments that have not been checkpointed yet, oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Takes a segment that is durable to its end and will not be written again. */
  enqueue(segment: Segment): void {
    this.#segments.push(segment);
    this.#running ??= this.#run();
  }

  /**
   * Starts nothing new. Resolves when what is running has ended; the segments left are handed over after the next
   * recovery.
   */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#pause?.resolve();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let attempt = 1; this.#segments.length > 0 && !this.#isStopped;) {
      const segment = this.#segments[0];
      try {
        await this.#checkpoint(segment);
        attempt = 1;
      } catch (error) {
        const reason = toWalError(error, `segment ${segment.segmentId} cannot be checkpointed`);
        await this.#waitAfter(reason, segment, attempt++);
      }
    }
    this.#running = undefined;
  }

  async #checkpoint(segment: Segment): Promise<void> {
    if (this.#persisted !== segment) await this.#events.persist(segment);
    this.#persisted = segment;
    await this.#pool.retire(segment);
    this.#segments.shift();
    this.#persisted = undefined;
    this.lastError = undefined;
    this.#events.onCheckpointed(segment);
    // A reader may keep its file for as long as it likes; the segments behind need not wait for that.
    this.#pool.recycle(segment).catch((error: unknown) => {
      this.lastError = toWalError(error, `the file of segment ${segment.segmentId} cannot be recycled`);
    });
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
