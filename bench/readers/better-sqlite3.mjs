/** SQLite through better-sqlite3: a row by its id. It verifies nothing. */
import path from 'node:path';
import Database from 'better-sqlite3';

export async function open(directory, { chunks, size }) {
  const database = new Database(path.join(directory, 'data.db'));
  database.pragma('journal_mode = WAL');
  database.exec('CREATE TABLE entries (id INTEGER PRIMARY KEY, data BLOB NOT NULL)');
  const insert = database.prepare('INSERT INTO entries (data) VALUES (?)');
  const value = Buffer.alloc(size, 'segmented');
  database.transaction(() => {
    for (let i = 0; i < chunks; i++) insert.run(value);
  })();
  database.pragma('wal_checkpoint(TRUNCATE)');
  const select = database.prepare('SELECT data FROM entries WHERE id = ?').pluck();
  return {
    readSync: () => select.get(1 + Math.floor(Math.random() * chunks)).length,
    close: () => database.close(),
  };
}
