import { assertInternal } from '../base/assert.js';
import { WalError } from '../base/errors.js';
import type { EntryId } from '../model/entry.js';
import { LogPosition } from '../model/log-position.js';
import type { Format } from '../format/format.js';
import * as format from '../format/segment-format.js';
import { ChunkSource } from './chunk-source.js';
import { Segment, type RecoveredSegment } from './segment.js';
import { RecordScanner, type EntryExtent } from './record-scanner.js';

/**
 * A chunk of an entry that has been verified.
 *
 * @example
 * const recover = async (entry: Entry) => {
 *   for await (const chunk of entry) console.log(`${chunk.length} ${Buffer.from(await chunk.readAll())}`); // 5 hello
 * };
 * await log.append('hello');
 * await log.shutdown();
 * const again = await WriteAheadLog.recover('my-log', { recover, checkpointTo() {} }, options);
 * await again.shutdown();
 */
export class EntryChunk implements AsyncIterable<Uint8Array> {
  /** Where `readAt` finds the chunk until its segment has been checkpointed. */
  readonly position: LogPosition;
  /** The length of its data in bytes. */
  readonly length: number;
  readonly #entry: Entry;
  readonly #data: Uint8Array | undefined;

  /** @internal `data` if the whole entry is held in memory. */
  constructor(entry: Entry, position: LogPosition, length: number, data?: Uint8Array) {
    assertInternal(entry instanceof Entry, 'EntryChunk', 'iterating over an Entry');
    this.#entry = entry;
    this.#data = data;
    this.position = position;
    this.length = length;
  }

