/** The fault matrix, rows 2, 7, 9, 19, 26 and 38: power losses and ended processes on the simulated disk. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Answer, Task } from '../tools/crash-worker.js';
import { openWithFaults } from '../tools/fault-matrix-parts.js';
import { Gate } from '../tools/faulty-file-manager.js';
import { inMemory, isSettled, pattern, turns, until } from '../tools/helpers.js';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint } from '../support/crash-point.js';
import { ModelledLog, type ModelledLogOptions } from '../support/modelled-log.js';
import { Random } from '../support/random.js';
import { checkRecovery } from '../support/recovery-check.js';
import { ReferenceModel } from '../support/reference-model.js';
import { randomPowerLoss, Scenario } from '../support/scenario.js';
import { settingsFor, type Settings } from '../support/settings.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { WORKLOADS, type Workload } from '../support/workloads.js';

const worker = new Worker(new URL('../tools/crash-worker.js', import.meta.url));
after(async () => {
  worker.postMessage('end');
  await once(worker, 'exit');
});

/** Crashes a workload at every call it makes, on the kinds of disk that `seeds` stand for. Resolves with the states tried. */
async function crashEverywhere(name: string, seeds: readonly number[], choicesPerMoment: number): Promise<number> {
  const workload = WORKLOADS.find((candidate) => candidate.name === name);
  assert.ok(workload !== undefined, name);
  let states = 0;
  for (const seed of seeds) {
    const task: Task = { kind: 'crashes', workload, seed, choicesPerMoment };
    worker.postMessage(task);
    const [{ exploration, report }] = (await once(worker, 'message')) as [Answer];
    assert.equal(report, undefined, report);
    states += exploration.states;
  }
  return states;
}

const STRICT = [0, 2, 4, 6];
const ORDERED = [1, 3, 5, 7];

const EVERYWHERE = [
  ['row 7: any of the sectors that were not synced kept, lost, torn or garbled', 'concurrent writers', [0, 1, 2, 3], 25],
  ['row 9: names created, renamed and removed, lost or reordered', 'recycling', STRICT, 12],
  ['row 26: a crash at any step of a checkpoint that fails and is tried again', 'a failing checkpoint', [0, 3], 12],
  ['row 26: a crash at any step of a checkpoint and of recycling', 'everything checkpointed, reopened again and again', [1, 2], 8],
  ['row 38: what is left at any step of making the first segment', 'first commit', [...STRICT, ...ORDERED], 40],
  ['row 38: what is left at any step of making and renaming the next segment', 'rotation', [0, 1, 2, 3], 10],
] as const;

for (const [what, workload, seeds, choices] of EVERYWHERE) {
  test(`${what} leaves all that was acknowledged, in order and without a gap`, async (context) => {
    const states = await crashEverywhere(workload, seeds, choices);
    assert.ok(states > 500, `only ${states} states`);
    context.diagnostic(`${states} crash states`);
  });
}

/** A process on a disk of its own, and the model that goes along with it. */
function start(
  settings: Settings, disk: SimulatedDisk, model: ReferenceModel, random: Random, options: ModelledLogOptions = {},
): ModelledLog {
  return new ModelledLog(disk, model, settings, random.fork(), options);
}

function loseAll(disk: SimulatedDisk): SimulatedDisk {
  const point = disk.crashPoint();
  return point.powerLoss(point.fragments.map(() => 'lost'));
}

