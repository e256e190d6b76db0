import { assertInternal } from '../base/assert.js';
import { forOneLoop } from '../base/async.js';
import { show } from '../base/bytes.js';
import type { Environment } from '../base/environment.js';
import type { EntryId } from '../index.js';
import type { ArchivedEntry } from './archived-entry.js';
import { readContents, readThrough, type ArchiveContents } from './contents.js';
import { readEntries } from './entry-reading.js';
import { ArchiveError } from './errors.js';
import type { ObjectStore } from './object-store.js';
import { readEpochs, type ArchiveEpoch } from './epochs.js';
import { restoreLog, type RestoreOptions, type Restored } from './restore.js';
import { getSlot, type SlotStore } from './slot-store.js';
import { snapshotOf, type SnapshotInfo } from './snapshots.js';
import { verifyArchive, type VerifyOptions, type VerifyReport } from './verify.js';

const TIMEOUT_MS = 30_000;
/** With the pauses between them, for half a minute. */
const ATTEMPTS = 8;
const FOLLOW_EVERY_MS = 1000;

/**
 * Which archive is read.
 *
 * @example
 * const readerOptions: ArchiveReaderOptions = { prefix: 'orders', timeoutMs: 5000 };
 * const store = directoryStore('another-disk', options.fileManager);
 * await ArchiveReader.open(store, readerOptions).catch((error) => console.log(error.code)); // ARCHIVE_NOT_FOUND
 */
export interface ArchiveReaderOptions {
  /** Where in the store it is, as for `Archive.open`. */
  readonly prefix: string;
  /** After how many milliseconds a request counts as one that is not answered, and is sent again. Default: 30,000. */
  readonly timeoutMs?: number;
}

/**
 * What to iterate over.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const yesterday: ArchivedEntriesOptions = { to: new Date(Date.now() - 24 * 60 * 60 * 1000) };
 * console.log((await reader.entries(yesterday).next()).done); // true
 * await archive.close();
 */
export interface ArchivedEntriesOptions {
  /** The id to begin with; if it was skipped, the next one. Default: the oldest there is. */
  readonly from?: EntryId;
  /** The last id, or the last moment: entries that were archived later are left out. Default: the last there is. */
  readonly to?: EntryId | Date;
  /** Whether to wait for entries to come, as a standby does. Default: false. */
  readonly follow?: boolean;
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * The entries in an archive.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const { firstId, lastId }: ArchiveRange = reader.range;
 * console.log(firstId, lastId); // 1 1
 * await archive.close();
 */
export interface ArchiveRange {
  /** The id of the oldest; if there are none, that of the next one. */
  readonly firstId: EntryId;
  /** The id of the newest; if there are none, the one before `firstId`. */
  readonly lastId: EntryId;
  /** When the newest was archived. */
  readonly time: Date;
}

/**
 * Reads an archive: for a restore, for a standby, or to see whether it is sound. It takes nothing over, needs no
 * permission but to list and read, and may be used beside the writer of the archive. Every byte is verified before it
 * is used.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * for await (const entry of reader.entries()) console.log(entry.id, await entry.text()); // 1 hello
 * console.log((await reader.verify()).problems.length); // 0
 * console.log((await reader.restore('restored', { preallocateBytes: 65536 })).lastId); // 1
 * await archive.close();
 */
export class ArchiveReader {
  /** The identity of the log that is archived. */
  readonly logId: string;
  /** The entries that were there when the reader was opened. */
  readonly range: ArchiveRange;
  /** Who has written the entries in `range`, oldest first: every opening of an `Archive` begins an epoch. */
  readonly epochs: readonly ArchiveEpoch[];
  /** The snapshots, oldest first. */
  readonly snapshots: readonly SnapshotInfo[];
  readonly #at: SlotStore;
  readonly #contents: ArchiveContents;

  private constructor(
    at: SlotStore, contents: ArchiveContents, firstId: EntryId, epochs: readonly ArchiveEpoch[],
  ) {
    assertInternal(typeof contents === 'object', 'ArchiveReader', 'ArchiveReader.open()');
    const { last, snapshots } = contents;
    this.logId = last.logId;
    this.range = { firstId, lastId: last.lastId, time: new Date(last.time) };
    this.epochs = epochs;
    this.snapshots = snapshots.map((snapshot) => snapshotOf(at, snapshot));
    this.#at = at;
    this.#contents = contents;
  }

