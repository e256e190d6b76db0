/**
 * SQLite through better-sqlite3. In WAL mode with synchronous=FULL the WAL is synced after each commit
 * (sqlite.org/pragma.html#pragma_synchronous); an insert outside of BEGIN … COMMIT is a transaction. The call blocks
 * the thread, so there is one writer at a time, however many there are.
 */
import path from 'node:path';
import Database from 'better-sqlite3';

export async function open(directory) {
  const database = new Database(path.join(directory, 'data.db'));
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec('CREATE TABLE entries (id INTEGER PRIMARY KEY, data BLOB NOT NULL)');
  const insert = database.prepare('INSERT INTO entries (data) VALUES (?)');
  return { singleWriter: true, commit: (data) => void insert.run(data), close: () => database.close() };
}
