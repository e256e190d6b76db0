import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { flushChannel, traced } from '../../base/channels.js';
import type { WalError } from '../../base/errors.js';
import { Waiters } from '../../base/waiters.js';
import type { Environment } from '../../base/environment.js';
import type { EntryId } from '../../model/entry.js';
import type { ResolvedOptions } from '../../model/options.js';
import { canBlock, writeFully, writeFullyBlocking, writeFullyVolatile } from '../../files/transfer.js';
import type { Flush, SegmentEncoder } from '../../segment/segment-encoder.js';
import type { Segment } from '../../segment/segment.js';
import type { Lifecycle } from '../directory/lifecycle.js';
import { DurableMark } from './durable-mark.js';

const FLUSH_AT_ONCE_BYTES = 512 * 1024;
/** To within 1 %: a histogram then takes some 50 KiB, an eighth of the default, and is made four times as fast. */
const HISTOGRAM = { figures: 2 } as const;

/** What has been written to a segment but not synced. */
interface Unsynced {
  readonly segment: Segment;
  /** Behind the last complete entry written, and its id. */
  readonly committedEnd: number;
  readonly committedId: EntryId;
}

export interface FlusherEvents {
  /** A flush has become durable; memory is free again. */
  onFlushed(): void;
}

/**
 * Brings encoded entries to the disk: one flush at a time, and each takes everything that was
 * gathered while the one before it was on its way. Nothing is acknowledged before its flush is durable.
 *
 * A failed write or sync is a state, not an event to recover from: after it nobody can know what the
 * disk holds, a second sync would lie, and so nothing is written or acknowledged any more.
 *
 * A flush is made durable by the write itself where the file can do that. One that nobody needs to be durable yet is
 * only handed to the operating system; the next that is needed then takes a write and a sync, which covers both.
 */
export class Flusher {
  readonly #lifecycle: Lifecycle;
  readonly #events: FlusherEvents;
  readonly #environment: Environment;
  readonly #directory: string;
  readonly #options: ResolvedOptions;
  #flushLatency: RecordableHistogram | undefined;
  #commitLatency: RecordableHistogram | undefined;
  /** When the first commit came that the next flush will complete; undefined if there is none. */
  #requestedAt: number | undefined;
  /** How far the log is durable. */
  readonly durableId = new DurableMark();
  /** The buffers that may still hold bytes, oldest first; entries are written to the last. */
  readonly #buffers: SegmentEncoder[] = [];
  #inFlight: Flush | undefined;
  #isFlying = false;
  #flight: Promise<void> | undefined;
  #scheduled = false;
  #unsynced: Unsynced | undefined;
  /** Somebody wants everything written so far to be durable. */
  #syncWanted = false;
  #cancelTimer: (() => void) | undefined;
  /** Flush even though nobody waits for a commit, to free memory. */
  #spilling = false;
  readonly #flushWaiters = new Waiters<void>();
  flushes = 0;
  flushedBytes = 0;
  commits = 0;

