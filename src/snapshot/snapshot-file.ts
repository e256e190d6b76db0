import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { Serial } from '../base/async.js';
import { show } from '../base/bytes.js';
import { hasCode } from '../base/errno.js';
import { toWalError, WalError } from '../base/errors.js';
import type { FileHandle, FileManager } from '../files/file-manager.js';
import { removeIfThere } from '../files/transfer.js';
import { absolutePath } from '../base/absolute-path.js';
import { assertId, chunkBytes, type ChunkData, type EntryId } from '../model/entry.js';
import { fileManagerOf, signalOf } from '../model/options.js';
import { untilAborted } from './until-aborted.js';
import { Snapshot } from './snapshot.js';
import { SnapshotEncoder } from './snapshot-encoder.js';

/**
 * Where a snapshot is stored.
 *
 * @example
 * const options: SnapshotOptions = { fileManager: new MemoryFileManager() };
 * console.log(await new SnapshotFile('snapshot', options).load()); // undefined
 */
export interface SnapshotOptions {
  /** What the file is written through. Default: a NodeFileManager. */
  readonly fileManager?: FileManager;
}

/**
 * The content of a snapshot: as a whole, or in pieces, such as a stream or a generator. Strings are stored as UTF-8.
 *
 * @example
 * const pairs = new Map([['color', 'blue'], ['shape', 'round']]);
 * function* lines() { for (const pair of pairs) yield `${JSON.stringify(pair)}\n`; }
 * const content: SnapshotContent = lines();
 * await new SnapshotFile('snapshot').save(2, content);
 */
export type SnapshotContent = ChunkData | Iterable<ChunkData> | AsyncIterable<ChunkData>;

/**
 * How a snapshot is saved.
 *
 * @example
 * const owner = new AbortController();
 * log.on('failed', (error) => owner.abort(error)); // the directory may belong to another process from then on
 * const options: SaveOptions = { signal: owner.signal };
 * await new SnapshotFile('my-log/snapshot').save(log.durableId, 'content', options);
 */
export interface SaveOptions {
  /** Gives up with its reason, and leaves the snapshot that was there. It comes too late once the new one is named. */
  readonly signal?: AbortSignal;
}

type Pieces = AsyncIterable<ChunkData> | Iterable<ChunkData>;

/** Told apart from those of another process, which may still run, and rename its own later than it should. */
const PROCESS = randomBytes(4).toString('hex');

/**
 * A file with the state of a store up to one entry of its log, for stores that have no storage of their own. It is
 * replaced as a whole, atomically and durably, and may be in the directory of the log or in another.
 *
 * Load and save while you own the log: from `LogManager.open`, `recover` and `checkpointTo`, or between `recover` and
 * `shutdown`. Calls at the same time are carried out one after the other.
 *
 * @example
 * const file = new SnapshotFile('my-log/snapshot');
 * await file.save(17, JSON.stringify({ color: 'blue' })); // durable when this resolves
 * const snapshot = await file.load();
 * console.log(snapshot?.lastId, await snapshot?.json()); // 17 { color: 'blue' }
 */
export class SnapshotFile {
  readonly #path: string;
  readonly #fileManager: FileManager;
  readonly #calls = new Serial();
  /** The last entry of what was loaded or saved. */
  #lastId: EntryId = 0;
  #saves = 0;
  /** A snapshot has its name, but the sync of that has failed. */
  #isUnproven = false;

  /** A path or a `file:` URL. Its directory is created when it is needed. */
  constructor(file: string | URL, options: SnapshotOptions = {}) {
    this.#path = absolutePath('file', file);
    this.#fileManager = fileManagerOf(options);
  }

