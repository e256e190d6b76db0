import { assert } from '../../base/assert.js';
import { TurnBudget } from '../../base/turns.js';
import { WalError } from '../../base/errors.js';
import { CHUNK_OVERHEAD } from '../../format/segment-format.js';
import type { ChunkRecord, EntryId } from '../../model/entry.js';
import type { ResolvedOptions } from '../../model/options.js';
import type { CommitWaiter } from '../../segment/commits.js';
import type { SegmentEncoder } from '../../segment/segment-encoder.js';
import type { Lifecycle } from '../directory/lifecycle.js';
import type { Flusher } from '../flush/flusher.js';
import type { Rotation } from './rotation.js';

/** What is copied at once; more is copied in pieces, with turns of the event loop in between. */
export const AT_ONCE_BYTES = 16 * 1024 * 1024;

const NOTHING = new Uint8Array(0);

/** Who waits for the commit of an entry. Exactly one of the two is called, once. */
export interface EntryWaiter {
  committed(id: EntryId): void;
  failed(error: unknown): void;
}

export interface OpenEntryParts {
  readonly lifecycle: Lifecycle;
  readonly options: ResolvedOptions;
  readonly rotation: Rotation;
  readonly flusher: Flusher;
  /** The next request can have the write slot. */
  freeSlot(this: void): void;
}

/**
 * An entry that is written piece by piece, and has the write slot from its beginning to its end. It can be part of a
 * batch: then this is the entry of the batch that is being written.
 *
 * An exception while it is being encoded leaves part of a record, which nothing can follow: the entry is broken then,
 * and can only be rolled back.
 */
export class OpenEntry implements CommitWaiter {
  /** Whether it is written to its end although the log is being shut down: it needs nothing more from its caller. */
  readonly isComplete: boolean;
  /** Called when the entry is rolled back or the log has failed, for a writer that waits for something else. */
  onEnded: (() => void) | undefined;
  readonly #parts: OpenEntryParts;
  readonly #encoder: SegmentEncoder;
  #id: EntryId;
  #state: 'open' | 'broken' | 'committed' | 'rolled back' = 'open';
  /** Hears of the commit. */
  #waiter: EntryWaiter | undefined;
  /** Settles when the slot is free again. */
  #rollback: Promise<void> | undefined;

  /** Begins the entry where the encoder has been saved. The write slot must be free. */
  constructor(parts: OpenEntryParts, isComplete: boolean) {
    this.#parts = parts;
    this.#encoder = parts.rotation.encoder;
    this.isComplete = isComplete;
    this.#id = parts.rotation.takeId();
    this.#encoder.beginEntry(this.#id);
  }

  get id(): EntryId {
    return this.#id;
  }

  get isCommitted(): boolean {
    return this.#state === 'committed';
  }

