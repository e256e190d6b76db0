import { createRequire } from 'node:module';
import type Sqlite from 'better-sqlite3';

// Where there is no binary for it, better-sqlite3 must be compiled. So `npm ci` leaves it to those who run the
// benchmarks,
// `npm ci --prefix bench`, and it is found there; a store of your own imports it like any package.
const Database = createRequire(new URL('../../bench/', import.meta.url))('better-sqlite3') as typeof Sqlite;

/** The last value of each key that was changed. A key without one was deleted. */
export type Changes = ReadonlyMap<string, string | undefined>;

export const UPSERT = 'INSERT INTO pairs VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value';

/** Opens a SQLite database each transaction of which is durable when it returns. */
export function openDurably(file: string): Sqlite.Database {
  const database = new Database(file);
  try {
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.exec(`
      CREATE TABLE IF NOT EXISTS pairs (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS meta (only INTEGER PRIMARY KEY CHECK (only = 1), last_id INTEGER NOT NULL);
      INSERT OR IGNORE INTO meta VALUES (1, 0);
    `);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A table of keys and values in SQLite that knows up to which entry of a log it is complete. */
export class SqliteTable {
  #lastId: number;
  readonly #database: Sqlite.Database;
  readonly #selectLastId: Sqlite.Statement<[], number>;
  readonly #updateLastId: Sqlite.Statement<[number]>;
  readonly #selectKeys: Sqlite.Statement<[], string>;
  readonly #select: Sqlite.Statement<[string], string>;
  readonly #upsert: Sqlite.Statement<[string, string]>;
  readonly #delete: Sqlite.Statement<[string]>;

  constructor(file: string) {
    const database = openDurably(file);
    this.#database = database;
    this.#selectLastId = database.prepare<[], number>('SELECT last_id FROM meta').pluck();
    this.#lastId = this.#storedLastId();
    this.#updateLastId = database.prepare('UPDATE meta SET last_id = ?');
    this.#selectKeys = database.prepare<[], string>('SELECT key FROM pairs').pluck();
    this.#select = database.prepare<[string], string>('SELECT value FROM pairs WHERE key = ?').pluck();
    this.#upsert = database.prepare(UPSERT);
    this.#delete = database.prepare('DELETE FROM pairs WHERE key = ?');
  }

  /** The last entry of the log that is in the table. */
  get lastId(): number {
    return this.#lastId;
  }

  get(key: string): string | undefined {
    return this.#select.get(key);
  }

  keys(): string[] {
    return this.#selectKeys.all();
  }

  /** Applies the changes up to `lastId` in one transaction, unless they are in the table already. */
  apply(lastId: number, changes: Changes): void {
    // Immediate, so that the id cannot change between the look at it and the update.
    this.#database.transaction(() => {
      if (lastId <= this.#storedLastId()) return;
      for (const [key, value] of changes) {
        if (value === undefined) this.#delete.run(key);
        else this.#upsert.run(key, value);
      }
      this.#updateLastId.run(lastId);
    }).immediate();
    this.#lastId = this.#storedLastId();
  }

  close(): void {
    this.#database.close();
  }

  #storedLastId(): number {
    return this.#selectLastId.get() ?? 0;
  }
}
