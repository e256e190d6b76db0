import { deferred, ignoreRejection, type Deferred } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;

export interface Work<Job> {
  /** The next job; undefined if there is none, or none may be begun. */
  next(): Job | undefined;
  do(job: Job): Promise<void>;
  /** `attempt` counts from 1; the next comes after `retryInMs`. */
  onFailed(error: unknown, job: Job, attempt: number, retryInMs: number): void;
}

/**
 * Does one job after the other for as long as there are any. One that fails is tried again after a pause, which gets
 * longer each time. A pause does not keep the process alive, for an idle log must not: callers that await what the
 * worker does end it with `hurry`.
 */
export class RetryingWorker<Job> {
  readonly #environment: Environment;
  readonly #work: Work<Job>;
  #running: Promise<void> | undefined;
  #pause: Deferred<void> | undefined;

  constructor(environment: Environment, work: Work<Job>) {
    this.#environment = environment;
    this.#work = work;
  }

  /** Looks for a job, unless the worker runs. */
  start(): void {
    if (this.#running !== undefined || this.#work.next() === undefined) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      // A job that came while the last one was ending has not been seen.
      this.start();
    });
    ignoreRejection(this.#running);
  }

  /** Ends the pause, if there is one. */
  hurry(): void {
    this.#pause?.resolve();
  }

  /** Resolves when the running job has ended, and none is left that may be begun. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    let attempt = 1;
    for (let job = this.#work.next(); job !== undefined; job = this.#work.next()) {
      try {
        await this.#work.do(job);
        attempt = 1;
      } catch (error) {
        const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS);
        this.#work.onFailed(error, job, attempt++, pauseMs);
        if (this.#work.next() !== undefined) await this.#waitFor(pauseMs);
      }
    }
  }

  async #waitFor(pauseMs: number): Promise<void> {
    const pause = deferred();
    this.#pause = pause;
    const cancel = this.#environment.callAfter(pauseMs, () => pause.resolve());
    await pause.promise;
    this.#pause = undefined;
    cancel();
  }
}
