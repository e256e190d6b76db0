import { show } from '../base/bytes.js';
import { keysInOrder } from './keys-in-order.js';
import { parseListedObjects, textOf } from './list-objects.js';
import type { ObjectStore } from './object-store.js';

/** How many objects are deleted at once. */
const DELETIONS_AT_ONCE = 16;

/**
 * What a request is sent with.
 *
 * @example
 * const { signal } = new AbortController();
 * const options: SignedFetchOptions = { method: 'PUT', headers: { 'if-none-match': '*' }, signal };
 * console.log(options.method); // PUT
 */
export interface SignedFetchOptions {
  /** `GET`, `PUT` or `DELETE`. */
  readonly method: string;
  /** Headers besides those of the signature. */
  readonly headers?: Record<string, string>;
  /** What is stored. */
  readonly body?: Uint8Array;
  /** Ends the request. */
  readonly signal: AbortSignal;
}

/**
 * What is read of an answer: a `Response` has it.
 *
 * @example
 * const response: SignedFetchResponse = new Response('hello');
 * console.log(response.status, await response.text()); // 200 hello
 */
export interface SignedFetchResponse {
  /** The status of HTTP. */
  readonly status: number;
  /** What came after the headers, as bytes. */
  arrayBuffer(): Promise<ArrayBuffer>;
  /** What came after the headers, as text. */
  text(): Promise<string>;
}

/**
 * Signs a request and sends it, as `AwsClient.fetch` of aws4fetch does.
 *
 * @example
 * const unsigned: SignedFetch = (url, { method, signal }) => fetch(url, { method, signal });
 * console.log(fetchStore(unsigned, 'http://127.0.0.1:9/bucket').get.length); // 2
 */
export type SignedFetch = (url: string, options: SignedFetchOptions) => Promise<SignedFetchResponse>;

/**
 * A bucket of a store that speaks S3, through any function that signs requests and sends them. `endpoint` is the URL of
 * the bucket: `https://my-bucket.s3.eu-central-1.amazonaws.com`, or `https://store.example/my-bucket`.
 *
 * @example
 * import { AwsClient } from 'aws4fetch';
 *
 * const client = new AwsClient({ accessKeyId: 'key', secretAccessKey: 'secret', service: 's3' });
 * const store = fetchStore((url, init) => client.fetch(url, init), 'https://my-bucket.s3.eu-central-1.amazonaws.com');
 * console.log(typeof store.create); // function
 */
export function fetchStore(signedFetch: SignedFetch, endpoint: string): ObjectStore {
  if (typeof signedFetch !== 'function') {
    throw new TypeError(`signedFetch must be a function, such as client.fetch in a function, not ${show(signedFetch)}`);
  }
  if (!URL.canParse(endpoint)) throw new TypeError(`endpoint must be the URL of a bucket, not ${show(endpoint)}`);
  return new FetchStore(signedFetch, endpoint.replace(/\/+$/, ''));
}

type Options = Parameters<ObjectStore['get']>[1];

class FetchStore implements ObjectStore {
  readonly #fetch: SignedFetch;
  readonly #bucket: string;

  constructor(signedFetch: SignedFetch, bucket: string) {
    this.#fetch = signedFetch;
    this.#bucket = bucket;
  }

  async create(key: string, body: Uint8Array, { signal }: Options): Promise<'created' | 'exists'> {
    const response = await this.#send('PUT', this.#urlOf(key), { signal, body, headers: { 'if-none-match': '*' } });
    if (response.status === 412) {
      await response.arrayBuffer();
      return 'exists';
    }
    // Any other answer leaves it open whether the object is there. 409 does too: another request for it is under way.
    if (response.status !== 200) throw await errorOf(response, `creating ${key}`);
    await response.arrayBuffer();
    return 'created';
  }

  async get(key: string, { signal, from = 0, to }: Options): Promise<Uint8Array | undefined> {
    if (to !== undefined && to <= from) return (await this.get(key, { signal, from, to: from + 1 }))?.subarray(0, 0);
    const isRange = from > 0 || to !== undefined;
    const headers = isRange ? { range: `bytes=${from}-${to === undefined ? '' : to - 1}` } : undefined;
    const response = await this.#send('GET', this.#urlOf(key), { signal, ...headers && { headers } });
    const { status } = response;
    if (status === 206 && isRange) return new Uint8Array(await response.arrayBuffer());
    // A store may ignore the range.
    if (status === 200) return new Uint8Array(await response.arrayBuffer()).subarray(from, to);
    const error = await errorOf(response, `reading ${key}`);
    if (status === 416) return new Uint8Array();
    // A missing bucket, or a proxy's own 404, says nothing of the object.
    if (error.code === 'NoSuchKey') return undefined;
    throw error;
  }

  list(prefix: string, { after = '', signal }: Options & { after?: string }): AsyncGenerator<string> {
    return keysInOrder(this.#listPages(prefix, after, signal), after);
  }

  async delete(keys: readonly string[], { signal }: Options): Promise<void> {
    const rest = keys.values();
    const deleteRest = async (): Promise<void> => {
      for (const key of rest) await this.#deleteOne(key, signal);
    };
    await Promise.all(Array.from({ length: DELETIONS_AT_ONCE }, deleteRest));
  }

  async *#listPages(prefix: string, after: string, signal: AbortSignal): AsyncGenerator<string> {
    for (let token: string | undefined, isFirst = true; isFirst || token !== undefined; isFirst = false) {
      const query = new URLSearchParams({ 'list-type': '2', 'encoding-type': 'url', prefix });
      if (after !== '') query.set('start-after', after);
      if (token !== undefined) query.set('continuation-token', token);
      // As the signature has them: with %20 rather than +.
      const url = `${this.#bucket}?${query.toString().replaceAll('+', '%20')}`;
      const response = await this.#send('GET', url, { signal });
      if (response.status !== 200) throw await errorOf(response, `listing ${prefix}`);
      const { keys, next } = parseListedObjects(await response.text());
      yield* keys;
      token = next;
    }
  }

  async #deleteOne(key: string, signal: AbortSignal): Promise<void> {
    const response = await this.#send('DELETE', this.#urlOf(key), { signal });
    if (response.status === 204 || response.status === 200) await response.arrayBuffer();
    else {
      const error = await errorOf(response, `deleting ${key}`);
      if (error.code !== 'NoSuchKey') throw error;
    }
  }

  async #send(method: string, url: string, options: Omit<SignedFetchOptions, 'method'>): Promise<SignedFetchResponse> {
    options.signal.throwIfAborted();
    return this.#fetch(url, { method, ...options });
  }

  #urlOf(key: string): string {
    const segments = key.split('/');
    const isLost = segments.some((segment) => segment === '.' || segment === '..');
    if (isLost) throw new RangeError(`a URL cannot express the key ${show(key)}`);
    return `${this.#bucket}/${segments.map(encode).join('/')}`;
  }
}

/** As the signature has it: `encodeURIComponent` leaves out some characters. */
function encode(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
}

type StoreError = Error & { readonly status: number; readonly code?: string };

/** What the store said besides the status. */
async function errorOf(response: SignedFetchResponse, doing: string): Promise<StoreError> {
  const { status } = response;
  const text = await response.text();
  const code = textOf(text, 'Code');
  const what = [code, textOf(text, 'Message')].filter((part) => part !== undefined && part !== '').join(': ');
  const error = new Error(`${doing}: the store answered ${status} ${what}`.trimEnd());
  return Object.assign(error, { status, ...code !== undefined && { code } });
}
