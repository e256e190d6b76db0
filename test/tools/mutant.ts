/**
 * Looks for a fault in the log it stands beside: for `teeth.ts`, which puts a copy of this file into a copy of the
 * project in which one line of the log has been spoilt. Takes cases as a JSON array, tries them in turn, and
 * ends with the first that goes wrong, or with the last. Prints its findings as one line of JSON.
 */
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { exploreCrashes, exploreFaults, exploreRandomly, newExploration } from '../support/crash-explorer.js';
import { exploreCrashesTwice, TWICE_WORKLOADS } from './crash-twice.js';
import { WORKLOADS, type Workload } from '../support/workloads.js';

/** One thing that `crash.test.ts` or `crash-twice.test.ts` does, with the same seeds and limits. */
export type Case =
  | { readonly kind: 'crashes' | 'faults'; readonly workload: string }
  /** `firstCrashes` may be given to try less. */
  | { readonly kind: 'crashes twice'; readonly workload: string; readonly firstCrashes?: number }
  | { readonly kind: 'random' };

/** What came of it. */
export interface Finding {
  /** The case that went wrong, and how; undefined if none did. */
  readonly caughtBy: Case | undefined;
  readonly message: string;
  /** Crash states opened and compared with the model until then. */
  readonly states: number;
  /** Runs of a workload until then. */
  readonly runs: number;
}

const CHOICES_PER_MOMENT = 25;
const OTHER_CHOICES_PER_MOMENT = 6;
const ONE_FAULT_IN = 4;
/** Disks in strict mode, with durable writes and without: those that keep the order of names forgive too much. */
const TWICE_SEEDS = [0, 2];
const RANDOM_SEEDS = { first: 8, count: 600 };

/** Every case of the crash tests, in their order. */
export const ALL_CASES: readonly Case[] = [
  ...WORKLOADS.map(({ name }): Case => ({ kind: 'crashes', workload: name })),
  ...TWICE_WORKLOADS.map(({ name }): Case => ({ kind: 'crashes twice', workload: name })),
  ...WORKLOADS.map(({ name }): Case => ({ kind: 'faults', workload: name })),
  { kind: 'random' },
];

const exploration = newExploration();

async function tryCase(tried: Case): Promise<void> {
  if (tried.kind === 'random') return trySeeds();
  if (tried.kind === 'crashes twice') return tryTwice(tried.workload, tried.firstCrashes);
  const [workload, i] = find(WORKLOADS, tried.workload);
  if (tried.kind === 'faults') {
    const isWanted = (run: number): boolean => exploration.failures.length === 0 && run % ONE_FAULT_IN === 0;
    return exploreFaults(exploration, workload, i % 4, isWanted);
  }
  await exploreCrashes(exploration, workload, 0, { choicesPerMoment: CHOICES_PER_MOMENT });
  if (exploration.failures.length > 0) return;
  await exploreCrashes(exploration, workload, 1 + (i % 7), { choicesPerMoment: OTHER_CHOICES_PER_MOMENT });
}

async function tryTwice(name: string, firstCrashes?: number): Promise<void> {
  const [workload] = find(TWICE_WORKLOADS, name);
  for (const seed of TWICE_SEEDS) {
    if (exploration.failures.length === 0) await exploreCrashesTwice(exploration, workload, seed, firstCrashes);
  }
}

async function trySeeds(): Promise<void> {
  const { first, count } = RANDOM_SEEDS;
  for (let seed = first; seed < first + count && exploration.failures.length === 0; seed++) {
    await exploreRandomly(exploration, seed);
  }
}

function find(workloads: readonly Workload[], name: string): [Workload, number] {
  const i = workloads.findIndex((workload) => workload.name === name);
  if (i < 0) throw new RangeError(`there is no workload "${name}"`);
  return [workloads[i], i];
}

async function tryAll(cases: readonly Case[]): Promise<void> {
  for (const tried of cases) {
    // A log that is wrong may also throw where nobody catches it. That fails the crash tests too.
    process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => end(tried, `uncaught ${error}`));
    try {
      await tryCase(tried);
    } catch (error) {
      return end(tried, String(error));
    }
    const [failure] = exploration.failures;
    if (failure !== undefined) return end(tried, failure.message);
  }
  end(undefined, '');
}

function end(caughtBy: Case | undefined, message: string): never {
  const { states, runs } = exploration;
  console.log(JSON.stringify({ caughtBy, message, states, runs } satisfies Finding));
  // Logs that were left in the middle of something may have timers.
  process.exit(0);
}

if (import.meta.url === pathToFileURL(argv[1]).href) await tryAll(JSON.parse(argv[2]) as Case[]);