  /** Why nothing can be written to the entry, if so. */
  get refusal(): Error | undefined {
    if (this.#state === 'committed' || this.#state === 'rolled back') {
      return new TypeError(`entry ${this.#id} has been ${this.#state}`);
    }
    const { lifecycle } = this.#parts;
    const refusal = this.isComplete ? lifecycle.failure : lifecycle.refusal;
    if (refusal !== undefined || this.#state === 'open') return refusal;
    return new TypeError(`entry ${this.#id} has an incomplete chunk and can only be rolled back`);
  }

  assertWritable(): void {
    const { refusal } = this;
    if (refusal !== undefined) throw refusal;
  }

  /** Nothing more can be written to the entry. */
  break(): void {
    if (this.#state === 'open') this.#state = 'broken';
  }

  /** Whether a chunk of `length` bytes can be written at once. */
  hasRoomFor(length: number): boolean {
    const pending = this.#parts.flusher.pendingBytes + CHUNK_OVERHEAD + length;
    return pending <= this.#parts.options.maxPendingBytes && length <= AT_ONCE_BYTES;
  }

  /** Writes a whole chunk at once. */
  writeChunk(data: Uint8Array): ChunkRecord {
    this.assertWritable();
    try {
      return this.#encoder.writeChunk(data);
    } catch (error) {
      this.break();
      throw error;
    }
  }

  /** Writes a whole chunk, in as many pieces as there is room for. */
  async writeInPieces(data: Uint8Array): Promise<ChunkRecord> {
    this.beginChunk(data.length);
    await this.writeData(data);
    return this.endChunk();
  }

  /** Begins a chunk of `length` bytes, or of as many as will be written. */
  beginChunk(length: number | undefined): void {
    this.assertWritable();
    try {
      this.#encoder.beginChunk(length);
    } catch (error) {
      this.break();
      throw error;
    }
  }

  /**
   * Writes more of the chunk's data. Waits while too much is pending, which keeps memory constant: what is complete of
   * an entry is flushed before the entry is.
   */
  async writeData(data: Uint8Array): Promise<void> {
    const { flusher, options: { bufferBytes, maxPendingBytes } } = this.#parts;
    const { length } = data;
    const turn = new TurnBudget();
    let from = 0;
    do {
      this.assertWritable();
      const count = Math.min(bufferBytes, length - from);
      this.#writePiece(data, from, count);
      from += count;
      if (this.#encoder.pendingBytes >= bufferBytes) flusher.spill();
      // While this waits the log may fail or be shut down, or the entry be rolled back: hence the check above.
      if (flusher.pendingBytes + bufferBytes > maxPendingBytes) {
        await flusher.pendingAtMost(maxPendingBytes - bufferBytes);
      }
      if (turn.spend(count)) await turn.nextTurn();
    } while (from < length);
  }

  endChunk(): ChunkRecord {
    this.assertWritable();
    try {
      return this.#encoder.endChunk();
    } catch (error) {
      this.break();
      throw error;
    }
  }

  /** Ends the entry as one of a batch, and begins the next. */
  continueBatch(): void {
    this.assertWritable();
    try {
      this.#id = this.#parts.rotation.takeId();
      this.#encoder.continueBatch(this.#id);
    } catch (error) {
      this.break();
      throw error;
    }
  }

  /** Ends the entry and frees the slot. `waiter` hears when the entry is as safe as was asked for. */
  commit(waiter: EntryWaiter, isDurable: boolean): void {
    this.assertWritable();
    try {
      this.#encoder.endEntry(this.#id, this, isDurable);
    } catch (error) {
      this.break();
      const refuse = (): void => waiter.failed(error);
      void this.rollback().then(refuse, refuse);
      return;
    }
    this.#state = 'committed';
    this.#waiter = waiter;
    this.#parts.flusher.request();
    this.#parts.freeSlot();
  }

  committed(): void {
    this.#waiter?.committed(this.#id);
  }

  failed(error: unknown): void {
    this.#waiter?.failed(error);
  }

  /** Its beginning failed: nothing is written to it, and the slot is not its own any more. */
  revoke(): void {
    this.#state = 'rolled back';
    this.#rollback = Promise.resolve();
  }

  /** Forgets the entry at its caller's wish. Resolves when the slot is free again. */
  rollback(): Promise<void> {
    assert(this.#state !== 'committed', 'an entry that has been committed is not rolled back');
    this.#state = 'rolled back';
    return this.discard();
  }

  /** Forgets the entry. Resolves when the slot is free again; a failed log has nothing to forget. */
  discard(): Promise<void> {
    this.#rollback ??= this.#discard();
    this.onEnded?.();
    return this.#rollback;
  }

  async #discard(): Promise<void> {
    const { flusher, freeSlot, lifecycle } = this.#parts;
    const encoder = this.#encoder;
    lifecycle.guard(() => encoder.uncommit());
    if (encoder.hasTakenSinceSave) {
      try {
        // What is in flight may be part of the entry. If the slot were free now, the next entry's bytes could reach
        // the disk first and be overwritten by these.
        await flusher.flightSettled();
      } catch {
        return freeSlot();
      }
    }
    // A failure or another caller's flush may have come meanwhile, but no other entry: the slot is still taken.
    lifecycle.guard(() => this.#forget());
    freeSlot();
  }

  #forget(): void {
    const encoder = this.#encoder;
    encoder.rewind();
    const { segment, savedOffset: offset } = encoder;
    const details = { segmentId: segment.segmentId, offset };
    const error = new WalError('WAL_POSITION_GONE', `entry ${this.#id} was rolled back`, details);
    this.#parts.flusher.forget(segment, offset, error);
  }

  /** Memory can be detached or shrink while a writer waits between two pieces of it. */
  #writePiece(data: Uint8Array, from: number, count: number): void {
    try {
      // Memory that is gone reads as empty; this throws then.
      if (count === 0) NOTHING.set(data);
      const piece = data.subarray(from, from + count);
      if (piece.length < count) throw new RangeError('the data of a chunk became shorter while it was written');
      this.#encoder.writeChunkData(piece);
    } catch (error) {
      this.break();
      throw error;
    }
  }
}
