import { forOneLoop, Serial } from '../base/async.js';
import { assertInternal } from '../base/assert.js';
import { show } from '../base/bytes.js';
import { toWalError, WalError } from '../base/errors.js';
import { assertDirection, assertFrom, assertId, futureError, type EntryId } from '../model/entry.js';
import { LogPosition } from '../model/log-position.js';
import { resolveOptions, signalOf } from '../model/options.js';
import type { FileManager } from '../files/file-manager.js';
import { readIdentity } from '../engine/directory/identity-file.js';
import { entriesBackwards } from '../engine/read/entries-backwards.js';
import { ViewedChunks } from '../engine/read/viewed-chunks.js';
import { viewLog, type LogView, type ViewOptions } from '../engine/view/log-view.js';
import { openScanner } from '../engine/view/segment-chain.js';
import { findClosedEnd, findLastEnd, type SegmentEnd } from '../engine/view/segment-end.js';
import { findEntryStart } from '../segment/entry-start.js';
import { damaged, Entry, loadFirst } from '../segment/segment-reader.js';
import type { RecordScanner, ScanStart } from '../segment/record-scanner.js';
import type { RecoveredSegment, Segment } from '../segment/segment.js';
import { ChunkReader } from './chunk-reader.js';

/**
 * How a log is read that is not opened for writing.
 *
 * @example
 * const small: ReadOnlyOptions = { fileManager: options.fileManager, bufferBytes: 64 * 1024 };
 * const reader = await WriteAheadLog.openReadOnly('my-log', small);
 * await reader.close();
 */
export interface ReadOnlyOptions {
  /** Where the log is stored. Only `list` and `open` for reading are used. Default: a NodeFileManager. */
  fileManager?: FileManager;
  /** The size in bytes of the blocks that are read. 4 KiB to 64 MiB; default 1 MiB. */
  bufferBytes?: number;
  /**
   * Told of damage, for salvage: what is damaged is passed over, and reading goes on with the next segment. Without it
   * damage is an error.
   */
  onDamage?: (this: void, error: WalError) => void;
}

/**
 * Which entries are wanted.
 *
 * @example
 * await log.append(['a', 'b']);
 * const reader = await WriteAheadLog.openReadOnly('my-log', options);
 * const wanted: ReadOptions = { from: 1, signal: AbortSignal.timeout(10_000) };
 * for await (const entry of reader.entries(wanted)) console.log(entry.id); // 1
 * await reader.close();
 */
export interface ReadOptions {
  /** The first entry id wanted, or the position of an entry's first chunk. Default: the oldest there is. */
  from?: EntryId | LogPosition;
  /** Whether to go backwards, from `from` or the last entry, as `WriteAheadLog.entries` does. Default: false. */
  reverse?: boolean;
  /** Ends the reading with its reason. */
  signal?: AbortSignal;
}

/**
 * A segment as a reader found it.
 *
 * @example
 * const reader = await WriteAheadLog.openReadOnly('my-log', options);
 * const [first]: readonly SegmentInfo[] = reader.segments;
 * console.log(first.name, first.state, first.size); // wal-1 last 65536
 * await reader.close();
 */
export interface SegmentInfo extends RecoveredSegment {
  /** The name of its file. */
  readonly name: string;
  /** Whether a successor says where it ends. Only the last can go on. */
  readonly state: 'closed' | 'last';
  /** The offset at which its entries end. */
  readonly end: number;
  /** The highest id given out by then, where that is known without reading the segment: not in format 0. */
  readonly lastId: EntryId | undefined;
  /** The length of its file. */
  readonly size: number;
}

/**
 * A log that is only read: while another process owns it, from a copy, or from a read-only file system. Nothing is
 * locked, written, created or removed. It shows the log as it was when it was opened, or at the last `refresh()`.
 *
 * What its owner has checkpointed meanwhile may be gone: reading it rejects with `WAL_POSITION_GONE`.
 *
 * @example
 * await log.append('hello');
 * const reader = await WriteAheadLog.openReadOnly('my-log', options); // although `log` has it open
 * await log.append('world');
 * await reader.refresh();
 * console.log(reader.lastId); // 2
 * await reader.close();
 */
