const NOTHING = new Uint8Array(0);

/** The bytes of a file. Whoever was given them keeps them as they were: the next change goes to a copy. */
export class FileBytes {
  /** The file is its first `size` bytes; those behind them are zeros. */
  #bytes: Uint8Array;
  #size: number;
  #isShared = true;

  constructor(bytes: Uint8Array = NOTHING) {
    this.#bytes = bytes;
    this.#size = bytes.length;
  }

  get size(): number {
    return this.#size;
  }

  /** The bytes as they are now, without a copy. */
  share(): Uint8Array {
    this.#isShared = true;
    if (this.#size < this.#bytes.length) this.#bytes = this.#bytes.subarray(0, this.#size);
    return this.#bytes;
  }

  read(target: Uint8Array, position: number): number {
    const end = Math.min(this.#size, position + target.length);
    if (position >= end) return 0;
    target.set(this.#bytes.subarray(position, end));
    return end - position;
  }

  /** Replaces a part. The file grows if it has to. */
  patch(position: number, part: Uint8Array): void {
    const end = position + part.length;
    this.#own(end);
    this.#bytes.set(part, position);
    if (end > this.#size) this.#size = end;
  }

  /** Sets the size; what is added is zeros. */
  resize(size: number): void {
    this.#own(size);
    if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }

  /** Makes the bytes this file's own, with room for `size` of them. */
  #own(size: number): void {
    if (this.#bytes.length < size) {
      const larger = new Uint8Array(size);
      larger.set(this.#bytes);
      this.#bytes = larger;
    } else if (this.#isShared) {
      this.#bytes = this.#bytes.slice();
    }
    this.#isShared = false;
  }
}