  /**
   * Opens an archive for reading.
   *
   * Rejects with `ARCHIVE_NOT_FOUND`, `ARCHIVE_CORRUPT`, `ARCHIVE_GAP`, or with the store's own error if it has not
   * answered for half a minute.
   */
  static async open(store: ObjectStore, options: ArchiveReaderOptions): Promise<ArchiveReader> {
    return ArchiveReader.openWith({ callAfter: callAfterAwake }, store, options);
  }

  /** @internal `open` with the clock of `environment`. */
  static async openWith(
    timers: Pick<Environment, 'callAfter'>, store: ObjectStore, options: ArchiveReaderOptions,
  ): Promise<ArchiveReader> {
    const { prefix, timeoutMs = TIMEOUT_MS } = options;
    if (typeof prefix !== 'string' || prefix === '') throw new TypeError(`prefix must be a text, not ${show(prefix)}`);
    if (!(timeoutMs > 0)) throw new RangeError(`timeoutMs must be above 0, not ${show(timeoutMs)}`);
    const { signal } = new AbortController();
    const at: SlotStore = { store, prefix, signal, timeoutMs, attempts: ATTEMPTS, timers };
    return readThrough(at, await readContents(at), async (contents) => {
      const firstId = await firstIdOf(at, contents);
      if (firstId === undefined) return undefined;
      return new ArchiveReader(at, contents, firstId, await readEpochs(at, contents));
    });
  }

  /**
   * Iterates over the entries in id order. With `follow`, it waits after the last one for new entries. An entry can be
   * read once, until the next one is requested; only one loop can iterate over what this returns.
   *
   * Throws `ARCHIVE_GONE` if entries that are asked for have been deleted, also while it runs; `ARCHIVE_GAP` and
   * `ARCHIVE_CORRUPT` if the archive is damaged; a RangeError for a `from` that is after the next id.
   */
  entries(options: ArchivedEntriesOptions = {}): AsyncIterableIterator<ArchivedEntry> {
    const { from = this.range.firstId, to, follow = false, signal = this.#at.signal } = options;
    assertEntryId('from', from);
    if (to !== undefined && !(to instanceof Date)) assertEntryId('to', to);
    if (from > this.range.lastId + 1 && !follow) {
      throw new RangeError(`from is ${from}, but the next entry will be ${this.range.lastId + 1}`);
    }
    if (from < this.range.firstId) throw goneError(from, this.range);
    const reading = { from, to, followEveryMs: follow ? FOLLOW_EVERY_MS : undefined };
    return forOneLoop(readEntries({ ...this.#at, signal }, this.#contents, reading), 'entries()');
  }

  /** Reads every object of the archive, and tells what is wrong with it: nothing, if `problems` is empty. */
  async verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    return verifyArchive({ ...this.#at, ...options.signal && { signal: options.signal } }, options);
  }

  /**
   * Makes a log of the archived entries up to `to`, with their ids and in their batches, in a new directory, which
   * gets its name when all of it is durable. It must be missing or empty. The log has the identity of the one that was
   * archived, so that an `Archive` can continue with it.
   *
   * If there are snapshots of the user's storage, the log begins after the newest one up to `to`, which the result
   * names: load it first. If `to` is in a batch, the log ends before that.
   *
   * Rejects with `WAL_EXISTS` if there is something at `directory`; with `ARCHIVE_GONE` if entries that it takes have
   * been deleted; otherwise as `entries` throws.
   */
  async restore(directory: string | URL, options: RestoreOptions = {}): Promise<Restored> {
    return restoreLog(this, directory, options);
  }
}

/** Keeps the process alive: a program that waits for an entry must not end. */
function callAfterAwake(milliseconds: number, callback: () => void): () => void {
  const timer = setTimeout(callback, milliseconds);
  return () => clearTimeout(timer);
}

/** The id of the first entry; undefined if it has been deleted meanwhile. */
async function firstIdOf(at: SlotStore, { runs, last }: ArchiveContents): Promise<EntryId | undefined> {
  if (runs.length > 0) return runs[0].firstId;
  return last.begin === last.slot ? last.firstId : (await getSlot(at, last.begin))?.firstId;
}

function goneError(id: EntryId, { firstId }: ArchiveRange): ArchiveError {
  return new ArchiveError('ARCHIVE_GONE', `entry ${id} is not in the archive, which begins with entry ${firstId}`);
}

function assertEntryId(name: string, id: unknown): void {
  if (typeof id !== 'number') throw new TypeError(`${name} must be a number, not ${show(id)}`);
  if (!Number.isSafeInteger(id) || id < 0) throw new RangeError(`${name} must be an integer from 0, not ${id}`);
}
