import path from 'node:path';
import {
  NodeFileManager, WalError, WriteAheadLog,
  type ChunkData, type Entry, type EntryChunk, type FileManager, type LogManager, type LogPosition, type RecoveryReport,
  type SegmentReader, type WalOptions, type WalStats,
} from 'segmented-wal';
import { SnapshotFile, type Snapshot } from 'segmented-wal/snapshot';
import { decodePairs, encodePair } from './pairs.js';

/** Those of the log, which the store passes on. Its snapshot is stored through `fileManager`, too. */
export type KeyValueStoreOptions = Omit<WalOptions, 'versionInfo' | 'sync'>;

export interface KeyValueStoreStats {
  readonly keys: number;
  /** The last entry that is in the snapshot. */
  readonly checkpointedId: number;
  readonly recovery: RecoveryReport;
  readonly log: WalStats;
}

/** What the log holds about a key: where its value is, or that it was deleted. */
interface Change {
  readonly id: number;
  readonly position: LogPosition | undefined;
}

/** A snapshot, and where each value is in its content. */
interface Stored {
  /** The last entry it includes. Later ones are in the log. */
  readonly lastId: number;
  readonly snapshot: Snapshot | undefined;
  readonly places: ReadonlyMap<string, Place>;
}

interface Place {
  readonly position: number;
  readonly length: number;
}

/** Says in each segment what its entries look like: a key and a value, or the key alone where it was deleted. */
const VERSION_INFO = Buffer.from('key-value-store 1');

/**
 * A durable map from strings to bytes, as an example of an engine on top of the log. Keys are kept in memory,
 * values are not: a value is read from the log until its segment is checkpointed, and from the snapshot
 * afterwards. A checkpoint writes a whole new snapshot, which suits a store that is not much larger than a segment;
 * a larger one would write what has changed and merge it now and then.
 */
export class KeyValueStore {
  readonly #directory: string;
  readonly #file: SnapshotFile;
  #log!: WriteAheadLog;
  /** Everything up to `#stored.lastId`. What came later is in `#changes`, which wins. */
  #stored: Stored = { lastId: 0, snapshot: undefined, places: new Map() };
  readonly #changes = new Map<string, Change>();
  #isClosed = false;

  private constructor(directory: string, fileManager: FileManager) {
    this.#directory = directory;
    this.#file = new SnapshotFile(path.join(directory, 'snapshot'), { fileManager });
  }

  /** Opens the store in `directory`, which is created if need be. Rejects as `WriteAheadLog.recover` does. */
  static async open(directory: string, options: KeyValueStoreOptions = {}): Promise<KeyValueStore> {
    const store = new KeyValueStore(directory, options.fileManager ?? new NodeFileManager());
    await store.#open(options);
    return store;
  }

