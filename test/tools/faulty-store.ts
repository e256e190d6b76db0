import type { ObjectStore } from '../../src/archive/index.js';

/** One request of an archive to its store. */
export interface StoreRequest {
  readonly operation: 'create' | 'get' | 'list' | 'delete';
  /** The key; of a listing, its prefix; of a deletion, the first key. */
  readonly key: string;
  readonly signal: AbortSignal;
  /** What is to be created. */
  readonly body?: Uint8Array;
  /** Counted from 0 over all requests. */
  readonly number: number;
}

/** Runs before or after a request is carried out. What it throws is its answer; what it awaits, the request awaits. */
export type StoreHook = (request: StoreRequest) => void | Promise<void>;

/** An object store in memory that records every request, and lets a test delay, fail or lose the ones it chooses. */
export class FaultyStore implements ObjectStore {
  readonly objects: Map<string, Uint8Array>;
  readonly requests: StoreRequest[] = [];
  before: StoreHook = () => undefined;
  after: StoreHook = () => undefined;
  /** Whether it heeds the condition of `create`. */
  isConditional = true;

  constructor(objects = new Map<string, Uint8Array>()) {
    this.objects = objects;
  }

  create(key: string, body: Uint8Array, { signal }: { signal: AbortSignal }): Promise<'created' | 'exists'> {
    return this.#run('create', key, signal, () => {
      if (this.objects.has(key) && this.isConditional) return 'exists';
      this.objects.set(key, Uint8Array.from(body));
      return 'created';
    }, body);
  }

  get(
    key: string, { signal, from, to }: { signal: AbortSignal; from?: number; to?: number },
  ): Promise<Uint8Array | undefined> {
    return this.#run('get', key, signal, () => this.objects.get(key)?.slice(from, to));
  }

  async *list(prefix: string, { after = '', signal }: { after?: string; signal: AbortSignal }): AsyncGenerator<string> {
    yield* await this.#run('list', prefix, signal, () => {
      return [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    });
  }

  async delete(keys: readonly string[], { signal }: { signal: AbortSignal }): Promise<void> {
    await this.#run('delete', keys[0], signal, () => keys.forEach((key) => this.objects.delete(key)));
  }

  /** The requests of one kind whose keys contain `part`. */
  requestsOf(operation: StoreRequest['operation'], part = ''): StoreRequest[] {
    return this.requests.filter((request) => request.operation === operation && request.key.includes(part));
  }

  async #run<T>(
    operation: StoreRequest['operation'], key: string, signal: AbortSignal, apply: () => T, body?: Uint8Array,
  ): Promise<T> {
    const number = this.requests.length;
    const request = { operation, key, signal, number, ...(body && { body }) };
    this.requests.push(request);
    await this.before(request);
    const result = apply();
    await this.after(request);
    return result;
  }
}
