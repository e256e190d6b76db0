import { assert } from '../base/assert.js';
import { ignoreRejection } from '../base/async.js';
import type { Segment } from './segment.js';

/** A block that has been read, after its margin. */
interface Block {
  readonly buffer: Buffer;
  readonly length: number;
  /** Whether there was less than was asked for: the file ends here. */
  readonly isLast: boolean;
}

/**
 * The part of a segment that is in memory. It moves from front to back, block by block. The next block is read while
 * the last one is being looked at, so that reading and verifying do not wait for each other.
 */
export class RecordWindow {
  /** The bytes from `start` to `end` of the segment. They change with the next `fill`. */
  bytes: Buffer = Buffer.alloc(0);
  start: number;
  end: number;
  /** Where the file ends, or the part of it that is read, as far as is known. */
  limit: number;
  /** Whether it was said where what is read ends, after a committed entry. */
  readonly isBounded: boolean;
  /** How many bytes `fill` can keep, in the margin before the next block. */
  readonly marginBytes: number;
  readonly #segment: Segment;
  readonly #blockBytes: number;
  readonly #onBytesRead: ((count: number) => void) | undefined;
  /** Buffers that can be read into: all but the one under `bytes`. */
  readonly #free: Buffer[] = [];
  #current: Buffer | undefined;
  #ahead: Promise<Block> | undefined;
  #isFilling = false;

  constructor(
    segment: Segment, blockBytes: number, start: number, limit: { readonly at: number; readonly isKnown: boolean },
    onBytesRead?: (count: number) => void,
  ) {
    this.#segment = segment;
    this.#blockBytes = blockBytes;
    this.#onBytesRead = onBytesRead;
    this.marginBytes = blockBytes >> 1;
    this.start = this.end = start;
    this.limit = limit.at;
    this.isBounded = limit.isKnown;
  }

  /** Whether the `length` bytes from `at` on are in memory. */
  has(at: number, length: number): boolean {
    return at + length <= this.end;
  }

  /** Whether the `length` bytes from `at` on can be had at all. */
  canHave(at: number, length: number): boolean {
    return at + length <= this.limit;
  }

  /** The bytes from `start` to `end` if they are in memory. They change with the next `fill`. */
  resident(start: number, end: number): Buffer | undefined {
    if (start < this.start || end > this.end) return undefined;
    return this.bytes.subarray(start - this.start, end - this.start);
  }

  /** Moves on by a block, and keeps what is in memory from `from` on. */
  async fill(from: number): Promise<void> {
    assert(!this.#isFilling, 'a window is filled by one reader at a time');
    assert(from >= this.start && this.end - from <= this.marginBytes, 'what is kept is there, and fits the margin');
    this.#isFilling = true;
    try {
      this.#advance(await (this.#ahead ?? this.#read()), from);
    } finally {
      this.#isFilling = false;
    }
  }

  #advance({ buffer, length, isLast }: Block, from: number): void {
    const kept = this.bytes.subarray(from - this.start);
    const at = this.marginBytes - kept.length;
    buffer.set(kept, at);
    if (this.#current !== undefined) this.#free.push(this.#current);
    this.#current = buffer;
    this.bytes = buffer.subarray(at, this.marginBytes + length);
    this.start = from;
    this.end += length;
    // The file may be shorter than its size, or its successor, says: then this is where it ends.
    if (isLast) this.limit = this.end;
    this.#ahead = this.end < this.limit ? this.#read() : undefined;
    // The next `fill` rethrows this. There may never be one.
    if (this.#ahead !== undefined) ignoreRejection(this.#ahead);
    this.#onBytesRead?.(length);
  }

  async #read(): Promise<Block> {
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(this.marginBytes + this.#blockBytes);
    const count = Math.max(0, Math.min(this.#blockBytes, this.limit - this.end));
    const read = await this.#segment.read(buffer.subarray(this.marginBytes, this.marginBytes + count), this.end);
    return { buffer, length: read, isLast: read < count };
  }
}
