/** The examples of topics, and what is done with them by the processes that get killed. */
import path from 'node:path';
import { Accounts } from '../../examples/outbox.js';
import { JobQueue } from '../../examples/job-queue.js';
import type { TopicsOptions } from '../../src/topics/index.js';

/** So small that every round fills several segments. */
const OPTIONS: TopicsOptions = {
  preallocateBytes: 32 * 1024, checkpointAfterBytes: 16 * 1024, bufferBytes: 16 * 1024, maxPendingBytes: 256 * 1024,
  keepSegments: 1,
};

export const MAX_ATTEMPTS = 4;

export interface Job {
  readonly name: string;
  /** How many attempts fail. */
  readonly failures: number;
}

export function openJobs(directory: string): Promise<JobQueue<Job, string>> {
  return JobQueue.open(path.join(directory, 'jobs'), { ...OPTIONS, maxAttempts: MAX_ATTEMPTS, retryMs: 1 });
}

export function openAccounts(directory: string): Promise<Accounts> {
  return Accounts.open(path.join(directory, 'accounts'), { ...OPTIONS, retryMs: 1 });
}

/** The `number`-th job of a round: its name says how often it fails. */
export function jobOf(round: number, number: number): Job {
  const failures = number % 10 === 3 ? Infinity : number % 5 === 1 ? 1 : 0;
  return { name: `job ${round}.${number}${failures > 1 ? ' for ever' : ''}`, failures: Math.min(failures, MAX_ATTEMPTS) };
}

/** Fails as often as a job says; in one process. */
export function worker(): (job: Job) => Promise<string> {
  const attempts = new Map<string, number>();
  return async ({ name, failures }) => {
    const attempt = (attempts.get(name) ?? 0) + 1;
    attempts.set(name, attempt);
    await Promise.resolve();
    if (attempt <= failures || name.endsWith('for ever')) throw new Error(`${name} has failed`);
    return `${name} is done`;
  };
}
