/** Writes numbers, texts and bytes one after the other, into a buffer that grows. */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** An integer from 0 to 2^53 - 1, seven bits to a byte, the lowest first. */
  number(value: number): this {
    this.#reserve(8);
    this.#length = writeNumber(this.#bytes, value, this.#length);
    return this;
  }

  text(text: string): this {
    return this.bytes(Buffer.from(text));
  }

  /** Bytes, after their number. */
  bytes(bytes: Uint8Array): this {
    this.number(bytes.length);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** What has been written; the writer must not be used any more. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#length + count, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Reads what a ByteWriter wrote. Throws a RangeError where the bytes end too early. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get position(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    if (this.#at >= this.#bytes.length) throw new RangeError('the bytes end too early');
    return this.#bytes[this.#at++];
  }

  number(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let factor = 0x80; ; factor *= 0x80) {
      const next = this.byte();
      value += (next & 0x7f) * factor;
      if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('a number is too large');
      if (next < 0x80) return value;
    }
  }

  text(): string {
    return this.bytes().toString();
  }

  /** A view of the bytes, not a copy. */
  bytes(): Buffer {
    return this.take(this.number());
  }

  /** A view of the next `length` bytes. */
  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError('the bytes end too early');
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

/** How many bytes `writeNumber` takes for `value`. */
export function numberLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Writes an integer from 0 to 2^53 - 1 at `at`; returns where it ends. */
export function writeNumber(target: Buffer, value: number, at: number): number {
  let rest = value;
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 0x80)) target[at++] = (rest % 0x80) | 0x80;
  for (; rest >= 0x80; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}
