import { assertInternal } from '../base/assert.js';
import { ignoreRejection } from '../base/async.js';
import { show } from '../base/bytes.js';
import { commitChannel } from '../base/channels.js';
import { assertChunkLength, chunkBytes } from '../model/entry.js';
import type { AppendOptions, ChunkData, ChunkRecord, EntryId } from '../model/entry.js';
import { isDurable, onCommittedOf, type SyncMode } from '../model/options.js';
import { resolveAfter } from '../engine/write/append.js';
import { OpenEntry } from '../engine/write/open-entry.js';

/**
 * Writes one entry, chunk by chunk. It has the log's only write slot from `beginEntry` until `commit`
 * is called or `rollback` has resolved: other writers wait. Leaving its scope uncommitted rolls it back.
 *
 * @example
 * const writer = await log.beginEntry();
 * const { position, length } = await writer.writeChunk('a whole chunk');
 * const chunk = await writer.beginChunk(8); // one in pieces
 * await chunk.write('four');
 * await chunk.write('more');
 * await chunk.finish();
 * console.log(await writer.commit(), position.segmentId, length); // 1 1 13
 *
 * @example
 * const writer = await log.beginEntry();
 * await writer.writeChunk('nobody will see this');
 * await writer.rollback();
 * console.log((await log.append('next')).id); // 2
 */
export class EntryWriter implements AsyncDisposable {
  readonly #entry: OpenEntry;
  readonly #directory: string;
  readonly #syncMode: SyncMode;
  /** A chunk is being written. */
  #isBusy = false;

  /** @internal */
  constructor(entry: OpenEntry, directory: string, syncMode: SyncMode) {
    assertInternal(entry instanceof OpenEntry, 'EntryWriter', 'log.beginEntry()');
    this.#entry = entry;
    this.#directory = directory;
    this.#syncMode = syncMode;
  }

  /** The id the entry will have. Ids of entries that are rolled back are skipped. */
  get id(): EntryId {
    return this.#entry.id;
  }

  /**
   * Writes a whole chunk of up to 2^32 - 1 bytes. Its position is final at once, and readable when the entry is
   * durable. `data` must not change until this resolves; it waits only while the log has too much pending.
   * An async iterable, such as a ReadableStream, becomes one chunk with what it yields, in constant memory; if it
   * fails, so does this, and the entry can only be rolled back.
   *
   * Throws a TypeError for any other type or if the entry is not open, `WAL_TOO_LARGE`, `WAL_CLOSED`, `WAL_FAILED`.
   */
  async writeChunk(data: ChunkData | AsyncIterable<ChunkData>): Promise<ChunkRecord> {
    if (isAsyncIterable(data)) return this.#writeStream(data);
    const bytes = chunkBytes(data);
    this.#assertWritable();
    assertChunkLength(bytes.length);
    if (this.#entry.hasRoomFor(bytes.length)) return this.#entry.writeChunk(bytes);
    this.#isBusy = true;
    const record = await this.#entry.writeInPieces(bytes);
    this.#isBusy = false;
    return record;
  }

  /**
   * Begins a chunk of exactly `length` bytes, or of as many as will be written, that is written in pieces; memory stays
   * constant however long it is. Nothing else can be written to the entry until the chunk is finished.
   *
   * Throws a RangeError for a length that is no integer from 0, otherwise as `writeChunk`.
   */
  async beginChunk(length?: number): Promise<ChunkWriter> {
    if (length !== undefined) assertLength(length);
    this.#assertWritable();
    this.#entry.beginChunk(length);
    this.#isBusy = true;
    return new ChunkWriter(length, {
      write: (data) => this.#entry.writeData(data),
      finish: () => {
        const record = this.#entry.endChunk();
        this.#isBusy = false;
        return record;
      },
      break: () => this.#entry.break(),
    });
  }

  /**
   * Ends the entry and lets the next writer begin. Resolves with its id when it is durable: it survives any
   * crash from then on; with `durable: false`, when the operating system has it. Rejects with `WAL_FAILED` if that
   * can no longer happen; whether the next recovery finds the entry is then unknown.
   *
   * Throws a TypeError, and changes nothing, if the entry is not open or a chunk is unfinished.
   */
  commit(options?: AppendOptions<EntryId>): Promise<EntryId> {
    if (!commitChannel.hasSubscribers) return this.#commit(options);
    return commitChannel.tracePromise(() => this.#commit(options), { directory: this.#directory, id: this.id });
  }

  #commit(options: AppendOptions<EntryId> | undefined): Promise<EntryId> {
    return new Promise((resolve, failed) => {
      const durable = isDurable(options, this.#syncMode);
      const onCommitted = onCommittedOf(options);
      this.#assertWritable();
      const committed = onCommitted === undefined
        ? resolve
        : (id: EntryId): void => resolveAfter(onCommitted, id, resolve, failed);
      this.#entry.commit({ committed, failed }, durable);
    });
  }

  /**
   * Forgets the entry. Resolves when the next writer has the write slot; nothing of the entry is ever recovered.
   * A TypeError if the entry was committed; otherwise idempotent.
   */
  async rollback(): Promise<void> {
    if (this.#entry.isCommitted) throw new TypeError(`entry ${this.id} has been committed`);
    await this.#entry.rollback();
  }

  /** Rolls the entry back unless it has been committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#entry.isCommitted) await this.rollback();
  }

  async #writeStream(source: AsyncIterable<ChunkData>): Promise<ChunkRecord> {
    const chunk = await this.beginChunk();
    let pieces: AsyncIterator<ChunkData> | undefined;
    try {
      pieces = source[Symbol.asyncIterator]();
      for (;;) {
        this.#entry.assertWritable();
        const next = await this.#unlessEnded(pieces.next());
        if (next.done === true) break;
        await chunk.write(next.value);
      }
    } catch (error) {
      this.#entry.break();
      // Not waited for: a source that has stalled does not answer this either.
      ignoreRejection((async () => pieces?.return?.())());
      throw error;
    }
    return chunk.finish();
  }

  /** Settles as `piece` does, or rejects when the entry ends: a source may keep silent for ever. */
  #unlessEnded<T>(piece: T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#entry.onEnded = () => {
        const { refusal } = this.#entry;
        if (refusal !== undefined) reject(refusal);
      };
      Promise.resolve(piece).then(resolve, reject);
    });
  }

  #assertWritable(): void {
    this.#entry.assertWritable();
    if (this.#isBusy) throw new TypeError(`entry ${this.id} has a chunk that is not finished`);
  }
}

