import path from 'node:path';
import {
  AbstractLevel, AbstractSnapshot, type AbstractDatabaseOptions, type AbstractOpenOptions,
} from 'abstract-level';
import { NodeFileManager, WalError, WriteAheadLog, type WalOptions } from 'segmented-wal';
import { SnapshotFile } from 'segmented-wal/snapshot';
import { encodeChanges } from './level/changes.js';
import { LevelIterator, rangeOf, type IteratorOptions, type RangeOptions } from './level/iterator.js';
import { bytesOf, stringOf, type Change, type SortedPairs } from './level/sorted-pairs.js';
import { State, VERSION_INFO } from './level/state.js';

type LogOptions = Omit<WalOptions, 'versionInfo' | 'sync' | 'mustExist' | 'mustBeNew'>;

/** The options of every level, and those of its log. */
export interface WalLevelOptions<K, V> extends AbstractDatabaseOptions<K, V> {
  /** The snapshot is stored through its `fileManager`, too. */
  readonly log?: LogOptions;
}

/** A part of a batch, with its key and value encoded. */
type Operation = { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

interface ReadOptions {
  readonly snapshot?: LevelSnapshot;
}

/**
 * An abstract-level database: sorted in memory, made durable by the log, checkpointed into a snapshot. It can replace
 * any other level in Node, as long as the data fits in memory.
 *
 * A put, a deletion, a batch and a `clear` are one entry of the log each, so a crash leaves all of it or nothing. The
 * promise resolves when the entry is durable. The change can be read from then on, and not before.
 *
 * This class is the translation: bytes become the strings of `SortedPairs`, calls of abstract-level become `append`,
 * and errors get the codes that levels have for them. The engine is `State`, the manager of the log.
 */
export class WalLevel<K = string, V = string> extends AbstractLevel<Buffer, K, V> {
  readonly location: string;
  readonly #options: LogOptions;
  // abstract-level makes no call that needs these until `_open` has resolved.
  #log!: WriteAheadLog;
  #state!: State;

  constructor(location: string, { log = {}, ...options }: WalLevelOptions<K, V> = {}) {
    const features = { has: true, getSync: true, explicitSnapshots: true, createIfMissing: true, errorIfExists: true };
    super({ ...features, encodings: { buffer: true } }, options);
    this.location = location;
    this.#options = log;
  }

  /** For its events and figures. */
  get log(): WriteAheadLog {
    return this.#log;
  }

  async _open({ createIfMissing = true, errorIfExists = false }: AbstractOpenOptions): Promise<void> {
    const { fileManager = new NodeFileManager() } = this.#options;
    const state = new State(new SnapshotFile(path.join(this.location, 'snapshot'), { fileManager }));
    try {
      this.#log = await WriteAheadLog.recover(this.location, state, {
        ...this.#options, fileManager, sync: 'commit', versionInfo: VERSION_INFO,
        // A log cannot be opened with both; a level can be, but is always refused.
        mustBeNew: errorIfExists, mustExist: !createIfMissing && !errorIfExists,
      });
    } catch (error) {
      throw toLevelError(error, this.location);
    }
    this.#state = state;
  }

  async _close(): Promise<void> {
    await this.#log.shutdown();
  }

  async _put(key: Buffer, value: Buffer): Promise<void> {
    await this.#write([{ key: stringOf(key), value: stringOf(value) }]);
  }

  async _del(key: Buffer): Promise<void> {
    await this.#write([{ key: stringOf(key), value: undefined }]);
  }

  async _batch(operations: readonly Operation[]): Promise<void> {
    await this.#write(operations.map((operation) => {
      const value = operation.type === 'put' ? stringOf(operation.value) : undefined;
      return { key: stringOf(operation.key), value };
    }));
  }

  /** Deletes the keys that are there at the call. A later put of one of them comes later in the log, too. */
  async _clear(options: RangeOptions & ReadOptions): Promise<void> {
    const changes: Change[] = [];
    for (const [key] of this.#pairsOf(options).range(rangeOf(options))) {
      if (changes.length === options.limit) break;
      changes.push({ key, value: undefined });
    }
    if (changes.length > 0) await this.#write(changes);
  }

  /** Resolves when the changes are durable. `onCommitted` applies them first, in the order of the log. */
  async #write(changes: readonly Change[]): Promise<void> {
    const state = this.#state;
    await this.#log.append(encodeChanges(changes), { onCommitted: ({ id }) => state.apply(id, changes) });
  }

  _getSync(key: Buffer, options: ReadOptions): Buffer | undefined {
    const value = this.#pairsOf(options).get(stringOf(key));
    return value === undefined ? undefined : bytesOf(value);
  }

  async _get(key: Buffer, options: ReadOptions): Promise<Buffer | undefined> {
    return this._getSync(key, options);
  }

  async _getMany(keys: readonly Buffer[], options: ReadOptions): Promise<(Buffer | undefined)[]> {
    return keys.map((key) => this._getSync(key, options));
  }

  async _has(key: Buffer, options: ReadOptions): Promise<boolean> {
    return this.#pairsOf(options).has(stringOf(key));
  }

  async _hasMany(keys: readonly Buffer[], options: ReadOptions): Promise<boolean[]> {
    return keys.map((key) => this.#pairsOf(options).has(stringOf(key)));
  }

  _snapshot(options: { readonly owner: AbstractLevel<Buffer> }): LevelSnapshot {
    return new LevelSnapshot(options, this.#state.pairs.snapshot());
  }

  /** An iterator sees the pairs of the moment at which it was made. */
  _iterator(options: IteratorOptions<K, V> & ReadOptions): LevelIterator<this, K, V> {
    return new LevelIterator(this, options, options.snapshot?.pairs ?? this.#state.pairs.snapshot());
  }

  #pairsOf({ snapshot }: ReadOptions): SortedPairs {
    return snapshot?.pairs ?? this.#state.pairs;
  }
}

class LevelSnapshot extends (AbstractSnapshot as new (options: object) => AbstractSnapshot) {
  readonly pairs: SortedPairs;

  constructor(options: object, pairs: SortedPairs) {
    super(options);
    this.pairs = pairs;
  }
}

/** What levels call the errors of opening that their users tell apart: the words, and the code if there is one. */
const OPENING_ERRORS = new Map<string, readonly [what: string, code?: string]>([
  ['WAL_NOT_FOUND', ['does not exist']],
  ['WAL_EXISTS', ['exists already']],
  ['WAL_LOCKED', ['is open elsewhere', 'LEVEL_LOCKED']],
  ['WAL_CORRUPT', ['is damaged', 'LEVEL_CORRUPTION']],
]);

function toLevelError(error: unknown, location: string): unknown {
  const [what, code] = (error instanceof WalError ? OPENING_ERRORS.get(error.code) : undefined) ?? [];
  if (what === undefined) return error;
  return Object.assign(new Error(`the database ${location} ${what}`, { cause: error }), { code });
}
