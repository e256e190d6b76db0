import { offAbort, onAbort } from './abort.js';
import { keepAlive, letExit } from './keep-alive.js';

interface Waiter<Wanted> {
  readonly wanted: Wanted;
  readonly signal: AbortSignal | undefined;
  readonly abort: () => void;
  resolve(): void;
  reject(error: unknown): void;
}

/** Promises that wait for something, each with what it waits for, oldest first. They keep the process alive. */
export class Waiters<Wanted> {
  readonly #waiters = new Set<Waiter<Wanted>>();

  get size(): number {
    return this.#waiters.size;
  }

  /** Resolves or rejects when one of the methods below says so; rejects with the signal's reason once it is aborted. */
  wait(wanted: Wanted, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = (): void => {
        this.#remove(waiter);
        reject(signal?.reason as Error);
      };
      const waiter = { wanted, signal, abort, resolve, reject };
      onAbort(signal, abort);
      this.#waiters.add(waiter);
      keepAlive(waiter);
    });
  }

  /** Resolves those whose wish is fulfilled. */
  resolve(isFulfilled: (wanted: Wanted) => boolean): void {
    for (const waiter of this.#waiters) {
      if (!isFulfilled(waiter.wanted)) continue;
      this.#remove(waiter);
      waiter.resolve();
    }
  }

  /** Rejects those whose wish cannot be fulfilled any more. */
  reject(error: unknown, isHopeless: (wanted: Wanted) => boolean = () => true): void {
    for (const waiter of this.#waiters) {
      if (!isHopeless(waiter.wanted)) continue;
      this.#remove(waiter);
      waiter.reject(error);
    }
  }

  #remove(waiter: Waiter<Wanted>): void {
    this.#waiters.delete(waiter);
    offAbort(waiter.signal, waiter.abort);
    letExit(waiter);
  }
}
