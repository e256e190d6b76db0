import type { Commits, CommitWaiter } from '../../segment/commits.js';

/** So many commits are acknowledged in one turn of the event loop. What their callers do then belongs to that turn. */
const PER_TURN = 4096;

/**
 * Acknowledges the commits of flushes, in order. Very many appends at once share one flush: all of them are as safe as
 * was asked for at the same moment, but acknowledging them in one turn would hold the event loop.
 */
export class Acknowledgements {
  readonly #onDone: () => void;
  /** Those that wait for a later turn, from `#next` on. */
  #waiting: CommitWaiter[] = [];
  #next = 0;

  /** `onDone` is called when commits that had to wait for a later turn have all been acknowledged. */
  constructor(onDone: () => void) {
    this.#onDone = onDone;
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  /** Acknowledges `commits`, after those before them: in this turn if they are not too many. */
  add(commits: Commits): void {
    const { waiters, orderedWaiters } = commits;
    if (this.isIdle && waiters.length + orderedWaiters.length <= PER_TURN) {
      commits.acknowledge();
      return;
    }
    const isFirst = this.isIdle;
    commits.makeCalls();
    for (const waiter of waiters) this.#waiting.push(waiter);
    for (const waiter of orderedWaiters) this.#waiting.push(waiter);
    if (isFirst) this.#acknowledgeSome();
  }

  readonly #acknowledgeSome = (): void => {
    const end = Math.min(this.#next + PER_TURN, this.#waiting.length);
    while (this.#next < end) this.#waiting[this.#next++].committed();
    if (end < this.#waiting.length) {
      setImmediate(this.#acknowledgeSome);
      return;
    }
    this.#waiting = [];
    this.#next = 0;
    this.#onDone();
  };
}
