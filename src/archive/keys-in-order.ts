/** The keys of a listing. Rejects if they are not ascending: what comes last would not be the highest. */
export async function* keysInOrder(keys: AsyncIterable<string>, after = ''): AsyncGenerator<string, void, void> {
  let before = after;
  for await (const key of keys) {
    if (key <= before) throw new Error(`the store lists ${key} after ${before}: an archive needs an ascending order`);
    before = key;
    yield key;
  }
}
