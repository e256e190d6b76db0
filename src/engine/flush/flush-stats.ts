import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Environment } from '../../base/environment.js';
import type { Flush } from '../../segment/segment-encoder.js';

/** To within 1 %: a histogram then takes some 50 KiB, an eighth of the default, and is made four times as fast. */
const HISTOGRAM = { figures: 2 } as const;

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
  readonly #environment: Environment;
  #flushLatency: RecordableHistogram | undefined;
  #commitLatency: RecordableHistogram | undefined;
  #requestedAt: number | undefined;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Nanoseconds from the beginning of each flush to its end. */
  get flushLatency(): RecordableHistogram {
    return (this.#flushLatency ??= createHistogram(HISTOGRAM));
  }

  /** Nanoseconds that the commit which waited longest for each flush has waited. */
  get commitLatency(): RecordableHistogram {
    return (this.#commitLatency ??= createHistogram(HISTOGRAM));
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
    this.flushLatency.record(nanoseconds(now - startedAt));
    if (requestedAt !== undefined) this.commitLatency.record(nanoseconds(now - requestedAt));
    this.flushes++;
    this.flushedBytes += length;
    this.commits += commits.entryCount;
  }
}

/** A histogram takes whole numbers from 1. */
function nanoseconds(milliseconds: number): number {
  return Math.max(1, Math.round(milliseconds * 1e6));
}
