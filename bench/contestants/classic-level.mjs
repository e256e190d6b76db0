/**
 * LevelDB through classic-level. With `sync: true` "the write will be flushed from the operating system
 * buffer cache before the write is considered complete" (leveldb/include/leveldb/options.h, WriteOptions::sync).
 */
import { ClassicLevel } from 'classic-level';

export async function open(directory) {
  const database = new ClassicLevel(directory, { keyEncoding: 'view', valueEncoding: 'view' });
  await database.open();
  const options = { sync: true };
  let lastKey = 0;
  return {
    commit(data) {
      const key = Buffer.allocUnsafe(8);
      key.writeDoubleBE(++lastKey);
      return database.put(key, data, options);
    },
    close: () => database.close(),
  };
}
