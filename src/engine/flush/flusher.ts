import type { WalError } from '../../base/errors.js';
import { Waiters } from '../../base/waiters.js';
import type { Environment } from '../../base/environment.js';
import type { ResolvedOptions } from '../../model/options.js';
import type { Flush, SegmentEncoder } from '../../segment/segment-encoder.js';
import type { Segment } from '../../segment/segment.js';
import type { Lifecycle } from '../directory/lifecycle.js';
import { Acknowledgements } from './acknowledgements.js';
import { DurableMark } from './durable-mark.js';
import { FlushStats } from './flush-stats.js';
import { FlushWriter, type Unsynced } from './flush-writer.js';
import { SyncTimer } from './sync-timer.js';

const FLUSH_AT_ONCE_BYTES = 512 * 1024;

export interface FlusherEvents {
  /** A flush has become durable; memory is free again. */
  onFlushed(): void;
}

/**
 * Brings encoded entries to the disk: one flush at a time, and each takes everything that was gathered while the one
 * before it was on its way. Nothing is acknowledged before its flush is durable.
 *
 * A failed write or sync is a state, not an event to recover from: after it nothing can be known of what the disk
 * holds, a second sync would lie, and so nothing is written or acknowledged any more.
 */
export class Flusher {
  /** How far the log is durable. */
  readonly durableId = new DurableMark();
  readonly stats: FlushStats;
  readonly #lifecycle: Lifecycle;
  readonly #events: FlusherEvents;
  readonly #options: ResolvedOptions;
  readonly #writer: FlushWriter;
  readonly #timer: SyncTimer;
  readonly #acknowledgements: Acknowledgements;
  /** Those that may still hold bytes, oldest first; entries are written to the last. */
  readonly #encoders: SegmentEncoder[] = [];
  #inFlight: Flush | undefined;
  /** The write or sync under way. It never rejects. */
  #flight: Promise<void> | undefined;
  #scheduled = false;
  /** Everything written so far is to become durable. */
  #syncWanted = false;
  /** Flush although no commit waits, to free memory. */
  #spilling = false;
  readonly #flushWaiters = new Waiters<void>();