export class ReadOnlyLog implements AsyncDisposable, AsyncIterable<Entry> {
  readonly #directory: string;
  readonly #options: ViewOptions;
  readonly #looking = new Serial();
  /** Every segment whose file is open: also those of earlier views that somebody still reads. */
  readonly #open = new Set<Segment>();
  #view!: LogView;
  #segments: readonly SegmentInfo[] = [];
  #chunks = new ViewedChunks([]);
  #isClosed = false;

  private constructor(directory: string, options: ViewOptions) {
    assertInternal(typeof options?.bufferBytes === 'number', 'ReadOnlyLog', 'WriteAheadLog.openReadOnly()');
    this.#directory = directory;
    this.#options = options;
  }

  /** @internal */
  static async open(directory: string, options: ReadOnlyOptions = {}): Promise<ReadOnlyLog> {
    const { fileManager, bufferBytes } = resolveOptions(options, { onDamage: undefined });
    const { onDamage } = options;
    if (onDamage !== undefined && typeof onDamage !== 'function') {
      throw new TypeError(`onDamage must be a function, not ${show(onDamage)}`);
    }
    const log = new ReadOnlyLog(directory, { fileManager, bufferBytes, onDamage });
    await log.refresh();
    return log;
  }

  /** The segments that hold the log, oldest first. */
  get segments(): readonly SegmentInfo[] {
    return this.#segments;
  }

  /** The names of segment files that hold nothing: checkpointed ones, and those kept for later. */
  get spares(): readonly string[] {
    return this.#view.spares;
  }

