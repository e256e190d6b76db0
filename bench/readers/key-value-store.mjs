/** The key-value store of the examples: `get`, of values that are in its log or in its snapshot. */
import { KeyValueStore } from '../../dist/examples/key-value-store.js';

export async function open(directory, { chunks, size }) {
  const store = await KeyValueStore.open(directory);
  const value = Buffer.alloc(size, 'segmented');
  let next = 0;
  await Promise.all(Array.from({ length: 64 }, async () => {
    while (next < chunks) await store.set(String(next++), value);
  }));
  return {
    read: async () => (await store.get(String(Math.floor(Math.random() * chunks)))).length,
    close: () => store.close(),
  };
}
