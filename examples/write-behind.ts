import path from 'node:path';
import { WriteAheadLog, type Entry, type SegmentReader, type WalOptions } from 'segmented-wal';
import { SqliteTable } from './sqlite-table.js';

/** Those of the log, which the store passes on. SQLite writes its files by itself, so they must be on the real disk. */
export type WriteBehindOptions = Omit<WalOptions, 'versionInfo' | 'sync' | 'fileManager'>;

/** A change that is durable in the log. SQLite may not have it yet. A key without a value was deleted. */
interface Change {
  readonly id: number;
  readonly value: string | undefined;
}

const VERSION_INFO = Buffer.from('write-behind 1');
/** A checkpoint is one transaction, and nothing else runs meanwhile: small segments make for short ones. */
const PREALLOCATE_BYTES = 4 * 1024 * 1024;

/**
 * A write-behind buffer before SQLite. A change is durable as soon as the log has it; SQLite gets a segment's changes
 * at once, in one transaction that also stores the id of the last one, so that it has each segment whole or not
 * at all and can tell when it is handed one again. What it does not have yet is kept in memory, where reads look first.
 */
export class WriteBehind {
  readonly #directory: string;
  #log!: WriteAheadLog;
  #table!: SqliteTable;
  /** What came after the table's `lastId`. */
  readonly #pending = new Map<string, Change>();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Opens the store in `directory`, which is created if need be. Rejects as `WriteAheadLog.recover` does. */
  static async open(directory: string, options: WriteBehindOptions = {}): Promise<WriteBehind> {
    const store = new WriteBehind(directory);
    await store.#open(options);
    return store;
  }

  /** For its events and figures. */
  get log(): WriteAheadLog {
    return this.#log;
  }

  /** How many keys have changes that SQLite does not have yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** The value of `key` as of its last change that has resolved. */
  get(key: string): string | undefined {
    const change = this.#pending.get(key);
    return change === undefined ? this.#table.get(key) : change.value;
  }

  keys(): string[] {
    const unchanged = this.#table.keys().filter((key) => !this.#pending.has(key));
    const changed = [...this.#pending].filter(([, { value }]) => value !== undefined);
    return [...unchanged, ...changed.map(([key]) => key)];
  }

  /** Resolves when the change is durable in the log. */
  async set(key: string, value: string): Promise<void> {
    assertText(key);
    assertText(value);
    await this.#append(key, value);
  }

  /** Resolves when the deletion is durable in the log. */
  async delete(key: string): Promise<void> {
    assertText(key);
    await this.#append(key, undefined);
  }

  /** Resolves when what was begun is done and the directory is free. */
  async close(): Promise<void> {
    // Waits for a running checkpoint, which uses the table.
    await this.#log?.shutdown();
    this.#table?.close();
  }

  async #open(options: WriteBehindOptions): Promise<void> {
    try {
      this.#log = await WriteAheadLog.recover(this.#directory, {
        open: () => this.#openTheTable(),
        shouldRecoverSegment({ versionInfo }) {
          if (VERSION_INFO.equals(versionInfo)) return 'recover';
          throw new Error('not the log of a write-behind store');
        },
        recover: async (entry) => {
          const { key, value } = await pairOf(entry);
          this.#pending.set(key, { id: entry.id, value });
        },
        checkpointTo: (lastId, entries) => this.#checkpointTo(lastId, entries),
      }, { preallocateBytes: PREALLOCATE_BYTES, ...options, sync: 'commit', versionInfo: VERSION_INFO });
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Not before the log owns the directory. The log then hands over only what the table does not have. */
  #openTheTable(): number {
    this.#table = new SqliteTable(path.join(this.#directory, 'table.sqlite'));
    return this.#table.lastId;
  }

  async #checkpointTo(lastId: number, entries: SegmentReader): Promise<void> {
    const changes = new Map<string, string | undefined>();
    for await (const entry of entries) {
      const { key, value } = await pairOf(entry);
      changes.set(key, value);
    }
    this.#table.apply(lastId, changes);
    for (const [key, { id }] of this.#pending) if (id <= lastId) this.#pending.delete(key);
  }

  /** `onCommitted` is called in the order of the ids, and before the entry can be checkpointed. */
  async #append(key: string, value: string | undefined): Promise<void> {
    const chunks = value === undefined ? [key] : [key, value];
    await this.#log.append(chunks, { onCommitted: ({ id }) => this.#pending.set(key, { id, value }) });
  }
}

async function pairOf(entry: Entry): Promise<{ key: string; value: string | undefined }> {
  const [key, value] = (await entry.readAllChunks()).map((chunk) => Buffer.from(chunk).toString());
  return { key, value };
}

function assertText(text: unknown): void {
  if (typeof text !== 'string') throw new TypeError(`a key and a value are strings, not ${typeof text}`);
  // Half of a surrogate pair has no UTF-8: it would come back as something else.
  if (Buffer.from(text).toString() !== text) throw new TypeError(`not well-formed text: ${JSON.stringify(text)}`);
}
