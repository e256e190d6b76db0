import { EventEmitter } from 'node:events';
import { assertInternal } from '../base/assert.js';
import { forOneLoop } from '../base/async.js';
import { commitChannel, publish, recoverChannel, traced } from '../base/channels.js';
import { systemEnvironment, type Environment } from '../base/environment.js';
import { show } from '../base/bytes.js';
import { WalError } from '../base/errors.js';
import { assertDirection, assertFrom, assertId, futureError, entryData, entryDataLength } from '../model/entry.js';
import type { AppendOptions, ChunkData, CommittedEntry, EntryId } from '../model/entry.js';
import type { LogPosition } from '../model/log-position.js';
import { MAX_ENTRY_ID } from '../format/segment-format.js';
import { absolutePath } from '../base/absolute-path.js';
import {
  FROM_THE_FIRST_ID, isDurable, onCommittedOf, resolveCreateOptions, resolveOptions, signalOf,
} from '../model/options.js';
import type { Beginning, CreateOptions, ResolvedOptions, WalOptions } from '../model/options.js';
import type { RecoveryReport } from '../model/recovery-report.js';
import { EntryIterator, type EntryIteratorParts } from '../engine/read/entry-iterator.js';
import { iterateBackwards } from '../engine/read/reverse-iterator.js';
import { LiveChunks } from '../engine/read/live-chunks.js';
import type { LogManagerOf } from '../engine/checkpoint/log-manager.js';
import { Log } from '../engine/log/log.js';
import { openLog } from '../engine/log/open.js';
import { shutDown } from '../engine/log/shut-down.js';
import { ManagerCalls } from '../engine/log/manager-calls.js';
import type { OpenEntry } from '../engine/write/open-entry.js';
import { loadFirst, type Entry } from '../segment/segment-reader.js';
import { ChunkReader } from './chunk-reader.js';
import { EntryWriter } from './entry-writer.js';
import type { WalEvents } from '../model/wal-events.js';
import { statsOf, type WalStats } from './wal-stats.js';
import { Hold, requestedHold, type HoldOptions } from './hold.js';
import { ReadOnlyLog, type ReadOnlyOptions } from './read-only-log.js';

/**
 * What the log's owner provides: how to replay an entry, and how to persist those of a full segment.
 *
 * @example
 * import { once } from 'node:events';
 *
 * const state: string[] = [];
 * const manager: LogManager = {
 *   async recover(entry) {
 *     for (const chunk of await entry.readAllChunks()) state.push(Buffer.from(chunk).toString());
 *   },
 *   async checkpointTo(lastId, entries) { for await (const entry of entries) console.log(entry.id, lastId); }, // 1 1
 * };
 * const mine = await WriteAheadLog.recover('mine', manager, options);
 * await mine.append('hello');
 * await Promise.all([once(mine, 'checkpoint'), mine.checkpointActive()]);
 * await mine.shutdown();
 *
 * @interface
 */
export type LogManager = LogManagerOf<WriteAheadLog>;

/**
 * What to iterate over.
 *
 * @example
 * const options: EntriesOptions = { from: log.durableId + 1, follow: true, signal: AbortSignal.timeout(1000) };
 * const next = log.entries(options).next();
 * await log.append('hello');
 * console.log((await next).value?.id); // 1
 */
export interface EntriesOptions {
  /**
   * The id to begin with; if it was skipped, the next one. Or the position of an entry's first chunk, which is found
   * without reading what comes before it. Default: the oldest entry that is still there.
   */
  readonly from?: EntryId | LogPosition;
  /** Whether to wait for entries to come. Default: false. */
  readonly follow?: boolean;
  /**
   * Whether to go backwards: from the entry with the id `from`, or the one before it if it was skipped, or from the
   * last one there is, down to the oldest that is still there. Default: false.
   */
  readonly reverse?: boolean;
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

/** How many entries of a batch, or chunks of an entry, are looked at and encoded in one turn of the event loop. */
const AT_ONCE_ITEMS = 4096;

/**
 * A segmented write-ahead log. When a commit has resolved, its entry survives a crash of the process,
 * the operating system and the power.
 *
 * @example
 * const mine = await WriteAheadLog.recover('mine', LogVoid, { preallocateBytes: 65536 });
 * const { id, chunks } = await mine.append('hello');
 * console.log(id, chunks[0].length); // 1 5
 * await mine.shutdown();
 */
export class WriteAheadLog extends EventEmitter<WalEvents> implements AsyncDisposable {
  readonly #log: Log;
  readonly #chunks: LiveChunks;
  #shutdown: Promise<void> | undefined;
  #hasWarned = false;
  readonly #newWriter: (entry: OpenEntry) => EntryWriter;

