import type { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';

interface Waiter {
  isMet(): boolean;
  resolve(): void;
  reject(error: WalError): void;
}

/** The highest entry id that is durable, and those who wait for it to change. */
export class DurableMark {
  #value: EntryId = 0;
  /** Counts the changes. */
  #version = 0;
  #waiters: Waiter[] = [];
  #end: WalError | undefined;

  get value(): EntryId {
    return this.#value;
  }

  get version(): number {
    return this.#version;
  }

  /** The log goes on behind `id`: what was recovered, or what is left after a cut. */
  set(id: EntryId): void {
    this.#value = id;
    this.#version++;
    if (this.#waiters.length > 0) this.#wake();
  }

  rise(id: EntryId): void {
    if (id > this.#value) this.set(id);
  }

  /** Resolves when `id` or a higher one is durable. Rejects with the signal's reason, or when that cannot happen. */
  reached(id: EntryId, signal?: AbortSignal): Promise<void> {
    return this.#wait(() => id <= this.#value, signal);
  }

  /** Resolves when there has been a change since `version`. Rejects as `reached` does. */
  changed(version: number, signal: AbortSignal): Promise<void> {
    return this.#wait(() => version !== this.#version, signal);
  }

  /** Nothing more becomes durable. */
  end(reason: WalError): void {
    this.#end ??= reason;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (waiter.isMet()) waiter.resolve();
      else this.#waiters.push(waiter);
    }
  }

  #wait(isMet: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (isMet()) return resolve();
      if (this.#end !== undefined) throw this.#end;
      const abort = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal?.reason as Error);
      };
      const letGo = () => signal?.removeEventListener('abort', abort);
      const waiter: Waiter = {
        isMet,
        resolve: () => (letGo(), resolve()),
        reject: (error) => (letGo(), reject(error)),
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.push(waiter);
    });
  }
}