  constructor(
    lifecycle: Lifecycle, events: FlusherEvents, environment: Environment, directory: string, options: ResolvedOptions,
  ) {
    this.#lifecycle = lifecycle;
    this.#events = events;
    this.#options = options;
    this.stats = new FlushStats(environment);
    this.#acknowledgements = new Acknowledgements(lifecycle, () => events.onFlushed());
    this.#writer = new FlushWriter(directory, options.blockingFlush);
    this.#timer = new SyncTimer(environment, options, () => this.#wantSync());
    lifecycle.onFailed((error) => this.#stop(error));
  }

  /** Bytes accepted but not yet durable. */
  get pendingBytes(): number {
    let bytes = this.#inFlight?.length ?? 0;
    for (let i = 0; i < this.#encoders.length; i++) bytes += this.#encoders[i].pendingBytes;
    return bytes;
  }

  get isIdle(): boolean {
    return this.#flight === undefined && this.#acknowledgements.isIdle && this.#nextEncoder() === undefined;
  }

  /** Bytes of complete entries that the operating system has but the disk may not have. */
  get unsyncedBytes(): number {
    const { unsynced } = this.#writer;
    return unsynced === undefined ? 0 : unsynced.committedEnd - unsynced.segment.durableEnd;
  }

  /** Adds the encoder that is written to from now on. Those before it are flushed first. */
  add(encoder: SegmentEncoder): void {
    this.#encoders.push(encoder);
  }

  /** Asks for a flush of what the waiters in the encoders wait for. All requests of one moment share it. */
  request(): void {
    try {
      // Those who sync, or read what is not durable yet, are no commits.
      if (this.#encoders[this.#encoders.length - 1]?.hasWaiters) this.stats.requested();
      if (this.#lifecycle.failure !== undefined) this.#rejectCommits(this.#lifecycle.failure);
      else if (this.#flight === undefined && !this.#scheduled) this.#schedule();
    } catch (error) {
      this.#lifecycle.fail(error);
    }
  }

  /** Asks for a flush of everything encoded so far, entries still open included. */
  spill(): void {
    this.#spilling = true;
    this.request();
  }

  /** Resolves when no flush is in flight. Rejects when the log fails. */
  async flightSettled(): Promise<void> {
    // Another flush may have been taken between the end of the last and this function's turn.
    while (this.#lifecycle.failure === undefined && this.#flight !== undefined) await this.#nextFlush();
    if (this.#lifecycle.failure !== undefined) throw this.#lifecycle.failure;
  }

  /**
   * Resolves when no write is under way any more, whatever came of it, and those it has made safe have been told. A
   * file must not be closed before: its descriptor could be given to another file, and the write would go there.
   */
  async landed(): Promise<void> {
    await this.#flight;
    await this.#acknowledgements.whenIdle();
  }

  /** Resolves when at most `bytes` are pending. Rejects when the log fails. */
  async pendingAtMost(bytes: number): Promise<void> {
    while (this.#lifecycle.failure === undefined && this.pendingBytes > bytes) {
      this.spill();
      await this.#nextFlush();
    }
    if (this.#lifecycle.failure !== undefined) throw this.#lifecycle.failure;
  }

  /**
   * Resolves when the entry around `offset` is durable, rejects if that can no longer happen. Sees to it that it is
   * made so once it is complete.
   */
  async whenDurable(segment: Segment, offset: number, signal?: AbortSignal): Promise<void> {
    if (this.#lifecycle.failure !== undefined) throw this.#lifecycle.failure;
    const reached = this.durableId.placeReached(segment, offset, signal);
    this.#wantSync();
    await reached;
  }

  /** Makes every complete entry durable. Rejects when the log fails. */
  async sync(): Promise<void> {
    const { segment, committedEnd } = this.#encoders[this.#encoders.length - 1];
    if (this.#lifecycle.failure !== undefined) throw this.#lifecycle.failure;
    if (segment.durableEnd < committedEnd) await this.whenDurable(segment, committedEnd - 1);
  }

  /**
   * Bytes from `offset` on were rolled back: turns away those who wait to read them, and lets those who wait for room
   * look again.
   */
  forget(segment: Segment, offset: number, error: WalError): void {
    this.durableId.forget(segment, offset, error);
    this.#flushWaiters.resolve(() => true);
  }

  /** The log has failed: everyone waiting is told. */
  #stop(error: WalError): void {
    this.#timer.stop();
    this.#inFlight?.commits.reject(error);
    this.#rejectCommits(error);
    this.durableId.end(error);
    this.#flushWaiters.reject(error);
  }

  #rejectCommits(error: WalError): void {
    for (const encoder of this.#encoders) encoder.rejectWaiters(error);
  }

  #schedule(): void {
    const isBlocking = this.#options.blockingFlush;
    // With this much to write nothing is gained by waiting for more, and the next entries are encoded meanwhile.
    if (!isBlocking && this.pendingBytes >= FLUSH_AT_ONCE_BYTES) {
      this.#start();
      return;
    }
    this.#scheduled = true;
    // A tick comes after all microtasks: writers that the last flush woke are through begin, write and
    // commit by then, and share the next flush instead of waiting for the one after it.
    // A blocking flush lets the event loop turn in between, or a steady load would starve it.
    if (isBlocking) setImmediate(this.#start);
    else process.nextTick(this.#start);
  }

  readonly #start = (): void => this.#lifecycle.guard(this.#startNext);

  readonly #startNext = (): void => {
    this.#scheduled = false;
    if (this.#flight !== undefined || !this.#lifecycle.mayWrite()) return;
    const encoder = this.#nextEncoder();
    const { unsynced } = this.#writer;
    // What the next segment begins with says that all before it is durable.
    const mustSyncFirst = unsynced !== undefined && encoder !== undefined && encoder.segment !== unsynced.segment;
    if (mustSyncFirst || (encoder === undefined && this.#syncWanted)) this.#syncOnly();
    else if (encoder !== undefined) this.#flush(encoder);
  };

  #flush(encoder: SegmentEncoder): void {
    const flush = encoder.take();
    if (flush === undefined) return;
    this.#inFlight = flush;
    const times = this.stats.began();
    const { file } = encoder.segment;
    if (this.#writer.canBlock(file)) {
      try {
        this.#writer.writeBlocking(flush, file);
      } catch (error) {
        this.#lifecycle.fail(error);
        return;
      }
      this.stats.ended(times, flush);
      this.#complete(flush, true);
    } else {
      const isDurable = this.#mustBeDurable(flush) || (file.durableWrites && file.writeVolatile === undefined);
      this.#fly(this.#writer.write(flush, isDurable), () => {
        this.stats.ended(times, flush);
        this.#complete(flush, isDurable);
      });
    }
  }

  /** Makes durable what was only written, when there is nothing to write with it. */
  #syncOnly(): void {
    const { unsynced } = this.#writer;
    this.#syncWanted = false;
    if (unsynced === undefined) return;
    this.#fly(unsynced.segment.file.sync(), () => {
      this.#synced(unsynced);
      this.#settled();
    });
  }

  #fly(operation: Promise<void>, land: () => void): void {
    this.#flight = operation.then(
      () => {
        this.#flight = undefined;
        // The log may have failed meanwhile: its waiters have been rejected, and an acknowledgement now would
        // contradict what they were told.
        if (this.#lifecycle.mayWrite()) this.#lifecycle.guard(land);
      },
      (error: unknown) => {
        this.#flight = undefined;
        this.#lifecycle.fail(error);
      },
    );
  }

  #mustBeDurable({ commits }: Flush): boolean {
    if (commits.durableCount > 0 || this.#syncWanted || this.durableId.isPlaceAwaited) return true;
    return this.#options.sync === 'commit' && !commits.areOrdered;
  }

  /** The oldest encoder with something to flush. Drops those that are done with. */
  #nextEncoder(): SegmentEncoder | undefined {
    while (this.#encoders.length > 1 && this.#encoders[0].pendingBytes === 0) this.#encoders.shift();
    const encoder = this.#encoders[0];
    if (encoder === undefined || encoder.pendingBytes === 0) return undefined;
    const isWanted = encoder.hasWaiters || this.#spilling || this.#encoders.length > 1;
    return isWanted ? encoder : undefined;
  }

  #complete(flush: Flush, isDurable: boolean): void {
    const { encoder, commits } = flush;
    encoder.recycle(flush);
    if (isDurable) {
      this.#syncWanted = false;
      this.#synced({ segment: encoder.segment, committedEnd: commits.end, committedId: commits.id });
    } else {
      this.#writer.written(flush);
      this.#timer.start();
    }
    // Until they have been acknowledged, a failure rejects its commits.
    this.#acknowledgements.add(commits);
    // One that is acknowledged may have begun the next flush.
    if (this.#inFlight === flush) this.#inFlight = undefined;
    if (this.pendingBytes === 0) this.#spilling = false;
    this.#settled();
  }

  #synced({ segment, committedEnd, committedId }: Unsynced): void {
    this.#writer.synced();
    this.#timer.stop();
    this.durableId.advance(segment, committedEnd, committedId);
  }

  #settled(): void {
    this.#flushWaiters.resolve(() => true);
    this.#events.onFlushed();
    if (this.#nextEncoder() !== undefined || this.#syncWanted) this.request();
  }

  #wantSync(): void {
    this.#syncWanted = true;
    this.request();
  }

  #nextFlush(): Promise<void> {
    return this.#flushWaiters.wait();
  }
}
