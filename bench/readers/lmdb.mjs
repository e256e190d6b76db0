/** LMDB through lmdb-js: `getBinary`, which copies the value out of the memory map. It verifies nothing. */
import { open as openDatabase } from 'lmdb';

export async function open(directory, { chunks, size }) {
  const database = openDatabase({ path: directory, encoding: 'binary', keyEncoding: 'uint32', mapSize: 64 * 2 ** 30 });
  const value = Buffer.alloc(size, 'segmented');
  for (let key = 1; key <= chunks; key++) database.put(key, value);
  await database.flushed;
  return {
    readSync: () => database.getBinary(1 + Math.floor(Math.random() * chunks)).length,
    close: () => database.close(),
  };
}
