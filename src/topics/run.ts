import { deferred, type Deferred } from '../base/async.js';
import { WalError, type EntryId, type FileHandle } from '../index.js';
import {
  decodeIndex, decodeRecord, decodeRunHeader, decodeTrailer, RECORD_HEADER_LENGTH, recordLength, RUN_HEADER_LENGTH,
  RUN_VERSION, SLICE_LENGTH, TRAILER_LENGTH, type Slice,
} from './run-format.js';
import { topicOfMessage } from './entry-format.js';
import { IndexBuilder } from './run-index.js';

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
  /** Whether its index was damaged, and was made from the messages. */
  readonly isReindexed: boolean;
  /** Whether a message in it has been found damaged. */
  isDamaged = false;
  readonly #file: FileHandle;
  readonly #salt: number;
  readonly #topics: Uint32Array;
  readonly #counts: Uint32Array;
  /** First id, last id, offset, bytes, first time, last time of each topic. */
  readonly #numbers: Float64Array;
  #reads = 0;
  #idle: Deferred<void> | undefined;

  constructor(
    number: number, name: string, salt: number, file: FileHandle, slices: readonly Slice[], isReindexed = false,
  ) {
    this.number = number;
    this.name = name;
    this.#salt = salt;
    this.#file = file;
    this.isReindexed = isReindexed;
    this.#topics = Uint32Array.from(slices, ({ topic }) => topic);
    this.#counts = Uint32Array.from(slices, ({ count }) => count);
    this.#numbers = new Float64Array(6 * slices.length);
    slices.forEach(({ firstId, lastId, offset, bytes, firstTime, lastTime }, i) => {
      const numbers = this.#numbers;
      numbers[6 * i] = firstId;
      numbers[6 * i + 1] = lastId;
      numbers[6 * i + 2] = offset;
      numbers[6 * i + 3] = bytes;
      numbers[6 * i + 4] = firstTime;
      numbers[6 * i + 5] = lastTime;
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
    if (header === undefined || header.number !== number) throw beyondReading(name, 0);
    const size = await file.size();
    const slices = await readIndex(file, size, header.salt);
    if (slices !== undefined) return new Run(number, name, header.salt, file, slices);
    return new Run(number, name, header.salt, file, await reindex(file, size, name, header.salt), true);
  }

  /** How many topics have messages in it. */
  get topics(): number {
    return this.#topics.length;
  }

  /** What the run has of the `i`-th of its topics. */
  sliceAt(i: number): Slice {
    const numbers = this.#numbers;
    const at = 6 * i;
    return {
      topic: this.#topics[i], count: this.#counts[i], firstId: numbers[at], lastId: numbers[at + 1],
      offset: numbers[at + 2], bytes: numbers[at + 3], firstTime: numbers[at + 4], lastTime: numbers[at + 5],
    };
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
    if (first > sliceEnd - offset) throw this.#damaged(offset);
    if (first > bytes.length) bytes = await this.#readBytes(offset, first);
    const messages: StoredMessage[] = [];
    let at = 0;
    while (at + RECORD_HEADER_LENGTH <= bytes.length && at + recordLength(bytes, at) <= bytes.length) {
      const message = decodeRecord(bytes, at, this.#salt, offset + at);
      if (message === undefined) throw this.#damaged(offset + at);
      messages.push(message);
      at += recordLength(bytes, at);
    }
    const isStuck = messages.length === 0 || (offset + at < sliceEnd && bytes.length === sliceEnd - offset);
    if (isStuck) throw this.#damaged(offset + at);
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

  #damaged(offset: number): WalError {
    this.isDamaged = true;
    return new WalError('WAL_CORRUPT', `${this.name} is damaged at offset ${offset}`, { offset });
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

function beyondReading(name: string, offset: number): WalError {
  const message = `${name} is damaged at offset ${offset}, so that what it holds cannot be told`;
  return new WalError('WAL_CORRUPT', `${message}: put it back from a backup`, { offset });
}

/** The index of a run of `size` bytes; undefined if it is damaged. */
async function readIndex(file: FileHandle, size: number, salt: number): Promise<Slice[] | undefined> {
  const trailer = decodeTrailer(await readExactly(file, size - TRAILER_LENGTH, TRAILER_LENGTH));
  const length = size - (trailer?.offset ?? size);
  if (trailer === undefined || length !== indexLength(trailer.count)) return undefined;
  return decodeIndex(await readExactly(file, trailer.offset, length), salt);
}

function indexLength(topics: number): number {
  return topics * SLICE_LENGTH + TRAILER_LENGTH;
}

/** Read in one call, where the index is made from the messages. */
const BLOCK_BYTES = 1024 * 1024;

/**
 * Makes the index of a run from its messages. That these are all of them shows in the length of the damaged index,
 * which is what comes after them: rejects with `WAL_CORRUPT` if it is another.
 */
async function reindex(file: FileHandle, size: number, name: string, salt: number): Promise<readonly Slice[]> {
  const index = new IndexBuilder();
  let end = RUN_HEADER_LENGTH;
  for (let wanted = BLOCK_BYTES; ;) {
    const bytes = await readExactly(file, end, Math.min(wanted, size - end));
    let at = 0;
    for (;;) {
      if (at + RECORD_HEADER_LENGTH > bytes.length) break;
      const message = decodeRecord(bytes, at, salt, end + at);
      if (message === undefined) break;
      if (!index.add(topicOfMessage(message.bytes), message.id, message.bytes, end + at)) break;
      at += recordLength(bytes, at);
    }
    end += at;
    const next = at + RECORD_HEADER_LENGTH > bytes.length ? RECORD_HEADER_LENGTH : recordLength(bytes, at);
    // What does not fit into the block is a larger message, or no message at all.
    if (at === 0 && (next <= bytes.length || next > size - end)) break;
    wanted = Math.max(BLOCK_BYTES, next);
  }
  if (size - end !== indexLength(index.slices.length)) throw beyondReading(name, end);
  return index.slices;
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
