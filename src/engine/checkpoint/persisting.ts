import type { WalError } from '../../base/errors.js';

/** Ends the persisting of a segment before it is done, in one of two ways. */
export class Persisting {
  readonly #manager = new AbortController();
  readonly #log = new AbortController();

  /** What the manager is told: that it may give up, since the log ends or does not need the segment persisted. */
  get signal(): AbortSignal {
    return this.#manager.signal;
  }

  /** Aborted when the log does not wait for the manager any more. */
  get dropped(): AbortSignal {
    return this.#log.signal;
  }

  /** Whether `error`, with which the persisting ended, only says that it was ended. */
  isEndedBy(error: WalError): boolean {
    const { cause } = error;
    if (this.dropped.aborted) return true;
    if (!this.signal.aborted) return false;
    return cause === this.signal.reason || (cause instanceof Error && cause.name === 'AbortError');
  }

  /** Lets the manager give up, and waits for what it does. */
  stop(reason: unknown): void {
    this.#manager.abort(reason);
  }

  /** Ends it without waiting for the manager. */
  drop(): void {
    // First, so that what the manager rejects with comes after it.
    this.#log.abort();
    this.#manager.abort(this.#log.signal.reason);
  }
}
