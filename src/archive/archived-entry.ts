import { assertInternal } from '../base/assert.js';
import type { EntryId } from '../index.js';

/** What the entry's data comes from. */
export interface ChunkStream {
  /** The length of the next chunk, or undefined after the last. What is left of the chunk before it is skipped. */
  nextChunk(): Promise<number | undefined>;
  /** The next bytes of the chunk, or undefined after the last. They stay as they are. */
  nextBytes(): Promise<Uint8Array | undefined>;
}

/** What is known of an entry before its data. */
export interface ArchivedEntryHead {
  readonly id: EntryId;
  readonly endsBatch: boolean;
  readonly versionInfo: Uint8Array;
}

/**
 * A chunk of an archived entry.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * for await (const entry of reader.entries()) {
 *   for await (const chunk of entry) console.log(chunk.length, String(await chunk.readAll())); // 5 hello
 * }
 * await archive.close();
 */
export class ArchivedChunk implements AsyncIterable<Uint8Array> {
  /** The length of its data in bytes. */
  readonly length: number;
  readonly #stream: ChunkStream;
  #isRead = false;

  /** @internal */
  constructor(length: number, stream: ChunkStream) {
    assertInternal(typeof stream === 'object', 'ArchivedChunk', 'iterating over an ArchivedEntry');
    this.length = length;
    this.#stream = stream;
  }

  /** The chunk's data, as a whole. */
  async readAll(): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this) pieces.push(piece);
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  }

  /** The chunk's data in pieces, for chunks too large to hold. It can be read once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    if (this.#isRead) throw new TypeError('the chunk has been read, and is streamed from the archive only once');
    this.#isRead = true;
    for (let bytes; (bytes = await this.#stream.nextBytes()) !== undefined;) yield bytes;
  }
}

/**
 * An entry in the archive, whose bytes have been verified. It can be read once, from the front to the back, until the
 * next one is requested.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * for await (const entry of reader.entries()) console.log(entry.endsBatch, await entry.text()); // true hello
 * for await (const entry of reader.entries()) {
 *   const chunks = entry.chunksInMemory() ?? await entry.readAllChunks();
 *   console.log(chunks.length); // 1
 * }
 * for await (const entry of reader.entries()) {
 *   await entry.json().catch((error: Error) => console.log(error.name)); // SyntaxError
 * }
 * await archive.close();
 */
export class ArchivedEntry implements AsyncIterable<ArchivedChunk> {
  /** Its number in its log. */
  readonly id: EntryId;
  /** Whether it is the last entry of its batch, or was appended alone. */
  readonly endsBatch: boolean;
  /** The version info of the segment it stood in. */
  readonly versionInfo: Uint8Array;
  readonly #source: Uint8Array[] | ChunkStream;
  #isRead = false;

  /** @internal An entry with all of its chunks, or with what they are streamed from. */
  constructor({ id, endsBatch, versionInfo }: ArchivedEntryHead, source: Uint8Array[] | ChunkStream) {
    assertInternal(typeof source === 'object', 'ArchivedEntry', 'ArchiveReader.entries()');
    this.id = id;
    this.endsBatch = endsBatch;
    this.versionInfo = versionInfo;
    this.#source = source;
  }

  /** The data of every chunk, in the order in which they were written. Holds the whole entry in memory. */
  async readAllChunks(): Promise<Uint8Array[]> {
    const inMemory = this.chunksInMemory();
    if (inMemory !== undefined) return inMemory;
    const chunks: Uint8Array[] = [];
    for await (const chunk of this) chunks.push(await chunk.readAll());
    return chunks;
  }

  /** What `readAllChunks` resolves with, at once, if the whole entry is in memory. Otherwise undefined. */
  chunksInMemory(): Uint8Array[] | undefined {
    if (!Array.isArray(this.#source)) return undefined;
    this.#take();
    return this.#source;
  }

  /** Its chunks, one after the other, as UTF-8 text. */
  async text(): Promise<string> {
    return Buffer.concat(await this.readAllChunks()).toString();
  }

  /** Its chunks, one after the other, as JSON. Throws a SyntaxError if they are something else. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  /** The chunks in the order in which they were written. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ArchivedChunk, void, void> {
    this.#take();
    const stream = Array.isArray(this.#source) ? streamOf(this.#source) : this.#source;
    for (let length; (length = await stream.nextChunk()) !== undefined;) yield new ArchivedChunk(length, stream);
  }

  #take(): void {
    if (this.#isRead) throw new TypeError(`entry ${this.id} has been read, and is streamed from the archive only once`);
    this.#isRead = true;
  }
}

function streamOf(chunks: readonly Uint8Array[]): ChunkStream {
  let next = 0;
  let rest: Uint8Array | undefined;
  return {
    async nextChunk() {
      rest = chunks.at(next++);
      return rest?.length;
    },
    async nextBytes() {
      const bytes = rest;
      rest = undefined;
      return bytes;
    },
  };
}