  constructor(
    lifecycle: Lifecycle, events: FlusherEvents, environment: Environment, directory: string, options: ResolvedOptions,
  ) {
    this.#lifecycle = lifecycle;
    lifecycle.onFailed((error) => this.#stop(error));
    this.#events = events;
    this.#directory = directory;
    this.#environment = environment;
    this.#options = options;
  }

  /** Nanoseconds from the beginning of each flush to its end. */
  get flushLatency(): RecordableHistogram {
    return (this.#flushLatency ??= createHistogram(HISTOGRAM));
  }

  /** Nanoseconds that the commit which waited longest for each flush has waited. */
  get commitLatency(): RecordableHistogram {
    return (this.#commitLatency ??= createHistogram(HISTOGRAM));
  }

  /** Bytes accepted but not yet durable. */
  get pendingBytes(): number {
    let bytes = this.#inFlight?.length ?? 0;
    for (let i = 0; i < this.#buffers.length; i++) bytes += this.#buffers[i].pendingBytes;
    return bytes;
  }

  get isIdle(): boolean {
    return !this.#isFlying && this.#nextBuffer() === undefined;
  }

  /** Bytes of complete entries that the operating system has but the disk may not have. */
  get unsyncedBytes(): number {
    const unsynced = this.#unsynced;
    return unsynced === undefined ? 0 : unsynced.committedEnd - unsynced.segment.durableEnd;
  }

  /** Adds the buffer that is written to from now on. Those before it are flushed first. */
  add(buffer: SegmentEncoder): void {
    this.#buffers.push(buffer);
  }

  /** Asks for a flush of what the waiters in the buffers wait for. All requests of one moment share it. */
  request(): void {
    // Those who sync, or read what is not durable yet, are no commits.
    if (this.#requestedAt === undefined && this.#buffers.at(-1)?.hasWaiters === true) {
      this.#requestedAt = this.#environment.now();
    }
    if (this.#lifecycle.failure !== undefined) this.#rejectCommits(this.#lifecycle.failure);
    else if (!this.#isFlying && !this.#scheduled) {
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
  }

  /** Asks for a flush of everything encoded so far, entries still open included. */
  spill(): void {
    this.#spilling = true;
    this.request();
  }

  /** Resolves when no flush is in flight. Rejects when the queue fails. */
  async flightSettled(): Promise<void> {
    // Another flush may have been taken between the end of the last and this function's turn.
    while (this.#lifecycle.failure === undefined && this.#isFlying) await this.#nextFlush();
    if (this.#lifecycle.failure !== undefined) throw this.#lifecycle.failure;
  }

  /**
   * Resolves when no write is under way any more, whatever came of it. A file must not be closed before: its
   * descriptor could be given to another file, and the write would go there.
   */
  async landed(): Promise<void> {
    await this.#flight;
  }

  /** Resolves when at most `bytes` are pending. Rejects when the queue fails. */
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

  /** Makes every complete entry durable. Rejects when the queue fails. */
  async sync(): Promise<void> {
    const { segment, committedEnd } = this.#buffers[this.#buffers.length - 1];
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
    this.#cancelTimer?.();
    this.#inFlight?.commits.reject(error);
    this.#rejectCommits(error);
    this.durableId.end(error);
    this.#flushWaiters.reject(error);
  }

  #rejectCommits(error: WalError): void {
    for (const buffer of this.#buffers) buffer.rejectWaiters(error);
  }

  readonly #start = (): void => {
    this.#scheduled = false;
    if (this.#isFlying || !this.#lifecycle.mayWrite()) return;
    const buffer = this.#nextBuffer();
    const unsynced = this.#unsynced;
    // What the next segment begins with says that all before it is durable.
    const isLeftBehind = unsynced !== undefined && buffer !== undefined && buffer.segment !== unsynced.segment;
    if (isLeftBehind || (buffer === undefined && this.#syncWanted)) this.#syncOnly();
    else if (buffer !== undefined) this.#flush(buffer);
  };

  #flush(buffer: SegmentEncoder): void {
    const flush = buffer.take();
    if (flush === undefined) return;
    this.#inFlight = flush;
    const requestedAt = this.#requestedAt;
    const startedAt = this.#environment.now();
    this.#requestedAt = undefined;
    const { file } = buffer.segment;
    if (this.#options.blockingFlush && canBlock(file)) {
      try {
        const write = (): void => {
          if (flush.patch !== undefined) writeFullyBlocking(file, [flush.patch.bytes], flush.patch.offset);
          writeFullyBlocking(file, flush.parts, flush.offset);
        };
        if (flushChannel.hasSubscribers) flushChannel.traceSync(write, this.#describe(flush, true));
        else write();
      } catch (error) {
        this.#lifecycle.fail(error);
        return;
      }
      this.#record(requestedAt, startedAt);
      this.#complete(flush, true);
    } else {
      const isDurable = this.#mustBeDurable(flush) || (file.durableWrites && file.writeVolatile === undefined);
      const write = () => this.#write(flush, isDurable);
      this.#fly(traced(flushChannel, () => this.#describe(flush, isDurable), write), () => {
        this.#record(requestedAt, startedAt);
        this.#complete(flush, isDurable);
      });
    }
  }

  #describe({ encoder: buffer, offset, length, commits: { entryCount } }: Flush, isDurable: boolean): object {
    const { segmentId } = buffer.segment;
    return { directory: this.#directory, segmentId, offset, bytes: length, entries: entryCount, isDurable };
  }

  #record(requestedAt: number | undefined, startedAt: number): void {
    const now = this.#environment.now();
    this.flushLatency.record(nanoseconds(now - startedAt));
    if (requestedAt !== undefined) this.commitLatency.record(nanoseconds(now - requestedAt));
  }

  /** Makes durable what was only written, when there is nothing to write with it. */
  #syncOnly(): void {
    const unsynced = this.#unsynced;
    this.#syncWanted = false;
    if (unsynced === undefined) return;
    this.#fly(unsynced.segment.file.sync(), () => {
      this.#synced(unsynced);
      this.#settled();
    });
  }

  #fly(operation: Promise<void>, land: () => void): void {
    this.#isFlying = true;
    this.#flight = operation.then(
      () => {
        this.#isFlying = false;
        // The log may have failed meanwhile: its waiters have been rejected, and an acknowledgement now would
        // contradict what they were told.
        if (this.#lifecycle.mayWrite()) land();
      },
      (error: unknown) => {
        this.#isFlying = false;
        this.#lifecycle.fail(error);
      },
    );
  }

  #mustBeDurable({ commits: { waiters, orderedWaiters } }: Flush): boolean {
    if (waiters.length > 0 || this.#syncWanted || this.durableId.isPlaceAwaited) return true;
    return this.#options.sync === 'commit' && orderedWaiters.length === 0;
  }

  /** The oldest buffer with something to flush. Drops those that are done with. */
  #nextBuffer(): SegmentEncoder | undefined {
    while (this.#buffers.length > 1 && this.#buffers[0].pendingBytes === 0) this.#buffers.shift();
    const buffer = this.#buffers[0];
    if (buffer === undefined || buffer.pendingBytes === 0) return undefined;
    const isWanted = buffer.hasWaiters || this.#spilling || this.#buffers.length > 1;
    return isWanted ? buffer : undefined;
  }

  async #write({ encoder: buffer, parts, offset, patch }: Flush, isDurable: boolean): Promise<void> {
    const { file } = buffer.segment;
    if (isDurable && file.durableWrites && this.#unsynced === undefined) {
      if (patch !== undefined) await writeFully(file, [patch.bytes], patch.offset);
      return writeFully(file, parts, offset);
    }
    // A durable write covers its own bytes alone; only a sync covers those that were written before.
    if (patch !== undefined) await writeFullyVolatile(file, [patch.bytes], patch.offset);
    await writeFullyVolatile(file, parts, offset);
    if (isDurable) await file.sync();
  }

  #complete(flush: Flush, isDurable: boolean): void {
    const { encoder: buffer, length, commits } = flush;
    const written = { segment: buffer.segment, committedEnd: commits.end, committedId: commits.id };
    this.#inFlight = undefined;
    this.flushes++;
    this.flushedBytes += length;
    this.commits += commits.entryCount;
    buffer.recycle(flush);
    if (this.pendingBytes === 0) this.#spilling = false;
    if (isDurable) {
      this.#syncWanted = false;
      this.#synced(written);
    } else {
      this.#unsynced = written;
      this.#startTimer();
    }
    commits.acknowledge();
    this.#settled();
  }

  #synced({ segment, committedEnd, committedId }: Unsynced): void {
    this.#unsynced = undefined;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.durableId.advance(segment, committedEnd, committedId);
  }

  #settled(): void {
    this.#flushWaiters.resolve(() => true);
    this.#events.onFlushed();
    if (this.#nextBuffer() !== undefined || this.#syncWanted) this.request();
  }

  #wantSync(): void {
    this.#syncWanted = true;
    this.request();
  }

  #startTimer(): void {
    if (this.#options.sync !== 'interval' || this.#cancelTimer !== undefined) return;
    this.#cancelTimer = this.#environment.callAfter(this.#options.syncIntervalMs, () => {
      this.#cancelTimer = undefined;
      this.#wantSync();
    });
  }

  #nextFlush(): Promise<void> {
    return this.#flushWaiters.wait();
  }
}

/** A histogram takes whole numbers from 1. */
function nanoseconds(milliseconds: number): number {
  return Math.max(1, Math.round(milliseconds * 1e6));
}
