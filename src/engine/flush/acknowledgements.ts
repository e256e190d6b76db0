import { deferred, type Deferred } from '../../base/async.js';
import type { Commits } from '../../segment/commits.js';
import type { Lifecycle } from '../directory/lifecycle.js';

/** So many commits are acknowledged in one turn of the event loop. What their callers do then belongs to that turn. */
const PER_TURN = 4096;

/**
 * Acknowledges the commits of flushes, in order. Very many appends at once share one flush: all of them are as safe as
 * was asked for at the same moment, but acknowledging them in one turn would hold the event loop.
 */
export class Acknowledgements {
  readonly #lifecycle: Lifecycle;
  readonly #onDone: () => void;
  /** Those that wait for a later turn, by flush. */
  readonly #waiting: Commits[] = [];
  /** How many of the first flush have been acknowledged. */
  #told = 0;
  #idle: Deferred<void> | undefined;

  /** `onDone` is called when commits that had to wait for a later turn have all been acknowledged. */
  constructor(lifecycle: Lifecycle, onDone: () => void) {
    this.#lifecycle = lifecycle;
    this.#onDone = onDone;
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  /** Resolves when no commit waits for a later turn. */
  async whenIdle(): Promise<void> {
    if (this.isIdle) return;
    this.#idle ??= deferred();
    await this.#idle.promise;
  }

  /** Acknowledges `commits`, after those before them: in this turn if they are not too many. */
  add(commits: Commits): void {
    if (this.isIdle && commits.waiters.length <= PER_TURN) {
      this.#lifecycle.guard(() => commits.acknowledge());
      return;
    }
    this.#waiting.push(commits);
    if (this.#waiting.length === 1) this.#acknowledgeSome();
  }

  readonly #acknowledgeSome = (): void => {
    for (let left = PER_TURN; left > 0 && !this.isIdle;) {
      const [commits] = this.#waiting;
      const from = this.#told;
      const to = Math.min(from + left, commits.waiters.length);
      this.#told = to;
      this.#lifecycle.guard(() => commits.acknowledge(from, to));
      left -= to - from;
      if (to < commits.waiters.length) break;
      this.#told = 0;
      this.#waiting.shift();
    }
    if (!this.isIdle) {
      setImmediate(this.#acknowledgeSome);
      return;
    }
    this.#idle?.resolve();
    this.#idle = undefined;
    this.#onDone();
  };
}