  private constructor(log: Log, calls: ManagerCalls<WriteAheadLog>) {
    super();
    assertInternal(log instanceof Log, 'WriteAheadLog', 'WriteAheadLog.recover()');
    this.#log = log;
    this.#newWriter = (entry) => new EntryWriter(entry, log.directory.path, log.options.sync);
    this.#chunks = new LiveChunks(log);
    log.observe({
      persist: (segment, persisting) => calls.persist(segment, this, persisting),
      report: (name, ...details) => this.#report(name, ...details),
    });
  }

  /**
   * Creates or recovers the log in `directory`, a path or a `file:` URL, and takes ownership of it. Resolves when
   * `manager` has taken every entry that was not checkpointed, and all of them are proven durable.
   *
   * Rejects with `WAL_LOCKED`, `WAL_CORRUPT`, `WAL_UNSUPPORTED_VERSION`, `WAL_READ_ONLY`, `WAL_NO_SPACE`, `WAL_IO` or
   * `WAL_LOG_MANAGER_FAILED`; the log is then as it was, and can be recovered again. A TypeError or RangeError
   * for bad arguments.
   *
   * @example
   * await log.append('hello');
   * await log.shutdown();
   * const recover = async (entry: Entry) => console.log(entry.id, (await entry.readAllChunks()).length); // 1 1
   * const again = await WriteAheadLog.recover('my-log', { recover, checkpointTo() {} }, options);
   * await again.shutdown();
   */
  static recover(directory: string | URL, manager: LogManager, options?: WalOptions): Promise<WriteAheadLog> {
    return WriteAheadLog.recoverWith(systemEnvironment, directory, manager, options);
  }

  /**
   * Makes a new log in `directory` and opens it as `recover` does. It can begin with a higher id than 1, and take over
   * the identity of a log that it continues. A creation that was interrupted leaves no log: it can be repeated.
   *
   * Rejects with `WAL_EXISTS` if there is a log, with `WAL_OUT_OF_RANGE` if `manager` has stored entries from `nextId`
   * on, or as `recover` does.
   *
   * @example
   * const identity = await log.identity();
   * const next = await WriteAheadLog.create('next', LogVoid, { ...options, nextId: 501, identity });
   * console.log((await next.append('hello')).id, (await next.identity()) === identity); // 501 true
   * await next.shutdown();
   */
  static create(directory: string | URL, manager: LogManager, options?: CreateOptions): Promise<WriteAheadLog> {
    return WriteAheadLog.createWith(systemEnvironment, directory, manager, options);
  }

  /**
   * Opens the log in `directory`, a path or a `file:` URL, for reading only, whoever owns it. Nothing is locked,
   * written or repaired.
   *
   * Rejects with `WAL_CORRUPT`, `WAL_UNSUPPORTED_VERSION` or `WAL_IO`; a TypeError or RangeError for bad arguments.
   *
   * @example
   * await log.append('hello');
   * const reader = await WriteAheadLog.openReadOnly('my-log', options); // `log` goes on writing
   * for await (const entry of reader.entries()) console.log(entry.id, (await entry.readAllChunks()).length); // 1 1
   * await reader.close();
   */
  static async openReadOnly(directory: string | URL, options?: ReadOnlyOptions): Promise<ReadOnlyLog> {
    return ReadOnlyLog.open(absolutePath('directory', directory), options);
  }

  /** @internal `recover` with the clock and the randomness of `environment`. */
  static async recoverWith(
    environment: Environment, directory: string | URL, manager: LogManager, options?: WalOptions,
  ): Promise<WriteAheadLog> {
    return WriteAheadLog.#open(environment, directory, manager, resolveOptions(options), FROM_THE_FIRST_ID);
  }

  /** @internal `create` with the clock and the randomness of `environment`. */
  static async createWith(
    environment: Environment, directory: string | URL, manager: LogManager, options?: CreateOptions,
  ): Promise<WriteAheadLog> {
    const { options: resolved, beginning } = resolveCreateOptions(options);
    return WriteAheadLog.#open(environment, directory, manager, resolved, beginning);
  }

