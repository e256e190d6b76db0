/**
 * Looks for a fault in the log it stands beside: for `teeth.ts`, which puts a copy of this file into a copy of the
 * project in which one line of the log has been spoilt. Takes cases as a JSON array, tries them in turn, and
 * ends with the first that goes wrong, or with the last. Prints its findings as one line of JSON.
 */
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { exploreCrashes, exploreFaults, exploreRandomly, newExploration, type Place } from '../support/crash-explorer.js';
import { exploreCrashesTwice, TWICE_WORKLOADS } from './crash-twice.js';
import { WORKLOADS, type Workload } from '../support/workloads.js';

/**
 * One thing that `crash.test.ts` or `crash-twice.test.ts` does, with the same seeds and limits. Begins with the place
 * `first`: if the bug is still found there, nothing else needs to be tried.
 */
export type Case = { readonly first?: Place } & (
  | { readonly kind: 'crashes' | 'faults'; readonly workload: string }
  /** `firstCrashes` may be given to try less. */
  | { readonly kind: 'crashes twice'; readonly workload: string; readonly firstCrashes?: number }
  | { readonly kind: 'random' }
);

/** What came of it. */
export interface Finding {
  /** The case that went wrong, and how; undefined if none did. */
  readonly caughtBy: Case | undefined;
  readonly message: string;
  /** Where it did, to begin with the next time. */
  readonly place: Place;
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
  if (tried.first !== undefined) await explore(tried, tried.first);
  await explore(tried);
}

/** Tries the whole of a case, or one place of it, unless something was found before. */
async function explore(tried: Case, only?: Place): Promise<void> {
  for (const [seed, exploreWith] of partsOf(tried)) {
    if (exploration.failures.length > 0 || seed !== (only?.seed ?? seed)) continue;
    await exploreWith((number) => number === (only?.number ?? number));
  }
}

/** What a case tries, seed by seed. */
type Part = readonly [seed: number, explore: (isWanted: (number: number) => boolean) => Promise<void>];

function partsOf(tried: Case): readonly Part[] {
  switch (tried.kind) {
    case 'random': return partsOfRandom();
    case 'crashes twice': return partsOfTwice(tried.workload, tried.firstCrashes);
    case 'crashes': {
      const [workload, i] = find(WORKLOADS, tried.workload);
      const limits = [[0, CHOICES_PER_MOMENT], [1 + (i % 7), OTHER_CHOICES_PER_MOMENT]] as const;
      return limits.map(([seed, choicesPerMoment]): Part => [seed, (isWanted) => {
        return exploreCrashes(exploration, workload, seed, { choicesPerMoment, isWanted });
      }]);
    }
    case 'faults': {
      const [workload, i] = find(WORKLOADS, tried.workload);
      const isDue = (run: number): boolean => exploration.failures.length === 0 && run % ONE_FAULT_IN === 0;
      const seed = i % 4;
      return [[seed, (isWanted) => exploreFaults(exploration, workload, seed, (run) => isDue(run) && isWanted(run))]];
    }
  }
}

function partsOfTwice(name: string, firstCrashes?: number): readonly Part[] {
  const [workload] = find(TWICE_WORKLOADS, name);
  return TWICE_SEEDS.map((seed): Part => [seed, (isWanted) => {
    return exploreCrashesTwice(exploration, workload, seed, firstCrashes, isWanted);
  }]);
}

function partsOfRandom(): readonly Part[] {
  return Array.from({ length: RANDOM_SEEDS.count }, (_, i): Part => {
    const seed = RANDOM_SEEDS.first + i;
    return [seed, async (isWanted) => {
      if (isWanted(0)) await exploreRandomly(exploration, seed);
    }];
  });
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
  const { states, runs, place } = exploration;
  console.log(JSON.stringify({ caughtBy, message, place, states, runs } satisfies Finding));
  // Logs that were left in the middle of something may have timers.
  process.exit(0);
}

if (import.meta.url === pathToFileURL(argv[1]).href) await tryAll(JSON.parse(argv[2]) as Case[]);
