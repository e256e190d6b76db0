import { ignoreRejection } from '../base/async.js';

/** How many requests are under way at once: a store answers each after a while, however many there are. */
const REQUESTS = 16;
/** What their answers have in memory at most, unless a single one has more. */
const BYTES = 24 * 1024 * 1024;

/** Something to be fetched. */
interface Fetchable {
  /** About how many bytes it has. */
  readonly length: number;
}

/** Fetches `items` in order, those to come while the one before is used. */
export async function* ahead<Item extends Fetchable, Fetched>(
  items: Iterable<Item>, fetch: (item: Item) => Promise<Fetched>,
): AsyncGenerator<Fetched, void, void> {
  const fetching: { readonly length: number; readonly fetched: Promise<Fetched> }[] = [];
  let bytes = 0;
  for (const item of items) {
    while (fetching.length === REQUESTS || (fetching.length > 0 && bytes + item.length > BYTES)) yield* first();
    bytes += item.length;
    const fetched = fetch(item);
    // It is awaited in its turn, or not at all.
    ignoreRejection(fetched);
    fetching.push({ length: item.length, fetched });
  }
  while (fetching.length > 0) yield* first();

  async function* first(): AsyncGenerator<Fetched, void, void> {
    const [{ length, fetched }] = fetching;
    yield await fetched;
    fetching.shift();
    bytes -= length;
  }
}
