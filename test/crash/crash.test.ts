import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { FileHandle, FileManager } from '../../src/files/file-manager.js';
import type { Answer, Task } from '../tools/crash-worker.js';
import { exploreRandomly, newExploration, shrink, type Failure } from '../support/crash-explorer.js';
import { crashTest, CrashTestFailure, type CrashTestSubject } from '../support/crash-test.js';
import { SITUATIONS } from '../support/situations.js';
import { WORKLOADS, type Step } from '../support/workloads.js';

// The budgets are numbers of cases, so that every machine tries the same ones; the cap is for slow machines.
const RANDOM_WORKLOADS = 600;
const LEAST_RANDOM_WORKLOADS = 120;
const CHOICES_PER_MOMENT = 25;
const ONE_FAULT_IN = 4;
const CAP_MS = 60_000;

const worker = new Worker(new URL('../tools/crash-worker.js', import.meta.url));
after(async () => {
  worker.postMessage('end');
  await once(worker, 'exit');
});

/** Has the worker carry out a task, and fails if it finds a violation. */
async function explore(task: Task): Promise<Answer['exploration']> {
  worker.postMessage(task);
  const [{ exploration, report }] = (await once(worker, 'message')) as [Answer];
  if (report !== undefined) assert.fail(`${exploration.failures.length} violations, the first:\n${report}`);
  return exploration;
}

describe('a crash at any call, with any of what is pending, leaves a log that keeps its promises', () => {
  for (const [i, workload] of WORKLOADS.entries()) {
    test(workload.name, async (context) => {
      const { states } = await explore({ kind: 'crashes', workload, seed: 0, choicesPerMoment: CHOICES_PER_MOMENT });
      // The other kinds of disk take turns.
      const others = await explore({ kind: 'crashes', workload, seed: 1 + (i % 7), choicesPerMoment: 6 });
      assert.ok(states > 100 && others.states > 100, `only ${states} and ${others.states} states`);
      context.diagnostic(`${states + others.states} crash states`);
    });
  }
});

describe('an error at any call, once or for ever, leaves a log that keeps its promises', () => {
  for (const [i, workload] of WORKLOADS.entries()) {
    test(workload.name, async (context) => {
      const { runs, states } = await explore({ kind: 'faults', workload, seed: i % 4, oneIn: ONE_FAULT_IN });
      assert.ok(runs > 20, `only ${runs} runs`);
      context.diagnostic(`${runs} faults, ${states} crash states`);
    });
  }
});

test('random workloads with crashes and faults keep the promises', async (context) => {
  const { runs, states, situations } = await explore({
    kind: 'random', firstSeed: 8, count: RANDOM_WORKLOADS, least: LEAST_RANDOM_WORKLOADS, capMs: CAP_MS,
  });
  assert.ok(runs >= LEAST_RANDOM_WORKLOADS, `only ${runs} workloads`);
  // Bugs that passed this suite needed these.
  assert.deepEqual(SITUATIONS.filter((situation) => !(situation in situations)), [], 'never come to');
  context.diagnostic(`${runs} workloads, ${states} crash states`);
});

test('the same seed tries the same states', async () => {
  const [one, two] = [newExploration(), newExploration()];
  for (const exploration of [one, two]) for (const seed of [20, 21, 22, 23]) await exploreRandomly(exploration, seed);
  assert.deepEqual(one, two);
});

/** A store that the crash test must find fault with, or not: numbers in a file, one byte each, without a log. */
function numbersInAFile(isSynced: boolean, isDirectorySynced: boolean): CrashTestSubject<FileHandle> {
  return {
    async open(files: FileManager, directory: string) {
      await files.createDirectory(directory);
      const file = await files.open(`${directory}/numbers`, { access: 'create' });
      if (isDirectorySynced) await files.syncDirectory(directory);
      return file;
    },
    async change(file, number) {
      await file.write([Uint8Array.of(number + 1)], number);
      if (isSynced) await file.sync();
    },
    async count(file) {
      const bytes = new Uint8Array(await file.size());
      await file.read(bytes, 0);
      const count = bytes.findIndex((byte, i) => byte !== i + 1);
      return count < 0 ? bytes.length : count;
    },
  };
}

describe('the crash test for a store of your own', () => {
  test('finds nothing wrong with a store that syncs everything', async () => {
    const report = await crashTest(numbersInAFile(true, true), { changes: 5 });
    assert.ok(report.states > 100, `only ${report.states} states`);
  });

  test('finds a sync that was left out', async () => {
    await assert.rejects(crashTest(numbersInAFile(false, true)), CrashTestFailure);
  });

  test('finds a directory sync that was left out', async () => {
    await assert.rejects(crashTest(numbersInAFile(true, false)), /changes had resolved, but the store holds 0/);
  });
});

test('a program that crash-tests its store never ends, because a process that was only simulated waited for its log', async () => {
  const program = `
    import { crashTest } from ${JSON.stringify(new URL('../support/index.js', import.meta.url).href)};
    import { LogVoid, WriteAheadLog } from ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)};
    await crashTest({
      async open(fileManager, directory) {
        let count = 0;
        const manager = { recover: () => void count++, checkpointTo() {} };
        const log = await WriteAheadLog.recover(directory, manager, { fileManager, preallocateBytes: 4096 });
        void log.waitForDurable(100).catch(() => {});
        return { log, count };
      },
      async change(store) { await store.log.append('change'); store.count++; },
      count: (store) => store.count,
    }, { changes: 1, seeds: [0], choicesPerMoment: 1 });
    console.log('done');
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 60_000 });
  assert.equal(stdout, 'done\n');
});

test('a failing workload is cut down to the steps it needs', async () => {
  const steps = Array.from({ length: 20 }, (_, i): Step => ({ do: 'append', lengths: [i] }));
  const [first, last] = [steps[4], steps[17]];
  const failure: Failure = { name: 'random', seed: 1, step: '', message: '', steps };
  const smallest = await shrink(failure, async (tried) => {
    return tried.includes(first) && tried.includes(last) ? { ...failure, steps: tried } : undefined;
  });
  assert.deepEqual(smallest.steps, [first, last]);
});
