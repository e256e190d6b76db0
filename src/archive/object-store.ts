/**
 * An object store: the user's own, or an adapter. Keys are ASCII. Every method may reject, for a lost connection, a
 * timeout or an error of the store: then it is unknown whether the request has been carried out, or still will be.
 * What one method has reported, every later call of any method by any client takes into account.
 *
 * @example
 * const objects = new Map<string, Buffer>();
 * const store: ObjectStore = {
 *   async create(key, body) {
 *     if (objects.has(key)) return 'exists';
 *     objects.set(key, Buffer.from(body));
 *     return 'created';
 *   },
 *   async get(key, { from, to }) { return objects.get(key)?.subarray(from, to); },
 *   async *list(prefix, { after = '' }) {
 *     yield* [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
 *   },
 *   async delete(keys) { for (const key of keys) objects.delete(key); },
 * };
 * const { signal } = new AbortController();
 * console.log(await store.create('greeting', Buffer.from('hello'), { signal })); // created
 * console.log(await store.create('greeting', Buffer.from('other'), { signal })); // exists
 * console.log(String(await store.get('greeting', { signal }))); // hello
 *
 * @interface
 */
export interface ObjectStore {
  /**
   * Stores an object, unless there is one with this key. Resolves with what was the case once the object is durable.
   * Two calls with one key never both resolve with 'created', unless the object was deleted in between.
   */
  create(key: string, body: Uint8Array, options: { readonly signal: AbortSignal }): Promise<'created' | 'exists'>;
  /** The object's bytes, or those from `from` up to and without `to`; undefined if there is no such object. */
  get(
    key: string, options: { readonly signal: AbortSignal; readonly from?: number; readonly to?: number },
  ): Promise<Uint8Array | undefined>;
  /** The keys that begin with `prefix` and come after `after`, ascending. */
  list(prefix: string, options: { readonly after?: string; readonly signal: AbortSignal }): AsyncIterable<string>;
  /** Deletes objects. One that is not there is no error. */
  delete(keys: readonly string[], options: { readonly signal: AbortSignal }): Promise<void>;
}
