import type { BlockPool } from './block-pool.js';

/** What has been encoded for one flush: the filled part of each block, and the blocks to be freed after it. */
export interface TakenBytes {
  readonly parts: readonly Uint8Array[];
  readonly blocks: readonly Buffer[];
}

/** Encoded bytes that no flush has taken, in blocks of one size. A record that is written at once is in one block. */
export class EncodedBytes {
  readonly #pool: BlockPool;
  #blocks: Buffer[];
  /** How many bytes of each block but the last are used. */
  #lengths: number[] = [];
  #used = 0;

  /** Throws if there is no memory for a block: the first record always has room. */
  constructor(pool: BlockPool) {
    this.#pool = pool;
    this.#blocks = [pool.acquire()];
  }

  get blockBytes(): number {
    return this.#pool.blockBytes;
  }

  get blockCount(): number {
    return this.#blocks.length;
  }

  /** How many bytes of the last block are used. */
  get used(): number {
    return this.#used;
  }

  /** The block that `reserve` has found room in. */
  get block(): Buffer {
    return this.#blocks[this.#blocks.length - 1];
  }

  /** Makes room for `length` bytes in one block and returns where they go. */
  reserve(length: number): number {
    if (this.#blocks.length === 0 || this.#used + length > this.#pool.blockBytes) {
      if (this.#blocks.length > 0) this.#lengths.push(this.#used);
      this.#blocks.push(this.#pool.acquire());
      this.#used = 0;
    }
    return this.#used;
  }

  /** `length` bytes have been written to the room that was reserved. */
  advance(length: number): void {
    this.#used += length;
  }

  /** Keeps the first `blockCount` blocks, and `used` bytes of the last of them. */
  rewind(blockCount: number, used: number): void {
    for (const block of this.#blocks.splice(blockCount)) this.#pool.release(block);
    this.#lengths.length = Math.max(0, blockCount - 1);
    this.#used = used;
  }

  take(): TakenBytes {
    this.#lengths.push(this.#used);
    const lengths = this.#lengths;
    const blocks = this.#blocks;
    this.#blocks = [];
    this.#lengths = [];
    this.#used = 0;
    return { parts: blocks.map((block, i) => block.subarray(0, lengths[i])), blocks };
  }

  /** Frees the memory of a flush that has landed. */
  recycle({ blocks }: TakenBytes): void {
    for (const block of blocks) this.#pool.release(block);
  }
}
