import { WalError } from '../base/errors.js';
import { canBlock, writeFully, writeFullyBlocking } from '../files/transfer.js';
import type { Flush, SegmentBuffer } from '../segment/segment-buffer.js';
import type { Segment } from '../segment/segment.js';

const FLUSH_AT_ONCE_BYTES = 512 * 1024;

interface DurabilityWaiter {
  readonly segment: Segment;
  readonly offset: number;
  resolve(): void;
  reject(error: WalError): void;
}

export interface CommitQueueEvents {
  /** A flush has become durable; memory is free again. */
  onFlushed(): void;
  /** A write or sync has failed. Called once, after every waiter was told. */
  onFailed(error: WalError): void;
}

/**
 * Brings encoded entries to the disk: one flush at a time, and each takes everything that was
 * gathered while the one before it was on its way. Nothing is acknowledged before its flush is durable.
 *
 * A failed write or sync is a state, not an event to recover from: after it nobody can know what the
 * disk holds, a second sync would lie, and so nothing is written or acknowledged any more.
 */
export class CommitQueue {
  readonly #events: CommitQueueEvents;
  readonly #isBlocking: boolean;
  /** The buffers that may still hold bytes, oldest first; entries are written to the last. */
  readonly #buffers: SegmentBuffer[] = [];
  #inFlight: Flush | undefined;
  #flight: Promise<void> | undefined;
  #scheduled = false;
  /** Flush even though nobody waits for a commit, to free memory. */
  #spilling = false;
  #failure: WalError | undefined;
  #durabilityWaiters: DurabilityWaiter[] = [];
  #flushWaiters: { resolve(): void; reject(error: WalError): void }[] = [];
  flushes = 0;
  flushedBytes = 0;
  commits = 0;

  /** `isBlocking` flushes on the calling thread, where the file can do that. */
  constructor(events: CommitQueueEvents, isBlocking: boolean) {
    this.#events = events;
    this.#isBlocking = isBlocking;
  }

  /** Why the queue stopped, once it has. */
  get failure(): WalError | undefined {
    return this.#failure;
  }

