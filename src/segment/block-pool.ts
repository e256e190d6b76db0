/** Buffers of one size that are used again, so that a steady load allocates nothing. */
export class BlockPool {
  readonly blockBytes: number;
  readonly #spareBlocks: number;
  readonly #free: Buffer[] = [];

  /** Keeps up to `spareBytes` of free blocks. */
  constructor(blockBytes: number, spareBytes: number) {
    this.blockBytes = blockBytes;
    this.#spareBlocks = Math.max(2, Math.floor(spareBytes / blockBytes));
  }

  /** A block with any content. The one freed last comes first: it is the likeliest to be in the processor's cache. */
  acquire(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.blockBytes);
  }

  release(block: Buffer): void {
    if (this.#free.length < this.#spareBlocks) this.#free.push(block);
  }
}
