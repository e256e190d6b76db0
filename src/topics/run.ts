import { deferred, type Deferred } from '../base/async.js';
import { WalError, type EntryId, type FileHandle } from '../index.js';
import {
  decodeIndex, decodeRecord, decodeRunHeader, decodeTrailer, RECORD_HEADER_LENGTH, recordLength, RUN_HEADER_LENGTH,
  RUN_VERSION, SLICE_LENGTH, TRAILER_LENGTH, type Slice,
} from './run-format.js';

/** A message as it is stored. */
export interface StoredMessage {
  readonly id: EntryId;
  /** Its entry. */
  readonly bytes: Buffer;
}

/** Where reading in a run continues. */
export interface RunPlace {
  readonly run: Run;
  readonly offset: number;
}

/** A sealed file of messages that is open for reading. Its index is kept in arrays: 56 bytes for each topic in it. */
export class Run {
  readonly number: number;
  readonly name: string;
  readonly firstId: EntryId;
  readonly lastId: EntryId;
  /** The length of its records. */
  readonly bytes: number;
  readonly #file: FileHandle;
  readonly #salt: number;
  readonly #topics: Uint32Array;
  readonly #counts: Uint32Array;
  /** First id, last id, offset, bytes, first time, last time of each topic. */
  readonly #numbers: Float64Array;
  #reads = 0;
  #idle: Deferred<void> | undefined;

  constructor(number: number, name: string, salt: number, file: FileHandle, slices: readonly Slice[]) {
    this.number = number;
    this.name = name;
    this.#salt = salt;
    this.#file = file;
    this.#topics = Uint32Array.from(slices, ({ topic }) => topic);
    this.#counts = Uint32Array.from(slices, ({ count }) => count);
    this.#numbers = new Float64Array(6 * slices.length);
    slices.forEach((slice, i) => {
      const { firstId, lastId, offset, bytes, firstTime, lastTime } = slice;
      this.#numbers.set([firstId, lastId, offset, bytes, firstTime, lastTime], 6 * i);
    });
    this.firstId = slices.reduce((first, slice) => Math.min(first, slice.firstId), Infinity);
    this.lastId = slices.reduce((last, slice) => Math.max(last, slice.lastId), 0);
    this.bytes = slices.reduce((sum, slice) => sum + slice.bytes, 0);
  }

  /** Reads the index of the run `number`. Rejects with `WAL_CORRUPT` or `WAL_UNSUPPORTED_VERSION`. */
  static async open(number: number, name: string, file: FileHandle): Promise<Run> {
    const header = decodeRunHeader(await readExactly(file, 0, RUN_HEADER_LENGTH));
    if (header !== undefined && header.version !== RUN_VERSION) {
      throw new WalError('WAL_UNSUPPORTED_VERSION', `${name} has version ${header.version}`);
    }
    if (header === undefined || header.number !== number) throw damaged(name, 0);
    const size = await file.size();
    const trailer = decodeTrailer(await readExactly(file, size - TRAILER_LENGTH, TRAILER_LENGTH));
    const length = size - (trailer?.offset ?? size);
    const isWhole = trailer !== undefined && length === trailer.count * SLICE_LENGTH + TRAILER_LENGTH;
    if (!isWhole) throw damaged(name, size - TRAILER_LENGTH);
    const slices = decodeIndex(await readExactly(file, trailer.offset, length), header.salt);
    if (slices === undefined) throw damaged(name, trailer.offset);
    return new Run(number, name, header.salt, file, slices);
  }

  /** How many topics have messages in it. */
  get topics(): number {
    return this.#topics.length;
  }

  /** What the run has of the `i`-th of its topics. */
  sliceAt(i: number): Slice {
    const [firstId, lastId, offset, bytes, firstTime, lastTime] = this.#numbers.subarray(6 * i, 6 * i + 6);
    return { topic: this.#topics[i], count: this.#counts[i], firstId, lastId, offset, bytes, firstTime, lastTime };
  }

  /** What the run has of `topic`. */
  find(topic: number): Slice | undefined {
    let [low, high] = [0, this.#topics.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#topics[middle] < topic) low = middle + 1;
      else high = middle;
    }
    return this.#topics[low] === topic ? this.sliceAt(low) : undefined;
  }

  /**
   * Reads whole records of `slice` from `offset` on, at least one and about `limit` bytes. Resolves with them and where
   * to continue. Rejects with `WAL_CORRUPT` for a damaged one.
   */
  async read(slice: Slice, offset: number, limit: number): Promise<{ messages: StoredMessage[]; end: number }> {
    const sliceEnd = slice.offset + slice.bytes;
    let bytes = await this.#readBytes(offset, Math.min(Math.max(limit, RECORD_HEADER_LENGTH), sliceEnd - offset));
    const first = bytes.length < RECORD_HEADER_LENGTH ? Infinity : recordLength(bytes, 0);
    if (first > sliceEnd - offset) throw damaged(this.name, offset);
    if (first > bytes.length) bytes = await this.#readBytes(offset, first);
    const messages: StoredMessage[] = [];
    let at = 0;
    while (at + RECORD_HEADER_LENGTH <= bytes.length && at + recordLength(bytes, at) <= bytes.length) {
      const message = decodeRecord(bytes, at, this.#salt, offset + at);
      if (message === undefined) throw damaged(this.name, offset + at);
      messages.push(message);
      at += recordLength(bytes, at);
    }
    const isStuck = messages.length === 0 || (offset + at < sliceEnd && bytes.length === sliceEnd - offset);
    if (isStuck) throw damaged(this.name, offset + at);
    return { messages, end: offset + at };
  }

  /** Closes the file when the reads under way have ended. */
  async close(): Promise<void> {
    if (this.#reads > 0) {
      this.#idle = deferred();
      await this.#idle.promise;
    }
    await this.#file.close().catch(() => undefined);
  }

  async #readBytes(offset: number, length: number): Promise<Buffer> {
    this.#reads++;
    try {
      return await readExactly(this.#file, offset, length);
    } finally {
      this.#reads--;
      if (this.#reads === 0) this.#idle?.resolve();
    }
  }
}

export function damaged(name: string, offset: number): WalError {
  return new WalError('WAL_CORRUPT', `${name} is damaged at offset ${offset}`, { offset });
}

/** Reads `length` bytes, or as many as there are. */
export async function readExactly(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(Math.max(0, length));
  let filled = 0;
  while (filled < bytes.length) {
    const read = await file.read(bytes.subarray(filled), Math.max(0, offset) + filled);
    if (read === 0) break;
    filled += read;
  }
  return bytes.subarray(0, filled);
}
