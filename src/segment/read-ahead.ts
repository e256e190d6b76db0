import type { Segment } from './segment.js';

/** A block that has been read, the offset behind it, and whether that is less than was asked for: the file's end. */
interface Block {
  readonly buffer: Buffer;
  readonly end: number;
  readonly isLast: boolean;
}

/**
 * Reads a segment block by block, front to back. The next block is under way while its user is busy with the
 * last one, so that reading and verifying do not wait for each other.
 */
export class ReadAhead {
  readonly #segment: Segment;
  readonly #blockBytes: number;
  /** Room before each block for what its user has not finished with. */
  readonly #marginBytes: number;
  readonly #free: Buffer[] = [];
  #current: Buffer | undefined;
  #ahead: Promise<Block> | undefined;
  /** The offset of the next byte to be asked for. */
  #at: number;

  constructor(segment: Segment, from: number, blockBytes: number) {
    this.#segment = segment;
    this.#blockBytes = blockBytes;
    this.#marginBytes = Math.ceil(blockBytes / 2);
    this.#at = from;
  }

  /**
   * The next block, up to `limit` at most, with `kept` in front of it: at most half a block, which may lie in the last
   * block. That one is not valid any more.
   */
  async next(kept: Buffer, limit: number): Promise<{ readonly bytes: Buffer; readonly isLast: boolean }> {
    const from = this.#at;
    const { buffer, end, isLast } = await (this.#ahead ?? this.#read(limit));
    this.#ahead = undefined;
    this.#at = end;
    const start = this.#marginBytes - kept.length;
    buffer.set(kept, start);
    if (this.#current !== undefined) this.#free.push(this.#current);
    this.#current = buffer;
    if (!isLast && end < limit) {
      this.#ahead = this.#read(limit);
      // Whoever asks for the block is told; nobody may ever ask.
      this.#ahead.catch(() => undefined);
    }
    return { bytes: buffer.subarray(start, this.#marginBytes + end - from), isLast };
  }

  async #read(limit: number): Promise<Block> {
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#marginBytes + this.#blockBytes);
    const count = Math.max(0, Math.min(this.#blockBytes, limit - this.#at));
    const read = await this.#segment.read(buffer.subarray(this.#marginBytes, this.#marginBytes + count), this.#at);
    return { buffer, end: this.#at + read, isLast: read < count };
  }
}