  static #open(
    environment: Environment, path: string | URL, manager: LogManager, options: ResolvedOptions, beginning: Beginning,
  ): Promise<WriteAheadLog> {
    const calls = new ManagerCalls(manager, options.bufferBytes);
    const directory = absolutePath('directory', path);
    const request = { directory, options, beginning, environment, target: calls };
    const open = () => openLog(request, (log) => new WriteAheadLog(log, calls));
    return traced(recoverChannel, () => ({ directory: request.directory }), open);
  }

  /** What was found when the log was opened. */
  get recovery(): RecoveryReport {
    return this.#log.recovery;
  }

  /**
   * Waits for the write slot and begins an entry. Other writers wait until it is committed or rolled back, so keep it
   * no longer than writing takes. An aborted `signal` ends the wait.
   *
   * Rejects with `WAL_CLOSED`, `WAL_FAILED`, `WAL_NO_SPACE` or `WAL_IO` (no next segment could be made; nothing is
   * lost, try again), or the signal's reason.
   *
   * @example
   * const writer = await log.beginEntry();
   * await writer.writeChunk('header');
   * await writer.writeChunk('body');
   * console.log(await writer.commit()); // 1
   */
  beginEntry(options: { signal?: AbortSignal } = {}): Promise<EntryWriter> {
    return new Promise((resolve, reject) => {
      this.#log.writeQueue.begin(false, signalOf(options), this.#newWriter, resolve, reject);
    });
  }

