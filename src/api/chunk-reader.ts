import { ChunkSource } from '../segment/chunk-source.js';
import type { Segment } from '../segment/segment.js';
import { assertInternal } from '../base/assert.js';
import { show } from '../base/bytes.js';

/**
 * Reads one chunk, front to back. Its segment's file is not used again until the reader is closed, so
 * close it: with `close()`, by iterating to the end, or by leaving the scope of an `await using`.
 *
 * @example
 * const { chunks: [chunk] } = await log.append('hello');
 * const reader = await log.readAt(chunk.position);
 * const half = Buffer.alloc(3);
 * await reader.read(half);
 * console.log(`${half} ${Buffer.from(await reader.readAll())} ${await reader.crcIsValid()}`); // hel lo true
 * await reader.close();
 *
 * @example
 * const { chunks: [chunk] } = await log.append('hello');
 * for await (const piece of await log.readAt(chunk.position)) console.log(piece.length); // 5
 */
export class ChunkReader implements AsyncDisposable, AsyncIterable<Uint8Array> {
  readonly #segment: Segment;
  readonly #source: ChunkSource;
  #isClosed = false;
  #isReading = false;
  #isLooped = false;

  /** @internal The segment is pinned for this reader. */
  constructor(segment: Segment, source: ChunkSource) {
    assertInternal(source instanceof ChunkSource, 'ChunkReader', 'log.readAt()');
    this.#segment = segment;
    this.#source = source;
  }

  /** The length of the chunk's data in bytes. */
  get length(): number {
    return this.#source.length;
  }

  /** How many bytes have not been read yet. */
  get bytesRemaining(): number {
    return this.#source.bytesRemaining;
  }

  /**
   * Reads into `target` and resolves with the number of bytes read: as many as fit and remain, 0 at the end.
   * The data is checked only by `crcIsValid`, once all of it has been read. Await it before the next call.
   */
  async read(target: Uint8Array): Promise<number> {
    if (!(target instanceof Uint8Array)) throw new TypeError(`target must be a Uint8Array, not ${show(target)}`);
    return this.#reading(() => this.#source.read(target));
  }

  /** The bytes that remain, after the whole chunk has been checked: `WAL_CORRUPT` if it is damaged. */
  async readAll(): Promise<Uint8Array> {
    return this.#reading(() => this.#source.readRest());
  }

  /** Whether the data read is what was written. A RangeError before all of it has been read. */
  async crcIsValid(): Promise<boolean> {
    this.#assertOpen();
    const { bytesRemaining } = this;
    if (bytesRemaining > 0) {
      throw new RangeError(`the checksum is known once all is read; ${bytesRemaining} bytes remain`);
    }
    return this.#source.isValid();
  }

  /** Lets go of the segment, once a read under way has ended. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isReading) this.#segment.unpin();
  }

  /**
   * The bytes that remain, in pieces; the end of the iteration means that the whole chunk is valid. Closes the reader.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    this.#assertOpen();
    if (this.#isLooped) throw new TypeError('a loop goes through the chunk already: each would get only some pieces');
    this.#isLooped = true;
    try {
      const pieces = this.#source.stream();
      for (;;) {
        const piece = await this.#reading(() => pieces.next());
        if (piece.done === true) return;
        yield piece.value;
      }
    } finally {
      await this.close();
    }
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Each read begins where the one before it ended. */
  async #reading<T>(read: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    this.#isReading = true;
    try {
      return await read();
    } finally {
      this.#isReading = false;
      if (this.#isClosed) this.#segment.unpin();
    }
  }

  #assertOpen(): void {
    if (this.#isReading) throw new TypeError('the chunk is already being read: await the call before');
    if (this.#isClosed) throw new TypeError('the chunk reader has been closed');
  }
}
