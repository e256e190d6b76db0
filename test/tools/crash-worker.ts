/**
 * Explores crashes in a thread of its own. The test runner watches every promise of its thread, which makes
 * what is nothing but promises several times slower; here nobody watches.
 */
import { parentPort } from 'node:worker_threads';
import {
  exploreCrashes,
  exploreFaults,
  exploreRandomly,
  newExploration,
  type Exploration,
} from '../support/crash-explorer.js';
import { printFailure } from '../support/print-failure.js';
import type { Workload } from '../support/workloads.js';

/** What the worker is told to explore. */
export type Task =
  | { readonly kind: 'crashes'; readonly workload: Workload; readonly seed: number; readonly choicesPerMoment: number }
  | { readonly kind: 'faults'; readonly workload: Workload; readonly seed: number; readonly oneIn: number }
  | {
    readonly kind: 'random'; readonly firstSeed: number; readonly count: number;
    /** A slow machine stops after `capMs`, but not before it has tried so many. */
    readonly least: number; readonly capMs: number;
  };

/** What it answers. The report tells of the first failure. */
export interface Answer {
  readonly exploration: Exploration;
  readonly report: string | undefined;
}

async function explore(task: Task): Promise<Answer> {
  const exploration = newExploration();
  if (task.kind === 'random') await exploreSeeds(exploration, task);
  else if (task.kind === 'crashes') await exploreCrashes(exploration, task.workload, task.seed, task);
  else await exploreFaults(exploration, task.workload, task.seed, (run) => run % task.oneIn === 0);
  const [failure] = exploration.failures;
  return { exploration, report: failure && (await printFailure(failure)) };
}

async function exploreSeeds(exploration: Exploration, task: Task & { kind: 'random' }): Promise<void> {
  const end = Date.now() + task.capMs;
  for (let i = 0; i < task.count && (i < task.least || Date.now() < end); i++) {
    await exploreRandomly(exploration, task.firstSeed + i);
    if (exploration.failures.length > 0) return;
  }
}

parentPort?.on('message', (task: Task | 'end') => {
  if (task === 'end') return parentPort?.close();
  explore(task).then(
    (answer) => parentPort?.postMessage(answer),
    (error: unknown) => {
      // Not a violation but a mistake in the explorer: the test fails with it.
      queueMicrotask(() => { throw error; });
    },
  );
});
