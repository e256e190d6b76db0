/**
 * LMDB through lmdb-js. `put` resolves when the transaction is visible; it is on the disk when
 * `flushed` resolves, which is what each writer waits for ("await db.flushed: wait for last commit to be fully
 * flushed to disk and durable", README, Overlapping Sync Options). `noSync` stays off. Writes of one turn of the
 * event loop share a transaction, as lmdb-js does by default.
 */
import { open as openDatabase } from 'lmdb';

export async function open(directory) {
  const database = openDatabase({ path: directory, encoding: 'binary', keyEncoding: 'uint32', mapSize: 64 * 2 ** 30 });
  let key = 0;
  return {
    async commit(data) {
      database.put(++key, data);
      await database.flushed;
    },
    close: () => database.close(),
  };
}
