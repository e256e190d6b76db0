import type { EntryId } from 'segmented-wal';
import { Topics, type Group, type Message, type TopicsOptions } from 'segmented-wal/topics';

export interface JobQueueOptions extends TopicsOptions {
  /** How often a job is tried before it counts as failed. Default: 5. */
  readonly maxAttempts?: number;
  /** How long to wait before the second attempt, in milliseconds; each later pause is twice as long. Default: 1000. */
  readonly retryMs?: number;
}

/** What became of a job. */
export interface JobResult<Result> {
  readonly job: EntryId;
  readonly result: Result;
}

const JOBS = 'jobs';
const RESULTS = 'results';
const FAILED = 'failed jobs';
/** A job whose process has died is tried again after this; one that takes longer extends its lease. */
const LEASE_MS = 30_000;

/**
 * A queue of jobs, which are JSON. A job that fails is tried again after a pause, and ends among the failed ones after
 * `maxAttempts`. An attempt is counted before it begins, so a job that kills its process ends there too. Jobs may be
 * worked on more than once, if a process dies in the middle of one; but each has one result, or has failed.
 */
export class JobQueue<Job, Result> implements AsyncDisposable {
  readonly #topics: Topics;
  readonly #workers: Group;
  readonly #retryMs: number;

  private constructor(topics: Topics, workers: Group, retryMs: number) {
    this.#topics = topics;
    this.#workers = workers;
    this.#retryMs = retryMs;
  }

  /** Opens the queue in `directory`, which is created if need be. Rejects as `Topics.open` does. */
  static async open<Job, Result>(directory: string, options: JobQueueOptions = {}): Promise<JobQueue<Job, Result>> {
    const { maxAttempts = 5, retryMs = 1000, ...topicsOptions } = options;
    const topics = await Topics.open(directory, topicsOptions);
    try {
      const group = { maxAttempts, deadLetter: FAILED, leaseMs: LEASE_MS };
      return new JobQueue(topics, await topics.topic(JOBS).group('workers', group), retryMs);
    } catch (error) {
      await topics.close();
      throw error;
    }
  }

  /** How many jobs have neither a result nor failed. */
  get size(): number {
    return this.#workers.lag.messages;
  }

  /** Adds a job. Resolves with its number when it is durable. */
  add(job: Job): Promise<EntryId> {
    return this.#topics.topic(JOBS).publish(JSON.stringify(job));
  }

  /**
   * Works on one job after the other, until the queue is closed or `signal` is aborted. Called several times, it works
   * on several jobs at once. What `handle` throws is a failed attempt.
   */
  async work(handle: (job: Job) => Promise<Result>, signal?: AbortSignal): Promise<void> {
    for await (const message of this.#workers.messages(signal === undefined ? {} : { signal })) {
      await this.#attempt(message, handle).catch((error: Error & { code?: string }) => {
        // Another worker has the job by now, or will have it: this attempt does not count.
        if (error.code !== 'TOPICS_LEASE_LOST' && error.code !== 'WAL_CLOSED') throw error;
      });
    }
  }

  /** The results there are, oldest first. */
  async *results(): AsyncGenerator<JobResult<Result>, void, void> {
    for await (const message of this.#read(RESULTS)) yield parse(message) as JobResult<Result>;
  }

  /** The jobs that have failed, oldest first. */
  async *failed(): AsyncGenerator<Job, void, void> {
    for await (const message of this.#read(FAILED)) yield parse(message) as Job;
  }

  /** Jobs under way are tried again after the next opening. */
  close(): Promise<void> {
    return this.#topics.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #attempt(message: Message, handle: (job: Job) => Promise<Result>): Promise<void> {
    const beat = setInterval(() => extend(message), LEASE_MS / 3);
    let result: Result;
    try {
      result = await handle(parse(message) as Job);
    } catch {
      return await message.nack({ delayMs: this.#retryMs * 2 ** (message.attempt - 1) });
    } finally {
      clearInterval(beat);
    }
    // Both or none: a result without the acknowledgement would be followed by another, and the other way none would be.
    const data = JSON.stringify({ job: message.id, result } satisfies JobResult<Result>);
    await this.#topics.commit({ publish: [{ topic: RESULTS, data }], ack: [message] });
  }

  async *#read(topic: string): AsyncGenerator<Message, void, void> {
    // There is no such topic before the first message.
    if ([...this.#topics.names(topic)].includes(topic)) yield* this.#topics.topic(topic).read();
  }
}

function extend(message: Message): void {
  try {
    message.extend(LEASE_MS);
  } catch {
    // It has ended already: the attempt finds out.
  }
}

function parse({ chunks: [data] }: Message): unknown {
  return JSON.parse(Buffer.from(data).toString());
}