  /**
   * Writes a whole entry of one chunk, or of one chunk per element of an array, and resolves when it is durable. This
   * is the fast path: all entries appended during a flush share the next one. `data` must not change until it resolves.
   *
   * Rejects as `beginEntry` and `EntryWriter.commit` do, with `WAL_TOO_LARGE` for a chunk above 2^32 - 1 bytes, and
   * with a TypeError for data of any other type.
   *
   * @example
   * const [one, two] = await Promise.all([log.append('a chunk'), log.append(['two', 'chunks'])]); // one flush
   * console.log(one.id, two.id, two.chunks.length); // 1 2 2
   */
  append(data: ChunkData | readonly ChunkData[], options?: AppendOptions<CommittedEntry>): Promise<CommittedEntry> {
    if (!commitChannel.hasSubscribers) return this.#append(data, options);
    const context = { directory: this.#log.directory.path };
    return commitChannel.tracePromise(() => this.#append(data, options), context);
  }

  #append(data: ChunkData | readonly ChunkData[], options?: AppendOptions<CommittedEntry>): Promise<CommittedEntry> {
    return new Promise((resolve, reject) => {
      const { writeQueue, options: { sync } } = this.#log;
      const durable = isDurable(options, sync);
      const onCommitted = onCommittedOf(options);
      if (isLong(data)) {
        const copy = (data as readonly ChunkData[]).slice();
        resolve(writeQueue.appendLargeEntry(copy, durable, onCommitted));
      } else {
        const entry = entryData(data);
        writeQueue.append(entry, entryDataLength(entry), durable, onCommitted, resolve, reject);
      }
    });
  }

  /**
   * Writes many entries as one unit: after a crash, all of them are recovered or none. They get consecutive ids.
   * Resolves when they are durable; an empty batch resolves at once. Rejects as `append` does, and then none of them
   * was written.
   *
   * @example
   * const transfer = await log.appendBatch(['from: -10', 'to: +10']);
   * console.log(transfer.map(({ id }) => id)); // [ 1, 2 ]
   */
  appendBatch(
    entries: readonly (ChunkData | readonly ChunkData[])[], options?: AppendOptions<readonly CommittedEntry[]>,
  ): Promise<readonly CommittedEntry[]> {
    const describe = () => ({ directory: this.#log.directory.path });
    return traced(commitChannel, describe, () => this.#appendBatch(entries, options));
  }

  #appendBatch(
    entries: readonly (ChunkData | readonly ChunkData[])[], options?: AppendOptions<readonly CommittedEntry[]>,
  ): Promise<readonly CommittedEntry[]> {
    return new Promise((resolve) => {
      // Without its type, which says less than the parameter's.
      const isArray: boolean = Array.isArray(entries);
      if (!isArray) throw new TypeError(`a batch must be an array of entries, not ${show(entries)}`);
      const { writeQueue, options: { sync } } = this.#log;
      const durable = isDurable(options, sync);
      const onCommitted = onCommittedOf(options);
      const isLarge = isLong(entries) || entries.some(isLong);
      if (entries.length === 0) resolve([]);
      else if (isLarge) resolve(writeQueue.appendLarge(entries.slice(), durable, onCommitted));
      else resolve(writeQueue.appendBatch(Array.from(entries, entryData), durable, onCommitted));
    });
  }

  /**
   * Iterates over the durable entries in id order, beginning at `from` or at the oldest that is still in the log. With
   * `follow`, it waits after the last one for new entries, and delivers each once it is durable, never earlier. The
   * segment that is being read is not recycled until the iteration has left it; later ones may be, unless there is a
   * `hold`. An entry can be read until the next one is requested. Only one loop can iterate over what this returns; a
   * second one throws a TypeError.
   *
   * With `reverse`, it goes backwards, a segment at a time. Nothing leads from an entry to the one before it, so each
   * segment is read twice, the first time before any entry of it is delivered; in memory are 64 KiB of entries, or one
   * that is larger, and a few bytes for every 64 KiB of the segment. It ends with the oldest entry that is still there
   * when it gets to it.
   *
   * Throws `WAL_OUT_OF_RANGE` if no entry has the id `from` yet and `follow` is not set. For a position, reading
   * rejects as `readAt` does; with `WAL_NO_ENTRY` if the chunk there is not the first of its entry; with
   * `WAL_NOT_DURABLE` if the entry is not durable yet and `follow` is not set. It also rejects with
   * `WAL_POSITION_GONE` if the next entry has already been checkpointed, or if the log is truncated below what the user
   * has: an entry that was read, the rest of a batch that has begun, or an entry before the id `from`, also if that was
   * still to come. It rejects with `WAL_CORRUPT`, `WAL_FAILED`, or the signal's reason. A shutdown ends a follower's
   * iteration.
   *
   * @example
   * await log.appendBatch(['one', 'two', 'three']);
   * for await (const entry of log.entries({ from: 2 })) {
   *   console.log(entry.id, Buffer.concat(await entry.readAllChunks()).toString()); // 2 two, then 3 three
   * }
   */
  entries(options: EntriesOptions = {}): AsyncIterableIterator<Entry> {
    const signal = signalOf(options, { from: undefined, follow: undefined, reverse: undefined });
    const { from, follow = false, reverse = false } = options;
    assertFrom(from);
    assertDirection(follow, reverse);
    const { nextId } = this.#log.rotation;
    if (typeof from === 'number' && from > nextId && !follow) throw futureError('from', from, nextId);
    const parts = this.#iteratorParts;
    const entries = reverse
      ? iterateBackwards(parts, from, signal) : new EntryIterator(parts, from, follow, signal);
    return forOneLoop<AsyncIterableIterator<Entry>>(entries, 'entries()');
  }

  /**
   * The entry with this id, whole in memory: it can be read for ever. Undefined if the id was skipped or rolled back,
   * or dropped by `truncateAfter`. There is no index: the segment with the id is read from its front up to the entry.
   * A program that wants entries again keeps their positions, for `read`.
   *
   * Rejects with `WAL_OUT_OF_RANGE` if no entry has the id yet, with `WAL_NOT_DURABLE` if it is not durable yet, with
   * `WAL_POSITION_GONE` if it has been checkpointed, with `WAL_CORRUPT`, `WAL_FAILED`, `WAL_CLOSED`, or the signal's
   * reason.
   *
   * @example
   * await log.appendBatch(['one', 'two', 'three']);
   * const entry = await log.entry(2);
   * console.log(await entry?.text()); // two
   */
  async entry(id: EntryId, options: { signal?: AbortSignal } = {}): Promise<Entry | undefined> {
    assertId('id', id);
    const signal = signalOf(options);
    const { rotation: { nextId }, lifecycle: { refusal }, flusher } = this.#log;
    if (id >= nextId) throw futureError('id', id, nextId);
    if (refusal !== undefined) throw refusal;
    // Where all is durable, the ids above belong to no entry.
    const isAllDurable = flusher.pendingBytes === 0 && flusher.unsyncedBytes === 0;
    if (id > this.durableId && !isAllDurable) {
      throw new WalError('WAL_NOT_DURABLE', `entry ${id} is not durable yet`);
    }
    this.#log.segments.assertNotGone(id);
    const entry = await loadFirst(new EntryIterator(this.#iteratorParts, id, false, signal, 0));
    return entry?.id === id ? entry : undefined;
  }

  /**
   * The last entry that is durable, whole in memory; undefined if there is none in the log. Costs what it costs to
   * begin `entries({ reverse: true })`: the segment that it is in is read. Rejects as `entry` does.
   *
   * @example
   * console.log(await log.lastEntry()); // undefined
   * await log.appendBatch(['one', 'two']);
   * console.log(await (await log.lastEntry())?.text()); // two
   */
  async lastEntry(options: { signal?: AbortSignal } = {}): Promise<Entry | undefined> {
    return loadFirst(iterateBackwards(this.#iteratorParts, undefined, signalOf(options)));
  }

  /** @internal The ids after which the log has been truncated since it was opened, in the order of the calls. */
  get truncations(): readonly EntryId[] {
    return this.#log.segments.cuts;
  }

  /** @internal The hold with this name, which may be broken; undefined if there is none. */
  existingHold(name: string): Hold | undefined {
    return this.#log.holds.get(name) === undefined ? undefined : new Hold(this.#log, name);
  }

  get #iteratorParts(): EntryIteratorParts {
    return {
      segments: this.#log.segments,
      chunks: this.#chunks,
      durableId: this.#log.flusher.durableId,
      blockBytes: this.#log.options.bufferBytes,
      closed: () => this.#log.lifecycle.refusal,
    };
  }

  /**
   * Keeps the segments that contain the entry `from` or later ones readable after their checkpoint, until the hold is
   * advanced or released. A hold is durable: after a restart, `hold(name)` returns it. A hold that keeps more than
   * `maxBytes` of checkpointed segments is broken: the event `holdBroken` reports it, and `hold(name)` without `from`
   * rejects.
   *
   * Rejects with `WAL_POSITION_GONE` if `from` is gone, with `WAL_OUT_OF_RANGE` if it is after the next id, with
   * `WAL_HOLD_BROKEN`, `WAL_IO`, `WAL_NO_SPACE`, `WAL_CLOSED` or `WAL_FAILED`, and with a RangeError if `from` is
   * before where the hold already begins.
   *
   * @example
   * const replica = await log.hold('replica', { from: 1 });
   * await log.append('hello');
   * for await (const entry of log.entries({ from: replica.from })) await replica.advance(entry.id + 1);
   * console.log(replica.from); // 2
   * await replica.release();
   */
  async hold(name: string, options: HoldOptions = {}): Promise<Hold> {
    await this.#log.holds.change(name, (hold) => requestedHold(name, options, hold, this.#log.idRange));
    void this.#log.breakHolds();
    return new Hold(this.#log, name);
  }

  /**
   * Drops every entry after `id`, as a Raft follower must when its leader's log differs. Waits for the write slot like
   * a writer. Once it has resolved, none of the dropped entries is ever recovered; a crash before that leaves all of
   * them or none. Dropped ids may be issued again, except those up to the id of the segment the log was in: ids can be
   * skipped. A batch of which a part was dropped ends with the last entry that is left. A running checkpoint of dropped
   * entries is aborted.
   *
   * Rejects with `WAL_OUT_OF_RANGE` if no entry has the id `id` yet, with `WAL_POSITION_GONE` if later entries have
   * been checkpointed, with `WAL_HELD` if a hold begins after `id`, or as `beginEntry` does.
   *
   * @example
   * await log.appendBatch(['keep', 'drop', 'drop']);
   * await log.truncateAfter(1);
   * console.log(log.durableId); // 1
   */
  async truncateAfter(id: EntryId): Promise<void> {
    assertId('id', id);
    await this.#log.truncateAfter(id);
  }

  /**
   * Frees the closed segments that contain only entries below `id`, without a checkpoint: the caller needs them no
   * longer. Resolves when they are freed. Entries below `id` in other segments stay.
   *
   * Rejects with `WAL_OUT_OF_RANGE` for an id above the next, with `WAL_HELD` if a hold keeps one of the entries, with
   * `WAL_CLOSED` or `WAL_FAILED`, and with `WAL_IO` if a file cannot be freed now: the log keeps trying.
   *
   * @example
   * await log.append('in a snapshot by now');
   * await log.checkpointActive();
   * await log.truncateBefore(2);
   */
  async truncateBefore(id: EntryId): Promise<void> {
    assertId('id', id);
    await this.#log.truncateBefore(id);
  }

  /**
   * Passes over the ids below `id`: entries that are begun after the call get `id` or a higher one, also after a crash.
   * Nothing is written for the ids themselves. Does nothing if they have been given out, or passed over, durably.
   * Waits for the write slot like a writer, and resolves when it is durable. A `truncateAfter` that drops entries
   * before `id` takes it back.
   *
   * Rejects as `beginEntry` does; the ids may be passed over all the same. A RangeError for an id that no entry can
   * have.
   *
   * @example
   * await log.append('one');
   * await log.skipTo(1001);
   * console.log((await log.append('a thousand and one')).id); // 1001
   */
  async skipTo(id: EntryId): Promise<void> {
    assertId('id', id);
    if (id > MAX_ENTRY_ID) throw new RangeError(`id must be at most ${MAX_ENTRY_ID}, not ${id}`);
    await this.#log.writeQueue.skipTo(id);
  }

  /**
   * Tells this log from every other: a UUID. It is made, durably, at the first call, and stays for the life of the
   * directory, whatever is written, checkpointed or truncated. Copies of the directory have the same.
   *
   * Rejects with `WAL_CORRUPT` if its file, `wal-identity`, is damaged, with `WAL_IO`, `WAL_NO_SPACE`, `WAL_CLOSED` or
   * `WAL_FAILED`.
   *
   * @example
   * const identity = await log.identity();
   * console.log(identity.length, identity === (await log.identity())); // 36 true
   */
  identity(): Promise<string> {
    return this.#log.identity.get();
  }

  /**
   * Makes every entry durable that was committed before the call, whatever `sync` says. Rejects with `WAL_FAILED` or
   * `WAL_CLOSED`.
   *
   * @example
   * await log.append('first', { durable: false });
   * await log.sync();
   * console.log(log.durableId); // 1
   */
  async sync(): Promise<void> {
    const { refusal } = this.#log.lifecycle;
    if (refusal !== undefined) throw refusal;
    await this.#log.writeQueue.sync();
  }

  /** The highest id of which it is known that its entry, and all before it, are durable. */
  get durableId(): EntryId {
    return this.#log.flusher.durableId.value;
  }

  /**
   * Resolves when the entry with `id`, or a later one, is durable; `id` may belong to an entry that does not exist yet.
   * Starts no flush, and keeps the process alive. Rejects with the signal's reason, `WAL_CLOSED` or `WAL_FAILED`.
   *
   * @example
   * const next = log.waitForDurable(log.durableId + 1);
   * await log.append('hello');
   * await next;
   */
  async waitForDurable(id: EntryId, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertId('id', id);
    await this.#log.flusher.durableId.reached(id, signalOf(options));
  }

  /**
   * Opens the chunk at `position` for reading, once its entry is durable. Its segment's file is not used
   * again until the reader is closed.
   *
   * Rejects with `WAL_POSITION_GONE` if the segment has been checkpointed, the entry was rolled back or nothing was
   * ever written there; with `WAL_CORRUPT` if no chunk begins there; with `WAL_FAILED` or `WAL_CLOSED`; with a
   * TypeError for anything but a LogPosition.
   *
   * @example
   * const { chunks: [chunk] } = await log.append('hello');
   * const reader = await log.readAt(chunk.position);
   * console.log(Buffer.from(await reader.readAll()).toString()); // hello
   * await reader.close();
   */
  async readAt(position: LogPosition): Promise<ChunkReader> {
    const { segment, source } = await this.#chunks.open(position);
    return new ChunkReader(segment, source);
  }

  /**
   * The data of the chunk at `position`, verified, read on the calling thread. The fastest way to a small chunk that
   * is in the operating system's cache. One that is not blocks the event loop for as long as the disk takes: use
   * `read` where that matters, and `readAt` for chunks too large to hold. The bytes are the caller's.
   *
   * Throws `WAL_NOT_DURABLE` if the entry is not durable yet; otherwise as `readAt`, with `WAL_CORRUPT` also for data
   * that is damaged. A TypeError if the log's FileManager cannot read on the calling thread.
   *
   * @example
   * const { chunks: [chunk] } = await log.append('hello');
   * console.log(Buffer.from(log.readSync(chunk.position)).toString()); // hello
   */
  readSync(position: LogPosition): Uint8Array {
    return this.#chunks.readSync(position);
  }

  /**
   * The data of the chunk at `position`, verified, read on the thread pool once its entry is durable. An aborted
   * `signal` gives it up. For chunks that fit into memory; `readAt` streams larger ones. The bytes are the caller's.
   *
   * Rejects as `readAt` does, with `WAL_CORRUPT` also for data that is damaged, or with the signal's reason.
   *
   * @example
   * const { chunks: [chunk] } = await log.append('hello');
   * console.log(Buffer.from(await log.read(chunk.position)).toString()); // hello
   */
  read(position: LogPosition, options?: { signal?: AbortSignal }): Promise<Uint8Array> {
    return this.#chunks.read(position, options);
  }

  /**
   * `read` for many chunks: resolves with their data in the order of `positions`. Chunks that stand close together in
   * the log share a read. All of them must fit into memory. Rejects as `read` does, if any of them cannot be read.
   *
   * @example
   * const batch = await log.appendBatch(['one', 'two', 'three']);
   * const positions = batch.map(({ chunks: [chunk] }) => chunk.position).reverse();
   * console.log(String(await log.readMany(positions))); // three,two,one
   */
  readMany(positions: readonly LogPosition[], options?: { signal?: AbortSignal }): Promise<Uint8Array[]> {
    return this.#chunks.readMany(positions, options);
  }

  /**
   * Closes the active segment now, however full it is. Resolves when it is queued for its checkpoint; does nothing if
   * it contains no entry. Waits for the write slot like a writer, and rejects as `beginEntry` does.
   *
   * @example
   * import { once } from 'node:events';
   *
   * await log.append('hello');
   * const [[{ lastId }]] = await Promise.all([once(log, 'checkpoint'), log.checkpointActive()]);
   * console.log(lastId); // 1
   */
  checkpointActive(): Promise<void> {
    return this.#log.writeQueue.rotate();
  }

  /**
   * Closes the active segment and resolves when all that was written before the call has been checkpointed, also what
   * failed before and is tried again now. Rejects with the error if a checkpoint fails (the log goes on trying), and as
   * `checkpointActive` does. Do not await it in `checkpointTo`.
   *
   * @example
   * await log.append('hello');
   * await log.checkpoint();
   * console.log(log.stats().segmentsToCheckpoint); // 0
   */
  async checkpoint(): Promise<void> {
    await this.#log.writeQueue.rotate();
    await this.#log.checkpointer.whenEmpty();
  }

  /**
   * Where the log stands now.
   *
   * @example
   * console.log(log.stats().pendingBytes, log.stats().waitingWriters); // 0 0
   */
  stats(): WalStats {
    return statsOf(this.#log);
  }

  /**
   * Refuses new work, rolls back an entry that is still open, makes everything accepted durable, waits for a running
   * checkpoint to end, however long that takes, and releases the directory. It never rejects: a failure has already
   * been reported to the callers it concerns. Idempotent: every call resolves when all of that is done.
   *
   * @example
   * await log.shutdown();
   * await log.append('late').catch((error: WalError) => console.log(error.code)); // WAL_CLOSED
   */
  shutdown(): Promise<void> {
    this.#shutdown ??= shutDown(this.#log);
    return this.#shutdown;
  }

  /** As `shutdown`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** Emits from a microtask of its own: a listener that throws must not interrupt the log. */
  #report<Name extends keyof WalEvents>(name: Name, ...details: WalEvents[Name]): void {
    queueMicrotask(() => {
      const [detail] = details;
      const isPublished = publish(name, this.#log.directory.path, detail instanceof Error ? { error: detail } : detail);
      const isHeard = (this as EventEmitter).emit(name, ...details) || isPublished;
      if (name === 'checkpointFailed' && !isHeard) this.#warnOnce(...(details as WalEvents['checkpointFailed']));
    });
  }

  #warnOnce({ error, segmentId }: WalEvents['checkpointFailed'][0]): void {
    // A log that has failed says so itself.
    if (this.#hasWarned || this.#log.lifecycle.failure !== undefined) return;
    this.#hasWarned = true;
    const what = `segment ${segmentId} of the log in ${this.#log.directory.path} cannot be checkpointed`;
    const message = `${what} and keeps its space: ${error.message}. Listen to 'checkpointFailed' for more`;
    process.emitWarning(message, { code: 'WAL_CHECKPOINT_FAILED' });
  }
}

function isLong(data: unknown): boolean {
  return Array.isArray(data) && data.length > AT_ONCE_ITEMS;
}