// Of the bytes that a failed sync leaves in the cache the disk may have all, none, or any.
for (const [what, survives] of [['nothing', () => () => false], ['all', () => () => true], ['a part', halfOf]] as const) {
  test(`row 2: after a failed sync that saved ${what}, what the next process shows survives a power loss`, async () => {
    for (const seed of [0, 1, 2, 3]) {
      for (const good of [0, 1, 4]) {
        const random = new Random(seed);
        const settings = settingsFor(seed);
        const model = new ReferenceModel();
        const disk = new SimulatedDisk(settings.traits);
        let isBroken = false;
        const first = start(settings, disk, model, random, {
          expectsErrors: true,
          survives: survives(random),
          faultAt: ({ kind }) => (isBroken && kind === (settings.durableWrites ? 'write' : 'sync') ? 'EIO' : undefined),
        });
        await first.open();
        for (let i = 0; i < good; i++) assert.equal(await first.append([random.bytes(600)]), 'ok');
        await first.settle();
        isBroken = true;
        assert.equal(await first.append([random.bytes(1200)]), 'WAL_FAILED');
        const left = disk.crashPoint().processDeath(() => true);
        first.kill();
        const second = start(settings, left, model, random);
        await second.open();
        const shown = model.attempts.filter(({ state }) => state === 'kept').length;
        assert.equal(shown, good + 1, 'the page cache has the entry');
        const { entries } = second.log?.recovery ?? {};
        // At this very moment: what recover() has shown was written again.
        const third = start(settings, loseAll(left), model, random);
        second.kill();
        await third.open();
        assert.equal(third.log?.recovery.entries, entries);
        third.kill();
      }
    }
  });
}

function halfOf(random: Random): () => boolean {
  return () => random.oneIn(2);
}

inMemory('row 9: nothing is acknowledged in a segment whose name is not durable', async (base) => {
  const { log, faulty } = await openWithFaults(base, { preallocateBytes: 4096, checkpointAfterBytes: 2048, bufferBytes: 4096 });
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'syncDirectory' ? gate.pass() : undefined);
  const ids: number[] = [];
  for (;;) {
    const appended = log.append(pattern(300)).then(({ id }) => ids.push(id));
    if (!(await isSettled(appended))) break;
  }
  assert.equal(gate.arrivals, 1, 'the next segment waits for its name');
  assert.ok(ids.length >= 10, 'what fits into the old segment was acknowledged meanwhile');
  const waiting = ids.length;
  await turns(100);
  assert.equal(ids.length, waiting);
  gate.open();
  await until(() => ids.length === waiting + 1);
});

const SEVERAL_SEGMENTS: Workload['steps'] = [
  { do: 'checkpoints will', behave: 'hang' },
  ...[400, 400, 400, 400, 400, 30].map((length) => ({ do: 'append' as const, lengths: [length] })),
  { do: 'append many', count: 3, length: 40 },
];

/** The moments at which an opening of what `disk` holds could crash, and what is owed then. */
async function opening(
  settings: Settings, disk: SimulatedDisk, model: ReferenceModel, random: Random,
): Promise<{ point: CrashPoint; model: ReferenceModel }[]> {
  const moments: { point: CrashPoint; model: ReferenceModel }[] = [];
  const process = start(settings, disk, model, random, {
    onStep: () => void moments.push({ point: disk.crashPoint(), model: model.snapshot() }),
  });
  await process.open();
  process.kill();
  return moments;
}

test('row 19: recovery that crashes at any step, and crashes again at any step of the next, can be repeated', async (context) => {
  let states = 0;
  let moment = 0;
  for (const seed of [0, 1, 2, 3]) {
    const random = new Random(seed);
    const settings = settingsFor(seed);
    const scenario = new Scenario(settings, random.fork());
    await scenario.run(SEVERAL_SEGMENTS);
    const disk = randomPowerLoss(scenario.process.disk.crashPoint(), random);
    scenario.process.kill();
    for (const first of await opening(settings, disk, scenario.model.clone(), random)) {
      for (const fates of someCrashChoices(first.point, random, 3)) {
        const model = first.model.clone();
        model.processEnded();
        for (const second of await opening(settings, first.point.powerLoss(fates, random.next()), model, random)) {
          // One moment in so many, a different one each time.
          if (moment++ % 41 !== 0) continue;
          const left = randomPowerLoss(second.point, random);
          states += await checkRecovery(left, second.model.clone(), settings, random.next());
        }
      }
    }
  }
  assert.ok(states > 1000, `only ${states} states`);
  context.diagnostic(`${states} crash states`);
});
