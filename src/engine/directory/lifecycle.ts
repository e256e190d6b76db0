import { assert } from '../../base/assert.js';
import { messageOf, WalError } from '../../base/errors.js';
import type { DirectoryLock } from '../../files/file-manager.js';

/** What a log is doing with its directory. */
export type LifecyclePhase = 'opening' | 'open' | 'closing' | 'closed' | 'failed';

/**
 * Whether a log is opening, open, closing, closed or failed, and why: every part of it asks here.
 *
 *     opening ──► open ──► closing ──► closed
 *        └─────────┴─────────┴──► failed
 *
 * - While it is closing, a log takes no new work but still writes what it has accepted.
 * - Once it is closed, nothing in its directory changes any more.
 * - A failure is final and can come from any part: a write or sync that failed, or a lock that was lost. From that
 *   moment on nothing is written and nothing is acknowledged, because nobody can know what the disk holds.
 */
export class Lifecycle {
  #phase: Exclude<LifecyclePhase, 'failed'> = 'opening';
  #failure: WalError | undefined;
  #lock: DirectoryLock | undefined;
  readonly #listeners: ((error: WalError) => void)[] = [];

  get phase(): LifecyclePhase {
    return this.#failure === undefined ? this.#phase : 'failed';
  }

  /** Why the log has failed, once it has. */
  get failure(): WalError | undefined {
    return this.#failure;
  }

  /** Why no new work is taken, if it is not. */
  get refusal(): WalError | undefined {
    if (this.#failure !== undefined) return this.#failure;
    return this.isClosing ? closedError() : undefined;
  }

  /** Whether `shutdown` has been called. A log that has failed can still be read until then. */
  get isClosing(): boolean {
    return this.#phase === 'closing' || this.#phase === 'closed';
  }

  /** From here on `mayWrite` also asks whether the lock is still held. */
  locked(lock: DirectoryLock): void {
    assert(this.#phase === 'opening' && this.#lock === undefined, 'a log takes its lock once, while it is opening');
    this.#lock = lock;
  }

  opened(): void {
    assert(this.#phase === 'opening', 'a log that is opened was opening');
    this.#phase = 'open';
  }

  closing(): void {
    assert(this.#phase === 'open', 'a log that begins to close was open');
    this.#phase = 'closing';
  }

  closed(): void {
    assert(this.#phase === 'closing' || this.#phase === 'opening', 'a log is closed after closing, or never opened');
    this.#phase = 'closed';
  }

  /**
   * Whether the directory may be changed. To be asked right before each write and each change of a name: a lock that
   * depends on a heartbeat can be lost without anybody having noticed, and then the log fails here.
   */
  mayWrite(): boolean {
    this.guard(() => {
      if (this.#lock?.isHeld?.() === false) throw new Error('the lock on its directory has been lost');
    });
    return this.#failure === undefined && this.#phase !== 'closed';
  }

  /** Throws what `mayWrite` says no for. */
  assertMayWrite(): void {
    if (!this.mayWrite()) throw this.#failure ?? closedError();
  }

  /** Calls `listener` once, when the log fails. Listeners are called in the order in which they came. */
  onFailed(listener: (error: WalError) => void): void {
    this.#listeners.push(listener);
  }

  /** Ends the log for good. Only the first failure counts. */
  fail(cause: unknown): void {
    if (this.#failure !== undefined || this.#phase === 'closed') return;
    const reason = messageOf(cause);
    const error = new WalError(
      'WAL_FAILED', `the log has failed and must be recovered before it is used again: ${reason}`, { cause },
    );
    this.#failure = error;
    for (const listener of this.#listeners) {
      try {
        listener(error);
      } catch {
        // The others must hear of the failure, too, and the first one is the one that counts.
      }
    }
  }

  /**
   * Takes a step that other callers' entries depend on. An exception in it, for want of memory or for a fault of the
   * log's own, has left it half done, and nothing can be built on that: the log fails, and everyone who waits is told.
   */
  guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }
}

export function closedError(): WalError {
  return new WalError('WAL_CLOSED', 'the log has been shut down');
}
