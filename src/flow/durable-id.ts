import { WalError } from '../base/errors.js';
import type { EntryId } from '../contracts/entry.js';

interface IdWaiter {
  readonly id: EntryId;
  resolve(): void;
  reject(error: unknown): void;
}

/** The highest entry id that is durable, and those who wait for it to rise. */
export class DurableId {
  #value: EntryId = 0;
  #waiters: IdWaiter[] = [];
  #end: WalError | undefined;

  get value(): EntryId {
    return this.#value;
  }

  /** The log goes on behind `id`: what was recovered, or what is left after a cut. */
  set(id: EntryId): void {
    this.#value = id;
  }

  rise(id: EntryId): void {
    if (id <= this.#value) return;
    this.#value = id;
    if (this.#waiters.length === 0) return;
    const reached = this.#waiters.filter((waiter) => waiter.id <= id);
    this.#waiters = this.#waiters.filter((waiter) => waiter.id > id);
    for (const waiter of reached) waiter.resolve();
  }

  /** Resolves when `id` or a higher one is durable. Rejects with the signal's reason, or when that cannot happen. */
  reached(id: EntryId, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (id <= this.#value) return resolve();
      if (this.#end !== undefined) throw this.#end;
      const abort = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal?.reason as Error);
      };
      const letGo = () => signal?.removeEventListener('abort', abort);
      const waiter: IdWaiter = {
        id,
        resolve: () => (letGo(), resolve()),
        reject: (error) => (letGo(), reject(error as Error)),
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  /** Nothing more becomes durable. */
  end(reason: WalError): void {
    this.#end ??= reason;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
  }
}
