import { offAbort, onAbort } from '../base/abort.js';
import { keepAlive, letExit } from '../base/keep-alive.js';
import type { Message } from './message.js';

/** A consumer that waits for messages. */
export interface Taker {
  readonly max: number;
  readonly maxBytes: number;
  resolve(messages: readonly Message[]): void;
  reject(error: Error): void;
}

/** The consumers of a group that wait for messages, first come, first served. They keep the process alive. */
export class Takers {
  readonly #waiting = new Set<Taker>();
  #closed: Error | undefined;

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Why nothing is handed out any more. */
  get closed(): Error | undefined {
    return this.#closed;
  }

  add(taker: Taker): void {
    if (this.#closed !== undefined) return taker.reject(this.#closed);
    this.#waiting.add(taker);
    keepAlive(taker);
  }

  /** Takes out the first. */
  next(): Taker {
    const [taker] = this.#waiting;
    this.remove(taker);
    return taker;
  }

  /** Takes one out that gives up. Returns whether it waited. */
  remove(taker: Taker): boolean {
    letExit(taker);
    return this.#waiting.delete(taker);
  }

  /** Rejects those who wait. Those who come later may be luckier. */
  fail(error: Error): void {
    for (const taker of this.#waiting) {
      this.remove(taker);
      taker.reject(error);
    }
  }

  close(error: Error): void {
    this.#closed ??= error;
    this.fail(error);
  }
}

export interface TakeRequest {
  readonly max: number;
  readonly maxBytes: number;
  readonly waitMs: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Waits for messages with a taker that `begin` puts in line. Resolves with none after `waitMs`. */
export function waitForMessages(
  takers: Takers, { max, maxBytes, waitMs, signal }: TakeRequest, begin: (taker: Taker) => void,
): Promise<readonly Message[]> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    let timer: NodeJS.Timeout | undefined;
    const end = (): void => {
      offAbort(signal, abort);
      clearTimeout(timer);
    };
    const taker: Taker = {
      max,
      maxBytes,
      resolve: (messages) => {
        end();
        resolve(messages);
      },
      reject: (error) => {
        end();
        reject(error);
      },
    };
    const abort = (): void => {
      if (takers.remove(taker)) taker.reject(signal?.reason as Error);
    };
    onAbort(signal, abort);
    if (waitMs !== undefined) timer = setTimeout(() => takers.remove(taker) && taker.resolve([]), waitMs);
    begin(taker);
  });
}
