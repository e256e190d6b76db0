/**
 * SQLite as Node carries it (from 22.5 on), set up as better-sqlite3 is: WAL, synchronous=FULL, one
 * insert per transaction, one writer because the call blocks the thread.
 */
import path from 'node:path';

export async function open(directory) {
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path.join(directory, 'data.db'));
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  database.exec('CREATE TABLE entries (id INTEGER PRIMARY KEY, data BLOB NOT NULL)');
  const insert = database.prepare('INSERT INTO entries (data) VALUES (?)');
  return { singleWriter: true, commit: (data) => void insert.run(data), close: () => database.close() };
}