  /** The value of `key` as of its last change that has resolved. */
  async get(key: string): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#assertOpen();
      const change = this.#changes.get(key);
      if (change === undefined) return this.#readStored(key);
      if (change.position === undefined) return undefined;
      try {
        return await this.#log.read(change.position);
      } catch (error) {
        // A checkpoint has been faster: the value is in the snapshot now, unless this change is still the one to read.
        const isGone = error instanceof WalError && error.code === 'WAL_POSITION_GONE';
        if (!isGone || this.#changes.get(key) === change) throw error;
      }
    }
  }

  /** Resolves when the change is durable. `value` must not change until then. */
  async set(key: string, value: ChunkData): Promise<void> {
    assertKey(key);
    const { id, chunks } = await this.#log.append([key, value]);
    this.#apply(key, { id, position: chunks[1].position });
  }

  /** Resolves when the deletion is durable, with whether there was something to delete. */
  async delete(key: string): Promise<boolean> {
    assertKey(key);
    const existed = this.has(key);
    // Even if not: a change of this key may be on its way, or have been rejected and yet have reached the disk.
    const { id } = await this.#log.append([key]);
    this.#apply(key, { id, position: undefined });
    return existed;
  }

  has(key: string): boolean {
    const change = this.#changes.get(key);
    return change === undefined ? this.#stored.places.has(key) : change.position !== undefined;
  }

  /** The keys of this moment, in no particular order. An array, as a checkpoint moves keys while somebody iterates. */
  keys(): string[] {
    const unchanged = [...this.#stored.places.keys()].filter((key) => !this.#changes.has(key));
    const changed = [...this.#changes].filter(([, { position }]) => position !== undefined);
    return [...unchanged, ...changed.map(([key]) => key)];
  }

  get size(): number {
    let { size } = this.#stored.places;
    for (const [key, { position }] of this.#changes) {
      size += Number(position !== undefined) - Number(this.#stored.places.has(key));
    }
    return size;
  }

  /** Resolves when all that was written is in the snapshot. Rejects if a checkpoint has failed; the log tries again. */
  async checkpoint(): Promise<void> {
    await this.#log.checkpoint();
  }

  stats(): KeyValueStoreStats {
    return {
      keys: this.size,
      checkpointedId: this.#stored.lastId,
      recovery: this.#log.recovery,
      log: this.#log.stats(),
    };
  }

  /** Resolves when what was begun is done and the directory is free. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#log.shutdown();
    this.#isClosed = true;
    // Waits for a running checkpoint, which may replace the snapshot.
    await this.#log.shutdown();
    await this.#stored.snapshot?.close();
  }

  async #open(options: KeyValueStoreOptions): Promise<void> {
    try {
      this.#log = await WriteAheadLog.recover(this.#directory, this.#manager(), {
        ...options, sync: 'commit', versionInfo: VERSION_INFO,
      });
    } catch (error) {
      await this.#stored.snapshot?.close();
      throw error;
    }
  }

  #manager(): LogManager {
    return {
      open: async () => {
        this.#stored = await this.#load();
        return this.#stored.lastId;
      },
      shouldRecoverSegment({ versionInfo }) {
        if (VERSION_INFO.equals(versionInfo)) return 'recover';
        throw new Error(`not the log of a key-value store: its segments say ${JSON.stringify(textOf(versionInfo))}`);
      },
      recover: (entry) => this.#recover(entry),
      checkpointTo: (lastId, entries, _log, signal) => this.#checkpointTo(lastId, entries, signal),
    };
  }

  /** Notes where an entry's value is, without reading it. */
  async #recover(entry: Entry): Promise<void> {
    const [key, value] = await chunksOf(entry);
    this.#apply(textOf(await key.readAll()), { id: entry.id, position: value?.position });
  }

  /** Writes a snapshot of what is in the present one and in the segment, whose values are in memory meanwhile. */
  async #checkpointTo(lastId: number, entries: SegmentReader, signal: AbortSignal): Promise<void> {
    const values = new Map<string, Uint8Array | undefined>();
    for await (const entry of entries) {
      const [key, value] = await entry.readAllChunks();
      values.set(textOf(key), value);
    }
    await this.#file.save(lastId, this.#merge(values), { signal });
    await this.#install(await this.#load());
  }

  /** The content of the next snapshot. `values` are the segment's; a key without one was deleted. */
  async *#merge(values: ReadonlyMap<string, Uint8Array | undefined>): AsyncGenerator<Uint8Array> {
    const { snapshot } = this.#stored;
    if (snapshot !== undefined) {
      for await (const { key, value } of decodePairs(snapshot)) if (!values.has(key)) yield* encodePair(key, value);
    }
    for (const [key, value] of values) if (value !== undefined) yield* encodePair(key, value);
  }

  /** Reads the snapshot through, to know where each value is. */
  async #load(): Promise<Stored> {
    const snapshot = await this.#file.load();
    const places = new Map<string, Place>();
    try {
      if (snapshot === undefined) return { lastId: 0, snapshot, places };
      for await (const { key, value, position } of decodePairs(snapshot)) {
        places.set(key, { position, length: value.length });
      }
      return { lastId: snapshot.lastId, snapshot, places };
    } catch (error) {
      await snapshot?.close();
      throw error;
    }
  }

  /** Continues with `stored`, which contains more than the one before. Readers of that one may finish. */
  async #install(stored: Stored): Promise<void> {
    const previous = this.#stored;
    this.#stored = stored;
    for (const [key, { id }] of this.#changes) if (id <= stored.lastId) this.#changes.delete(key);
    await previous.snapshot?.close();
  }

  /** Commits can be heard of in another order than they were made, and after they were checkpointed. */
  #apply(key: string, change: Change): void {
    const known = this.#changes.get(key)?.id ?? this.#stored.lastId;
    if (change.id > known) this.#changes.set(key, change);
  }

  async #readStored(key: string): Promise<Uint8Array | undefined> {
    const place = this.#stored.places.get(key);
    return place && this.#stored.snapshot?.read(place.position, place.length);
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new WalError('WAL_CLOSED', 'the store has been closed');
  }
}

async function chunksOf(entry: Entry): Promise<EntryChunk[]> {
  const chunks: EntryChunk[] = [];
  for await (const chunk of entry) chunks.push(chunk);
  return chunks;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

function assertKey(key: unknown): void {
  if (typeof key !== 'string') throw new TypeError(`a key is a string, not ${typeof key}`);
  // Half of a surrogate pair has no UTF-8: two such keys would become one.
  if (Buffer.from(key).toString() !== key) throw new TypeError(`a key is well-formed text, not ${JSON.stringify(key)}`);
}