  /** The chunk's data. Throws `WAL_CORRUPT` if it has been damaged since the entry was verified. */
  async readAll(): Promise<Uint8Array> {
    if (this.#data !== undefined) return Buffer.from(this.#data);
    const { offset } = this.position;
    const resident = this.#entry.resident(offset + format.CHUNK_HEADER_LENGTH, this.length);
    if (resident !== undefined) return Buffer.from(resident);
    return (await this.#open()).readRest();
  }

  /** The chunk's data in pieces, for chunks too large to hold. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    if (this.#data !== undefined) yield Buffer.from(this.#data);
    else yield* (await this.#open()).stream();
  }

  #open(): Promise<ChunkSource> {
    return ChunkSource.open(this.#entry.source, this.position, this.#entry.extent.end);
  }
}

/**
 * An entry that has been verified whole. It can be read until the call it was handed to has returned, or until the
 * next one is requested where it came from a loop. One that was asked for by itself can be read for ever.
 *
 * @example
 * await log.appendBatch(['hello', '{ "color": "blue" }']);
 * for await (const entry of log.entries({ from: 2 })) console.log(await entry.json()); // { color: 'blue' }
 * for await (const entry of log.entries()) console.log((await entry.text()).length); // 5, then 19
 *
 * @example
 * const recover = async (entry: Entry) => {
 *   const [key, value] = await entry.readAllChunks();
 *   console.log(`${entry.id}: ${Buffer.from(key)} = ${Buffer.from(value)}`); // 1: color = blue
 * };
 * await log.append(['color', 'blue']);
 * await log.shutdown();
 * const again = await WriteAheadLog.recover('my-log', { recover, checkpointTo() {} }, options);
 * await again.shutdown();
 */
export class Entry implements AsyncIterable<EntryChunk> {
  /** Its number. */
  readonly id: EntryId;
  /** The segment it stands in. */
  readonly segment: RecoveredSegment;
  /** @internal */
  readonly source: Segment;
  /** @internal */
  readonly extent: EntryExtent;
  /** What has read it; undefined once it is held in memory. */
  #scanner: RecordScanner | undefined;
  /** Its chunks, if it is held in memory. */
  #chunks: readonly { readonly position: LogPosition; readonly data: Uint8Array }[] = [];

  /** @internal */
  constructor(scanner: RecordScanner, extent: EntryExtent) {
    assertInternal(scanner instanceof RecordScanner, 'Entry', 'log.entries()');
    this.id = extent.id;
    this.segment = scanner.segment;
    this.source = scanner.segment;
    this.extent = extent;
    this.#scanner = scanner;
  }

  /**
   * Whether the entry is the last of its batch, or was not written in one. Entries up to this one are recovered all
   * together or not at all.
   *
   * @example
   * await log.appendBatch(['one', 'two']);
   * await log.append('three');
   * for await (const entry of log.entries()) console.log(entry.endsBatch); // false, then true, and true
   */
  get endsBatch(): boolean {
    return this.extent.endsBatch;
  }

  /** The data of every chunk, in the order in which they were written. Holds the whole entry in memory. */
  async readAllChunks(): Promise<Uint8Array[]> {
    const inMemory = this.chunksInMemory();
    if (inMemory !== undefined) return inMemory;
    const chunks: Uint8Array[] = [];
    for await (const chunk of this) chunks.push(await chunk.readAll());
    return chunks;
  }

  /**
   * What `readAllChunks` resolves with, at once and without a promise, if the whole entry is in memory: most are, since
   * entries come with the block that was read to verify them. Otherwise undefined.
   *
   * @example
   * await log.append(['two', 'chunks']);
   * for await (const entry of log.entries()) {
   *   const chunks = entry.chunksInMemory() ?? await entry.readAllChunks();
   *   console.log(Buffer.concat(chunks).toString()); // twochunks
   * }
   */
  chunksInMemory(): Uint8Array[] | undefined {
    const { start, end } = this.extent;
    if (this.#scanner === undefined) return this.#chunks.map(({ data }) => Buffer.from(data));
    const resident = this.#scanner.resident(start, end);
    return resident === undefined ? undefined : copyChunks(resident, this.source.format);
  }

  /**
   * Calls `use` for every chunk with its data and its position, at once and without a promise, if the whole entry is in
   * memory. Returns whether it is; if not, nothing is called. The data is not copied: it is only there until `use`
   * returns. So an index of millions of entries is built as they are recovered.
   *
   * @example
   * await log.append(['two', 'chunks']);
   * for await (const entry of log.entries()) {
   *   entry.visitInMemory((data, position) => console.log(position.segmentId, data.length)); // 1 3, then 1 6
   * }
   */
  visitInMemory(use: (data: Uint8Array, position: LogPosition) => void): boolean {
    if (this.#scanner === undefined) {
      for (const { data, position } of this.#chunks) use(data, position);
      return true;
    }
    const { start, end } = this.extent;
    const resident = this.#scanner.resident(start, end);
    if (resident === undefined) return false;
    const { segmentId, format: { endLength } } = this.source;
    forEachChunk(resident, endLength, (data, at) => use(data, new LogPosition(segmentId, start + at)));
    return true;
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
  async *[Symbol.asyncIterator](): AsyncGenerator<EntryChunk, void, void> {
    if (this.#scanner !== undefined) yield* this.#read();
    else for (const { position, data } of this.#chunks) yield new EntryChunk(this, position, data.length, data);
  }

  /** @internal Takes all of it into memory: it can be read from then on whatever becomes of its segment. */
  async load(): Promise<this> {
    const chunks = [];
    for await (const chunk of this) chunks.push({ position: chunk.position, data: await chunk.readAll() });
    this.#chunks = chunks;
    this.#scanner = undefined;
    return this;
  }

  async *#read(): AsyncGenerator<EntryChunk, void, void> {
    const header = Buffer.alloc(format.CHUNK_HEADER_LENGTH);
    const end = this.extent.end - this.source.format.endLength;
    for (let at = this.extent.start + format.ENTRY_LENGTH; at < end;) {
      await this.#readHeader(header, at);
      if (header[0] === format.MARK_MARKER) {
        at += format.MARK_LENGTH;
        continue;
      }
      const length = format.decodeChunkLength(header, 0);
      // It was a chunk when the entry was verified. Taking anything else for the entry's end would lose chunks.
      const isChunk = header[0] === format.CHUNK_MARKER && at + format.CHUNK_OVERHEAD + length <= end;
      if (!isChunk) throw damaged(this.segment, at, this.id - 1);
      yield new EntryChunk(this, new LogPosition(this.source.segmentId, at), length);
      at += format.CHUNK_OVERHEAD + length;
    }
  }

  /** @internal */
  resident(start: number, length: number): Buffer | undefined {
    return this.#scanner?.resident(start, start + length);
  }

  async #readHeader(header: Buffer, at: number): Promise<void> {
    const resident = this.#scanner?.resident(at, at + header.length);
    if (resident !== undefined) header.set(resident);
    else header.fill(0, await this.source.read(header, at));
  }
}

/** The data of the chunks of an entry whose records are all in `bytes`. */
function copyChunks(bytes: Buffer, { endLength }: Format): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  forEachChunk(bytes, endLength, (data) => chunks.push(Buffer.from(data)));
  return chunks;
}

/** Calls `use` with the chunks of an entry whose records are all in `bytes`: a view of each, and where it begins. */
function forEachChunk(bytes: Buffer, endLength: number, use: (data: Buffer, at: number) => void): void {
  const end = bytes.length - endLength;
  for (let at = format.ENTRY_LENGTH; at < end;) {
    if (bytes[at] === format.MARK_MARKER) {
      at += format.MARK_LENGTH;
      continue;
    }
    const length = format.decodeChunkLength(bytes, at);
    const from = at + format.CHUNK_HEADER_LENGTH;
    use(bytes.subarray(from, from + length), at);
    at += format.CHUNK_OVERHEAD + length;
  }
}

/**
 * The entries of one segment, in order. Every loop gets all of them, also while another one is under way.
 *
 * @example
 * import { once } from 'node:events';
 *
 * const checkpointTo = async (lastId: EntryId, entries: SegmentReader) => {
 *   for await (const entry of entries) console.log(entry.id, lastId); // 1 1
 * };
 * const mine = await WriteAheadLog.recover('mine', { recover() {}, checkpointTo }, options);
 * await mine.append('hello');
 * await Promise.all([once(mine, 'checkpoint'), mine.checkpointActive()]);
 * await mine.shutdown();
 */
export class SegmentReader implements AsyncIterable<Entry> {
  /** The segment they stand in. */
  readonly segment: RecoveredSegment;
  readonly #source: Segment;
  readonly #end: number;
  readonly #blockBytes: number;
  readonly #after: EntryId;
  #isClosed = false;

  /** @internal Reads the entries above `after` that are durable in `segment` now, in blocks of `blockBytes`. */
  constructor(segment: Segment, blockBytes: number, after: EntryId) {
    assertInternal(segment instanceof Segment, 'SegmentReader', 'the log, as an argument of checkpointTo()');
    this.segment = segment;
    this.#source = segment;
    this.#end = segment.durableEnd;
    this.#blockBytes = blockBytes;
    this.#after = after;
  }

  /** The entries in id order. Throws `WAL_CORRUPT` if the segment has been damaged since it was written. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Entry, void, void> {
    this.#assertOpen();
    const scanner = await RecordScanner.openDurable(this.#source, this.#blockBytes);
    for (;;) {
      const extent = await scanner.next();
      // Whatever was awaited: the segment's file may be used again from the moment checkpointTo has returned.
      this.#assertOpen();
      if (extent === undefined) break;
      if (extent.id > this.#after) yield new Entry(scanner, extent);
    }
    if (scanner.end !== this.#end) throw damaged(this.segment, scanner.end, scanner.lastId);
  }

  /** @internal Ends the time in which the segment can be read. */
  close(): void {
    this.#isClosed = true;
  }

  #assertOpen(): void {
    if (!this.#isClosed) return;
    const { segmentId } = this.segment;
    const message = `segment ${segmentId} could be read only until checkpointTo returned`;
    throw new WalError('WAL_POSITION_GONE', message, { segmentId });
  }
}

/** The first of `entries`, whole in memory; undefined if there is none. */
export async function loadFirst(entries: AsyncIterableIterator<Entry>): Promise<Entry | undefined> {
  try {
    const first = await entries.next();
    return first.done === true ? undefined : await first.value.load();
  } finally {
    await entries.return?.();
  }
}

/** The error for bytes that were durable once and are not what they were. */
export function damaged({ segmentId }: RecoveredSegment, offset: number, lastGoodId: EntryId): WalError {
  const message = `segment ${segmentId} is damaged at offset ${offset}; the last good entry is ${lastGoodId}`;
  return new WalError('WAL_CORRUPT', message, { segmentId, offset });
}
