/** A promise with its handles outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

/** Marks a rejection as handled where somebody else reports it. */
export function ignoreRejection(promise: Promise<unknown>): void {
  promise.catch(() => undefined);
}

/**
 * Lets one loop go through `iterator`. A second would miss what the first has seen without a word: it gets a TypeError
 * that names `call`, which makes another iterator.
 */
export function forOneLoop<T extends AsyncIterableIterator<unknown>>(iterator: T, call: string): T {
  let isTaken = false;
  const begin = (): T => {
    if (isTaken) throw new TypeError(`a loop has begun over this iterator: call ${call} again for another`);
    isTaken = true;
    return iterator;
  };
  return Object.defineProperty(iterator, Symbol.asyncIterator, { value: begin });
}

/** Runs asynchronous tasks one at a time, in the order they came. A failed task does not stop the next. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Resolves when every task given so far has settled. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
