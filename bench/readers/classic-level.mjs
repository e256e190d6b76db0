/** LevelDB through classic-level: `getSync` and `get`. It verifies no checksums unless asked to, which it is not. */
import { ClassicLevel } from 'classic-level';

export async function open(directory, { chunks, size }) {
  const database = new ClassicLevel(directory, { keyEncoding: 'view', valueEncoding: 'view' });
  await database.open();
  const keys = Array.from({ length: chunks }, (_, i) => {
    const key = Buffer.alloc(8);
    key.writeDoubleBE(i + 1);
    return key;
  });
  const value = Buffer.alloc(size, 'segmented');
  for (let from = 0; from < chunks; from += 1000) {
    await database.batch(keys.slice(from, from + 1000).map((key) => ({ type: 'put', key, value })));
  }
  const any = () => keys[Math.floor(Math.random() * chunks)];
  return {
    readSync: () => database.getSync(any()).length,
    read: async () => (await database.get(any())).length,
    close: () => database.close(),
  };
}
