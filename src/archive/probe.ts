import { ArchiveError } from './errors.js';
import { untilAnswered, type SlotStore } from './slot-store.js';

/** As many characters as no other key of the archive has after its prefix. */
const LONGEST = 64;

/**
 * Tries whether the store refuses to create an object that is there, and has kept the first one's bytes. Rejects with
 * `ARCHIVE_UNSAFE_STORE` if not. `name` must be one that nothing has used.
 */
export async function probe(at: SlotStore, name: string): Promise<void> {
  const { store, prefix } = at;
  // A store that refuses long keys does so now, and not with the first part that it is to take.
  const key = `${prefix}/probe/${name.padEnd(LONGEST, '-')}`;
  const [first, second] = [Buffer.from('first'), Buffer.from('second')];
  // It exists already if the answer to an earlier attempt was lost.
  await untilAnswered(at, (signal) => store.create(key, first, { signal }));
  const answer = await untilAnswered(at, (signal) => store.create(key, second, { signal }));
  const found = await untilAnswered(at, (signal) => store.get(key, { signal }));
  if (answer !== 'exists' || found === undefined || Buffer.compare(found, first) !== 0) {
    const message = 'the store overwrites objects that it is to create only if there are none (If-None-Match: *)';
    throw new ArchiveError('ARCHIVE_UNSAFE_STORE', `${message}: two writers could not be kept apart`);
  }
  // Where the archive has no permission to delete, the probe stays.
  await untilAnswered({ ...at, attempts: 1 }, (signal) => store.delete([key], { signal })).catch(() => undefined);
}