  /** Bytes accepted but not yet durable. */
  get pendingBytes(): number {
    let bytes = this.#inFlight?.length ?? 0;
    for (let i = 0; i < this.#buffers.length; i++) bytes += this.#buffers[i].pendingBytes;
    return bytes;
  }

  get isIdle(): boolean {
    return this.#inFlight === undefined && this.#nextBuffer() === undefined;
  }

  /** Adds the buffer that is written to from now on. Those before it are flushed first. */
  add(buffer: SegmentBuffer): void {
    this.#buffers.push(buffer);
  }

  /** Asks for a flush of what the waiters in the buffers wait for. All requests of one moment share it. */
  request(): void {
    if (this.#failure !== undefined) this.#rejectCommits(this.#failure);
    else if (this.#inFlight === undefined && !this.#scheduled) {
      // With this much to write nothing is gained by waiting for more, and the next entries are encoded meanwhile.
      if (!this.#isBlocking && this.pendingBytes >= FLUSH_AT_ONCE_BYTES) {
        this.#start();
        return;
      }
      this.#scheduled = true;
      // A tick comes after all microtasks: writers that the last flush woke are through begin, write and
      // commit by then, and share the next flush instead of waiting for the one after it.
      // A blocking flush lets the event loop turn in between, or a steady load would starve it.
      if (this.#isBlocking) setImmediate(this.#start);
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
    while (this.#failure === undefined && this.#inFlight !== undefined) await this.#nextFlush();
    if (this.#failure !== undefined) throw this.#failure;
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
    while (this.#failure === undefined && this.pendingBytes > bytes) {
      this.spill();
      await this.#nextFlush();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when the entry around `offset` is durable, rejects if that can no longer happen. */
  whenDurable(segment: Segment, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure);
      else this.#durabilityWaiters.push({ segment, offset, resolve, reject });
    });
  }

  /**
   * Bytes from `offset` on were rolled back: turns away those who wait to read them, and lets those who wait for room
   * look again.
   */
  forget(segment: Segment, offset: number, error: WalError): void {
    const isGone = (waiter: DurabilityWaiter) => waiter.segment === segment && waiter.offset >= offset;
    const gone = this.#durabilityWaiters.filter(isGone);
    this.#durabilityWaiters = this.#durabilityWaiters.filter((waiter) => !isGone(waiter));
    for (const waiter of gone) waiter.reject(error);
    for (const waiter of this.#flushWaiters.splice(0)) waiter.resolve();
  }

  /** Stops for good: everyone waiting is told, and nothing is written or acknowledged from here on. */
  fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const error = new WalError(
      'WAL_FAILED', `the log has failed and must be recovered before it is used again: ${reason}`, { cause },
    );
    this.#failure = error;
    for (const waiter of this.#inFlight?.waiters ?? []) waiter.failed(error);
    this.#rejectCommits(error);
    for (const waiter of this.#durabilityWaiters.splice(0)) waiter.reject(error);
    for (const waiter of this.#flushWaiters.splice(0)) waiter.reject(error);
    this.#events.onFailed(error);
  }

  #rejectCommits(error: WalError): void {
    for (const buffer of this.#buffers) for (const waiter of buffer.takeWaiters()) waiter.failed(error);
  }

  readonly #start = (): void => {
    this.#scheduled = false;
    if (this.#failure !== undefined || this.#inFlight !== undefined) return;
    const flush = this.#nextBuffer()?.take();
    if (flush === undefined) return;
    this.#inFlight = flush;
    const { file } = flush.buffer.segment;
    if (this.#isBlocking && canBlock(file)) {
      try {
        writeFullyBlocking(file, flush.parts, flush.offset);
      } catch (error) {
        this.fail(error);
        return;
      }
      this.#complete(flush);
    } else {
      this.#flight = this.#write(flush).then(() => this.#complete(flush), (error: unknown) => this.fail(error));
    }
  };

  /** The oldest buffer with something to flush. Drops those that are done with. */
  #nextBuffer(): SegmentBuffer | undefined {
    while (this.#buffers.length > 1 && this.#buffers[0].pendingBytes === 0) this.#buffers.shift();
    const buffer = this.#buffers[0];
    if (buffer === undefined || buffer.pendingBytes === 0) return undefined;
    const isWanted = buffer.hasWaiters || this.#spilling || this.#buffers.length > 1;
    return isWanted ? buffer : undefined;
  }

  async #write({ buffer, parts, offset }: Flush): Promise<void> {
    const { file } = buffer.segment;
    await writeFully(file, parts, offset);
    if (!file.durableWrites) await file.sync();
  }

  #complete(flush: Flush): void {
    // The log may have failed while the flush was on its way: its waiters have been rejected, and an
    // acknowledgement now would contradict what they were told.
    if (this.#failure !== undefined) return;
    const { buffer, length, committedEnd, entryCount, waiters } = flush;
    this.#inFlight = undefined;
    this.flushes++;
    this.flushedBytes += length;
    this.commits += entryCount;
    buffer.segment.durableEnd = committedEnd;
    buffer.recycle(flush);
    if (this.pendingBytes === 0) this.#spilling = false;
    for (const waiter of waiters) waiter.durable();
    this.#resolveReaders();
    for (const waiter of this.#flushWaiters.splice(0)) waiter.resolve();
    this.#events.onFlushed();
    if (this.#nextBuffer() !== undefined) this.request();
  }

  #resolveReaders(): void {
    if (this.#durabilityWaiters.length === 0) return;
    const isDurable = (waiter: DurabilityWaiter) => waiter.offset < waiter.segment.durableEnd;
    const durable = this.#durabilityWaiters.filter(isDurable);
    this.#durabilityWaiters = this.#durabilityWaiters.filter((waiter) => !isDurable(waiter));
    for (const waiter of durable) waiter.resolve();
  }

  #nextFlush(): Promise<void> {
    return new Promise((resolve, reject) => this.#flushWaiters.push({ resolve, reject }));
  }
}
