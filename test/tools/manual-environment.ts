import type { ArchiveEnvironment } from '../../src/archive/archive.js';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is told to go on. */
export class ManualEnvironment implements ArchiveEnvironment {
  readonly #timers = new Set<Timer>();
  #now = 0;
  #names = 0;

  /** Different bytes each time, and the same in each run. */
  randomFill(target: Uint8Array): void {
    target.fill(0);
    target[target.length - 1] = ++this.#names;
  }

  callAfter(milliseconds: number, callback: () => void): () => void {
    const timer = { at: this.#now + milliseconds, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  now(): number {
    return this.#now;
  }

  date(): number {
    return this.#now;
  }

  /** How long until the next timer is due; undefined if there is none. */
  get untilNext(): number | undefined {
    if (this.#timers.size === 0) return undefined;
    return Math.min(...[...this.#timers].map(({ at }) => at)) - this.#now;
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    for (const timer of [...this.#timers].sort((a, b) => a.at - b.at)) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue;
      timer.callback();
    }
  }
}