/** What a ChunkWriter may do to its entry. */
interface ChunkTarget {
  write(data: Uint8Array): Promise<void>;
  finish(): ChunkRecord;
  break(): void;
}

/**
 * Writes the data of one chunk in pieces.
 *
 * @example
 * const writer = await log.beginEntry();
 * const chunk = await writer.beginChunk(3 * 1024);
 * for (let i = 0; i < 3; i++) await chunk.write(Buffer.alloc(1024, i));
 * const { length } = await chunk.finish();
 * await writer.commit();
 * console.log(length); // 3072
 */
export class ChunkWriter {
  /** The length of the chunk's data in bytes, if it was given. */
  readonly length: number | undefined;
  readonly #target: ChunkTarget;
  #written = 0;
  #state: 'open' | 'writing' | 'finished' = 'open';

  /** @internal */
  constructor(length: number | undefined, target: ChunkTarget) {
    assertInternal(typeof target?.break === 'function', 'ChunkWriter', 'writer.beginChunk()');
    this.length = length;
    this.#target = target;
  }

  /**
   * Writes the next bytes. Await it before the next call: it waits while the log has too much pending, which is
   * what keeps memory constant. `data` must not change until it resolves.
   *
   * Throws a RangeError, and writes nothing, for more bytes than the chunk has left; without a length, `WAL_TOO_LARGE`
   * for more than 2^32 - 1 bytes in all.
   */
  async write(data: ChunkData): Promise<void> {
    const bytes = chunkBytes(data);
    this.#assertOpen();
    const total = this.#written + bytes.length;
    if (this.length === undefined) assertChunkLength(total);
    else if (total > this.length) {
      const left = this.length - this.#written;
      throw new RangeError(`the chunk has room for ${left} more bytes, not ${bytes.length}`);
    }
    this.#written = total;
    this.#state = 'writing';
    try {
      await this.#target.write(bytes);
    } finally {
      this.#state = 'open';
    }
  }

  /** Ends the chunk. A RangeError if bytes are missing: the entry can then only be rolled back. */
  async finish(): Promise<ChunkRecord> {
    this.#assertOpen();
    this.#state = 'finished';
    const left = (this.length ?? this.#written) - this.#written;
    if (left > 0) {
      this.#target.break();
      throw new RangeError(`the chunk lacks ${left} of its ${this.length} bytes; its entry can only be rolled back`);
    }
    return this.#target.finish();
  }

  #assertOpen(): void {
    if (this.#state === 'writing') throw new TypeError('the chunk is already being written to: await the call before');
    if (this.#state === 'finished') throw new TypeError('the chunk has been finished');
  }
}

function assertLength(length: unknown): void {
  if (typeof length !== 'number') throw new TypeError(`length must be a number, not ${show(length)}`);
  if (!Number.isInteger(length) || length < 0) throw new RangeError(`length must be an integer from 0, not ${length}`);
  assertChunkLength(length);
}

function isAsyncIterable(data: unknown): data is AsyncIterable<ChunkData> {
  return typeof (data as Partial<AsyncIterable<ChunkData>> | null | undefined)?.[Symbol.asyncIterator] === 'function';
}