  /**
   * The snapshot, or undefined if none was ever saved. What it says is durable, so it may be built upon: also if the
   * process that saved it was killed before it could make sure. Leftovers of such a process are removed.
   *
   * Rejects with `WAL_CORRUPT` if it is damaged, `WAL_UNSUPPORTED_VERSION`, `WAL_IO`, or `WAL_FAILED` after a save that
   * could not be proven durable, until another has been.
   */
  load(): Promise<Snapshot | undefined> {
    return this.#calls.run(async () => {
      if (this.#isUnproven) {
        throw new WalError('WAL_FAILED', `whether the snapshot ${this.#path} is durable is not known: a sync failed`);
      }
      try {
        return await this.#load();
      } catch (error) {
        throw toWalError(error, `the snapshot ${this.#path} cannot be loaded`);
      }
    });
  }

  /**
   * Replaces the snapshot by one that includes the entries up to `lastId`. Resolves when that is durable; a crash
   * before leaves the one that was there, or this one, whole. If it rejects, call it again with the content from its
   * beginning: nothing of the failed attempt is used.
   *
   * Rejects with `WAL_NO_SPACE`, `WAL_READ_ONLY` or `WAL_IO`; with what the content threw; with the reason of the
   * signal; with a RangeError for a `lastId` below that of the snapshot, which would lose what the log has freed since.
   */
  async save(lastId: EntryId, content: SnapshotContent, options: SaveOptions = {}): Promise<void> {
    assertId('lastId', lastId);
    const signal = signalOf(options);
    const pieces = piecesOf(content);
    await this.#calls.run(() => this.#save(lastId, pieces, signal));
  }

  async #load(): Promise<Snapshot | undefined> {
    const directory = path.dirname(this.#path);
    await this.#fileManager.createDirectory(directory);
    for (const name of await this.#fileManager.list(directory)) {
      if (this.#isUnfinished(name)) await removeIfThere(this.#fileManager, path.join(directory, name));
    }
    // The process that renamed it may have died before it synced the name. Once it is loaded, the log frees the entries
    // in it: a power failure must not bring back the one before.
    await this.#fileManager.syncDirectory(directory);
    const file = await this.#open();
    if (file === undefined) return undefined;
    try {
      // It may be a copy that was made by hand.
      await file.sync();
      const snapshot = await Snapshot.open(file, this.#path);
      this.#lastId = snapshot.lastId;
      return snapshot;
    } catch (error) {
      await file.close().catch(() => undefined);
      throw error;
    }
  }

  /** Not by what is listed: a link is not, and to take it for nothing would be to begin with nothing. */
  async #open(): Promise<FileHandle | undefined> {
    try {
      // For writing, since Windows syncs no other handle.
      return await this.#fileManager.open(this.#path, { access: 'write' });
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async #save(lastId: EntryId, pieces: Pieces, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (lastId < this.#lastId) {
      throw new RangeError(`the snapshot includes the entries up to ${this.#lastId}, so it cannot end at ${lastId}`);
    }
    // A new name each time: whatever a failed attempt has left is neither used nor written over.
    const unfinished = `${this.#path}.${PROCESS}-${++this.#saves}.new`;
    try {
      await this.#attempt(() => this.#fileManager.createDirectory(path.dirname(this.#path)));
      const file = await this.#attempt(() => this.#fileManager.open(unfinished, { access: 'create' }));
      await this.#write(file, lastId, untilAborted(pieces, signal));
      signal?.throwIfAborted();
      await this.#attempt(() => this.#fileManager.rename(unfinished, this.#path));
    } catch (error) {
      await this.#fileManager.remove(unfinished).catch(() => undefined);
      throw error;
    }
    this.#isUnproven = true;
    await this.#attempt(() => this.#fileManager.syncDirectory(path.dirname(this.#path)));
    this.#isUnproven = false;
    this.#lastId = lastId;
  }

  async #write(file: FileHandle, lastId: EntryId, pieces: AsyncIterable<ChunkData>): Promise<void> {
    try {
      const encoder = new SnapshotEncoder(file, lastId);
      for await (const piece of pieces) {
        const bytes = chunkBytes(piece);
        await this.#attempt(() => encoder.add(bytes));
      }
      await this.#attempt(() => encoder.finish());
      await this.#attempt(() => file.sync());
    } finally {
      await file.close().catch(() => undefined);
    }
  }

  /** Tells an error of the storage from one of the content. */
  async #attempt<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      throw toWalError(error, `the snapshot ${this.#path} cannot be saved`);
    }
  }

  #isUnfinished(name: string): boolean {
    const prefix = `${path.basename(this.#path)}.`;
    return name.startsWith(prefix) && /^[0-9a-f]{8}-\d+\.new$/.test(name.slice(prefix.length));
  }
}

/** The pieces of the content. Throws a TypeError for anything else; what is no piece is met when it is written. */
function piecesOf(content: SnapshotContent): Pieces {
  if (typeof content === 'string' || content instanceof Uint8Array) return [content];
  const isIterable = typeof content === 'object' && content !== null
    && (Symbol.asyncIterator in content || Symbol.iterator in content);
  if (isIterable) return content;
  throw new TypeError(`content must be a string, a Uint8Array or an iterable of these, not ${show(content)}`);
}