  /** Where the log ends. */
  get end(): LogPosition {
    return new LogPosition(this.#view.segments.at(-1)?.segment.segmentId ?? 0, this.#view.last.end);
  }

  /** @internal The highest id given out before the first segment. */
  get goneId(): EntryId {
    return this.#view.segments.at(0)?.segment.idBefore ?? 0;
  }

  /** The highest id given out, as far as the log knows. */
  get lastId(): EntryId {
    return this.#view.last.lastId;
  }

  /**
   * Up to this id the log's own records prove that every entry is durable. Entries above it are whole too, but a loss
   * of power may still take them. 0 where there is no such record: in format 0.
   */
  get provenId(): EntryId {
    return this.#view.last.provenId;
  }

  /**
   * The identity of the log, as `WriteAheadLog.identity` answers; undefined as long as that was never asked for. One
   * that is being made this very moment can be lost with the power, and another be made.
   *
   * Rejects with `WAL_CORRUPT` if its file is damaged, with `WAL_IO` or `WAL_CLOSED`.
   *
   * @example
   * const reader = await WriteAheadLog.openReadOnly('my-log', options);
   * console.log(await reader.identity()); // undefined
   * await reader.close();
   */
  async identity(): Promise<string | undefined> {
    this.#assertOpen();
    return readIdentity(this.#options.fileManager, this.#directory);
  }

  /** Bytes behind the end that belong to an entry that is not complete, or not yet. */
  get tornBytes(): number {
    return this.#view.last.tornBytes;
  }

  /** Whether a recovery was interrupted in its work, or is at it: the next may find more entries than this reader. */
  get isRepairPending(): boolean {
    return this.#view.isRepairPending;
  }

  /**
   * Every whole entry in id order, as the LogManager gets it. An entry can be read until the next one is asked for. One
   * loop can go through what this returns; a second is a TypeError.
   *
   * It can begin with an entry whose first chunk's position is known, without reading what comes before it, and throws
   * `WAL_NO_ENTRY` if that is the position of another chunk.
   *
   * With `reverse`, it goes backwards. Each segment is then read three times, the last of the log twice. Damage in a
   * segment is met before its entries: it ends the reading, or is reported, first.
   *
   * Throws `WAL_POSITION_GONE` if entries from `from` on have been checkpointed, or are while this reads; `WAL_CORRUPT`
   * at damage, once the entries before it have been given; `WAL_CLOSED`; the signal's reason.
   *
   * @example
   * await log.append(['a', 'chunk']);
   * const reader = await WriteAheadLog.openReadOnly('my-log', options);
   * for await (const entry of reader.entries({ from: 1 })) console.log((await entry.readAllChunks()).length); // 2
   * await reader.close();
   */
  entries(options: ReadOptions = {}): AsyncGenerator<Entry, void, void> {
    return forOneLoop(this.#read(options), 'entries()');
  }

  /** @internal As `entries()`, but of one segment alone: the others need not be there any more. */
  entriesOf(segmentId: number, options: ReadOptions = {}): AsyncGenerator<Entry, void, void> {
    return this.#read(options, segmentId);
  }

  async *#read(options: ReadOptions, only?: number): AsyncGenerator<Entry, void, void> {
    const signal = signalOf(options, { from: undefined, reverse: undefined });
    const { from, reverse = false } = options;
    assertFrom(from);
    assertDirection(false, reverse);
    this.#assertOpen();
    if (reverse) {
      yield* this.#readBackwards(from, signal);
      return;
    }
    const view = this.#view;
    const { segments } = view;
    const first = from instanceof LogPosition ? this.#chunks.segmentAt(from).segmentId : 0;
    const fromId = typeof from === 'number' ? from : 0;
    for (const { segment } of segments) segment.pin();
    try {
      assertNotGone(from, segments.at(0)?.segment);
      for (let i = 0; i < segments.length; i++) {
        const { segment, segment: { segmentId }, isGivenUp } = segments[i];
        if (isGivenUp || segmentId < first || (only !== undefined && segmentId !== only)) continue;
        if ((segments[i + 1]?.link?.lastId ?? fromId) < fromId) continue;
        const isFirst = from instanceof LogPosition && segmentId === first;
        const start = isFirst ? await findEntryStart(segment, from.offset, endOf(view, i)) : undefined;
        const { scanner, end, damage } = await this.#openSegment(i, view, start);
        for (let step = scanner.step(); step !== 'end'; step = scanner.step()) {
          signal?.throwIfAborted();
          if (step === 'more') await scanner.fill();
          else if (scanner.entry.id >= fromId) yield new Entry(scanner, scanner.entry);
        }
        if (scanner.end !== end) throw damaged(scanner.segment, scanner.end, scanner.lastId);
        if (damage !== undefined) this.#report(damage);
      }
    } finally {
      for (const { segment } of segments) segment.unpin();
    }
  }

  async *#readBackwards(
    from: EntryId | LogPosition | undefined, signal: AbortSignal | undefined,
  ): AsyncGenerator<Entry, void, void> {
    const view = this.#view;
    const { segments } = view;
    for (const { segment } of segments) segment.pin();
    try {
      if (from !== 0) assertNotGone(from, segments.at(0)?.segment);
      const fromId = from instanceof LogPosition ? await this.#idAt(from) : from;
      const below = fromId === undefined ? Infinity : fromId + 1;
      for (let i = segments.length - 1; i >= 0; i--) {
        const { segment, isGivenUp } = segments[i];
        if (isGivenUp || segment.idBefore + 1 >= below) continue;
        const { end, damage } = await this.#findEnd(i, view);
        if (damage !== undefined) this.#report(damage);
        for await (const entry of entriesBackwards({ segment, end, below, blockBytes: this.#options.bufferBytes })) {
          signal?.throwIfAborted();
          yield entry;
        }
      }
    } finally {
      for (const { segment } of segments) segment.unpin();
    }
  }

  /** The id of the entry that begins with the chunk at `position`. */
  async #idAt(from: LogPosition): Promise<EntryId> {
    const entry = await loadFirst(this.#read({ from }));
    return entry?.id ?? 0;
  }

  /**
   * The entry with this id, whole in memory: it can be read for ever. Undefined if no entry has it: it was skipped, or
   * rolled back. The segment with the id is read from its front.
   *
   * Rejects with `WAL_OUT_OF_RANGE` if no entry has the id yet, and as `entries` throws.
   *
   * @example
   * await log.appendBatch(['one', 'two']);
   * const reader = await WriteAheadLog.openReadOnly('my-log', options);
   * console.log(await (await reader.entry(1))?.text(), await (await reader.lastEntry())?.text()); // one two
   * await reader.close();
   */
  async entry(id: EntryId, options: { signal?: AbortSignal } = {}): Promise<Entry | undefined> {
    assertId('id', id);
    const signal = signalOf(options);
    this.#assertOpen();
    if (id > this.lastId) throw futureError('id', id, this.lastId + 1);
    const entry = await loadFirst(this.#read({ from: id, ...signal === undefined ? {} : { signal } }));
    return entry?.id === id ? entry : undefined;
  }

  /** The last entry, whole in memory; undefined if there is none. Its segment is read. Rejects as `entries` throws. */
  async lastEntry(options: { signal?: AbortSignal } = {}): Promise<Entry | undefined> {
    const signal = signalOf(options);
    return loadFirst(this.#read({ reverse: true, ...signal === undefined ? {} : { signal } }));
  }

  /** As `entries()`. */
  [Symbol.asyncIterator](): AsyncGenerator<Entry, void, void> {
    return this.entries();
  }

  /**
   * Opens the chunk at `position` for reading. Rejects with `WAL_POSITION_GONE` if there is nothing, not yet or not any
   * more; with `WAL_CORRUPT` if no chunk begins there; with `WAL_CLOSED`. So do the reader's own methods.
   *
   * @example
   * const { chunks: [chunk] } = await log.append('hello');
   * const reader = await WriteAheadLog.openReadOnly('my-log', options);
   * const bytes = await (await reader.readAt(chunk.position)).readAll();
   * console.log(Buffer.from(bytes).toString()); // hello
   * await reader.close();
   */
  async readAt(position: LogPosition): Promise<ChunkReader> {
    this.#assertOpen();
    const { segment, source } = await this.#chunks.open(position);
    return new ChunkReader(segment, source);
  }

  /**
   * The data of the chunk at `position`, verified, read on the calling thread: `WriteAheadLog.readSync` says when to
   * use it. Throws as `readAt` rejects, with `WAL_CORRUPT` also for data that is damaged. A TypeError if the
   * FileManager cannot read on the calling thread.
   *
   * @example
   * const { chunks: [chunk] } = await log.append('hello');
   * const reader = await WriteAheadLog.openReadOnly('my-log', options);
   * console.log(Buffer.from(reader.readSync(chunk.position)).toString()); // hello
   * await reader.close();
   */
  readSync(position: LogPosition): Uint8Array {
    this.#assertOpen();
    return this.#chunks.readSync(position);
  }

  /**
   * The data of the chunk at `position`, verified, read on the thread pool. Rejects as `readAt`, with `WAL_CORRUPT`
   * also for data that is damaged, or with the signal's reason.
   *
   * @example
   * const [a, b] = (await log.append(['a', 'b'])).chunks;
   * const reader = await WriteAheadLog.openReadOnly('my-log', options);
   * console.log(Buffer.from(await reader.read(a.position)).toString()); // a
   * console.log(String(await reader.readMany([b.position, a.position]))); // b,a
   * await reader.close();
   */
  async read(position: LogPosition, options?: { signal?: AbortSignal }): Promise<Uint8Array> {
    this.#assertOpen();
    return this.#chunks.read(position, options);
  }

  /** `read` for many chunks, as `WriteAheadLog.readMany`. */
  async readMany(positions: readonly LogPosition[], options?: { signal?: AbortSignal }): Promise<Uint8Array[]> {
    this.#assertOpen();
    return this.#chunks.readMany(positions, options);
  }

  /**
   * Looks again, for what has been added since. What is being read goes on as it began.
   *
   * @example
   * const reader = await WriteAheadLog.openReadOnly('my-log', options);
   * await log.append('new');
   * await reader.refresh();
   * console.log(reader.lastId); // 1
   * await reader.close();
   */
  refresh(): Promise<void> {
    return this.#looking.run(async () => {
      this.#assertOpen();
      try {
        const view = await viewLog(this.#directory, this.#options);
        for (const { segment } of view.segments) this.#open.add(segment);
        this.#segments = describe(view);
        this.#chunks = new ViewedChunks(view.segments.flatMap(({ segment, isGivenUp }, i) => (
          isGivenUp ? [] : [{ segment, end: endOf(view, i) }]
        )));
        const outdated = this.#view?.segments ?? [];
        this.#view = view;
        for (const { segment } of outdated) void segment.whenUnpinned().then(() => this.#close(segment));
      } catch (error) {
        throw toWalError(error, `the log in ${this.#directory} cannot be read`);
      }
    });
  }

  /** Lets go of the files. Whoever still reads is told `WAL_POSITION_GONE`. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#looking.idle();
    for (const segment of this.#open) await this.#close(segment);
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Begins to read a segment, at `start`, whose whole entries end at `end`, which is not where they ended once if it is
   * damaged.
   */
  async #openSegment(
    index: number, view: LogView, start: ScanStart | undefined,
  ): Promise<SegmentEnd & { scanner: RecordScanner }> {
    const found = await this.#findEnd(index, view, start);
    const { segment } = view.segments[index];
    return { ...found, scanner: await openScanner(segment, this.#options.bufferBytes, found.end, undefined, start) };
  }

  /** Where the whole entries of a segment end. It is settled first, so that nothing is shown of a part of a batch. */
  async #findEnd(index: number, { segments, last }: LogView, start?: ScanStart): Promise<SegmentEnd> {
    const { segment } = segments[index];
    const { bufferBytes } = this.#options;
    // Where segments are missing, the next one is not the successor.
    const follower = segments[index + 1]?.link;
    const next = follower?.previousSegmentId === segment.segmentId ? follower : undefined;
    if (index === segments.length - 1) return last;
    if (next === undefined) return findLastEnd(segment, bufferBytes);
    return findClosedEnd(segment, next, bufferBytes, start);
  }

  #report(damage: WalError): void {
    const { onDamage } = this.#options;
    if (onDamage === undefined) throw damage;
    onDamage(damage);
  }

  async #close(segment: Segment): Promise<void> {
    await segment.close();
    this.#open.delete(segment);
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new WalError('WAL_CLOSED', 'the reader has been closed');
  }
}

function describe(view: LogView): SegmentInfo[] {
  const { segments, last } = view;
  return segments.flatMap(({ segment, size, isGivenUp }, i) => {
    if (isGivenUp) return [];
    const { segmentId, name, formatVersion, versionInfo } = segment;
    const isLast = i === segments.length - 1;
    const lastId = isLast ? last.lastId : segments[i + 1].link?.lastId;
    const state = isLast ? 'last' : 'closed';
    return [{ segmentId, name, formatVersion, versionInfo, state, end: endOf(view, i), lastId, size }];
  });
}

/** Where the entries of a view's segment end. */
function endOf({ segments, last }: LogView, i: number): number {
  return i === segments.length - 1 ? last.end : segments[i + 1].link?.previousEnd ?? segments[i].size;
}

function assertNotGone(from: unknown, oldest: Segment | undefined): void {
  if (typeof from !== 'number' || oldest === undefined || from > oldest.idBefore) return;
  const message = `entries up to ${oldest.idBefore} have been checkpointed, and ${from} is among them`;
  throw new WalError('WAL_POSITION_GONE', message, { segmentId: oldest.segmentId });
}
