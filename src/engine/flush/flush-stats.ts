import type { Environment } from '../../base/environment.js';
import type { Flush } from '../../segment/segment-encoder.js';
import { Latency } from './latency.js';

/** When a flush began, and when the first of its commits was requested. */
export interface FlushTimes {
  readonly startedAt: number;
  /** Undefined if no commit waits for the flush. */
  readonly requestedAt: number | undefined;
}

/** How many flushes there were, what they held, and how long they took. */
export class FlushStats {
  flushes = 0;
  flushedBytes = 0;
  commits = 0;
  /** From the beginning of each flush to its end. */
  readonly flushLatency = new Latency();
  /** How long the commit which waited longest for each flush has waited. */
  readonly commitLatency = new Latency();
  readonly #environment: Environment;
  #requestedAt: number | undefined;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** A commit waits for the next flush. */
  requested(): void {
    if (this.#requestedAt === undefined) this.#requestedAt = this.#environment.now();
  }

  began(): FlushTimes {
    const times = { startedAt: this.#environment.now(), requestedAt: this.#requestedAt };
    this.#requestedAt = undefined;
    return times;
  }

  ended({ startedAt, requestedAt }: FlushTimes, { length, commits }: Flush): void {
    const now = this.#environment.now();
    this.flushLatency.record(now - startedAt);
    if (requestedAt !== undefined) this.commitLatency.record(now - requestedAt);
    this.flushes++;
    this.flushedBytes += length;
    this.commits += commits.entryCount;
  }
}
