/** A second crash, in what recovery has left of a first one. `crash-twice.ts` says why one is not enough. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TWICE_WORKLOADS } from '../tools/crash-twice.js';
import type { Case, Finding } from '../tools/mutant.js';
import { decodeTailHeader, TAIL_CRC_LENGTH, TAIL_HEADER_LENGTH } from '../../src/format/tail-format.js';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint, Fate } from '../support/crash-point.js';
import { ModelledLog } from '../support/modelled-log.js';
import { Random } from '../support/random.js';
import { checkRecovery } from '../support/recovery-check.js';
import type { ReferenceModel } from '../support/reference-model.js';
import { Scenario } from '../support/scenario.js';
import { settingsFor, type Settings } from '../support/settings.js';
import type { SimulatedDisk } from '../support/simulated-disk.js';
import type { Call } from '../support/simulated-file-manager.js';

const EXPLORER = fileURLToPath(new URL('../tools/mutant.js', import.meta.url));
/** Those whose second crash shows what no first one does. */
const WORKLOADS = [
  'first commit', 'entries around the end of a segment', 'reopening', 'abandoning segments', 'a checkpoint after reopening',
];

// In processes of their own, as the test runner slows down every promise of its own process.
describe('a crash, and another one after going on from what it left, take nothing away', { concurrency: 2 }, () => {
  for (const workload of WORKLOADS) {
    test(workload, async (context) => {
      const cases: Case[] = [{ kind: 'crashes twice', workload }];
      const { stdout } = await promisify(execFile)(process.execPath, [EXPLORER, JSON.stringify(cases)]);
      const { caughtBy, message, states } = JSON.parse(stdout) as Finding;
      assert.equal(caughtBy, undefined, message);
      assert.ok(states > 1000, `only ${states} states`);
      context.diagnostic(`${states} crash states`);
    });
  }
});

// Those above are tried in full. A case that fails on the sound log would pass for what catches a bug.
test('the model owes what a loss of power has taken, so that a second crash is blamed on a log that is sound', async (context) => {
  const others = TWICE_WORKLOADS.filter(({ name }) => !WORKLOADS.includes(name));
  const cases = others.map(({ name }): Case => ({ kind: 'crashes twice', workload: name, firstCrashes: 2 }));
  const findings = await Promise.all([0, 1].map(async (half): Promise<Finding> => {
    const some = cases.filter((_, i) => i % 2 === half);
    const { stdout } = await promisify(execFile)(process.execPath, [EXPLORER, JSON.stringify(some)]);
    return JSON.parse(stdout) as Finding;
  }));
  for (const { caughtBy, message } of findings) assert.equal(caughtBy, undefined, `${JSON.stringify(caughtBy)}: ${message}`);
  const states = findings.reduce((sum, finding) => sum + finding.states, 0);
  assert.ok(states > cases.length * 80, `only ${states} states`);
  context.diagnostic(`${states} crash states`);
});

interface Moment {
  readonly call: Call;
  readonly point: CrashPoint;
  readonly model: ReferenceModel;
}

/** The moments at which an opening of what `disk` holds could crash, and what is owed then. */
async function opening(disk: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random): Promise<Moment[]> {
  const moments: Moment[] = [];
  model.processEnded();
  const process = new ModelledLog(disk, model, settings, random.fork(), {
    onStep: (call) => void moments.push({ call, point: disk.crashPoint(), model: model.snapshot() }),
  });
  await process.open();
  process.kill();
  return moments;
}

/** A process that ended behind two entries: nothing proves the last flush durable, so the next opening writes it again. */
async function unprovenTail(): Promise<{ disk: SimulatedDisk; model: ReferenceModel; settings: Settings; random: Random }> {
  // Writes and syncs apart: a durable write would leave nothing for the second one to lose.
  const [settings, random] = [settingsFor(2), new Random(2)];
  const scenario = new Scenario(settings, random.fork());
  await scenario.run([30, 700].map((length) => ({ do: 'append', lengths: [length] })));
  const disk = scenario.process.disk.crashPoint().processDeath(() => true);
  scenario.process.kill();
  return { disk, model: scenario.model, settings, random };
}

test('a tail is lost when the power goes while it is written again, and once more while that is done over', async (context) => {
  const { disk: left, model: owed, settings, random } = await unprovenTail();
  let states = 0;
  for (const first of (await opening(left, owed.clone(), settings, random)).filter(isWriting)) {
    for (const fates of someCrashChoices(first.point, random, 6)) {
      const torn = first.point.powerLoss(fates, random.next());
      for (const { point, model } of await opening(torn, first.model.clone(), settings, random)) {
        if (point.fragments.length === 0) continue;
        const disk = point.powerLoss(point.fragments.map(() => 'lost'));
        states += await checkRecovery(disk, model.clone(), settings, random.next());
      }
    }
  }
  assert.ok(states > 1000, `only ${states} states`);
  context.diagnostic(`${states} crash states`);
});

test('a tail is written over while only the cache knows its copy, which the process before could not sync', async (context) => {
  const { disk: left, model: owed, settings, random } = await unprovenTail();
  let states = 0;
  const isUnsynced = ({ point }: Moment): boolean => point.fragments.some(({ change }) => change.kind === 'link');
  for (const first of (await opening(left, owed.clone(), settings, random)).filter(isUnsynced)) {
    const ended = first.point.processDeath(() => true);
    for (const { point, model } of (await opening(ended, first.model.clone(), settings, random)).filter(isWriting)) {
      for (const fates of someCrashChoices(point, random, 8)) {
        states += await checkRecovery(point.powerLoss(fates, random.next()), model.clone(), settings, random.next());
      }
    }
  }
  assert.ok(states > 1000, `only ${states} states`);
  context.diagnostic(`${states} crash states`);
});

/** The copy as version 0.1.0 made it: no longer than its content, so that nothing tells whether it was ever durable. */
function asVersion010(disk: SimulatedDisk): SimulatedDisk {
  const copy = disk.lookup('/log/wal-tail');
  const tail = copy === undefined ? undefined : decodeTailHeader(copy.share());
  if (copy !== undefined && tail !== undefined) {
    disk.truncate(copy, TAIL_HEADER_LENGTH + tail.length + TAIL_CRC_LENGTH);
    disk.sync(copy, disk.time);
  }
  return disk;
}

test('a copy of a tail that has two names is written over, with nothing else left of the tail', async (context) => {
  const { disk: left, model: owed, settings, random } = await unprovenTail();
  const damaging = (point: CrashPoint): SimulatedDisk =>
    point.powerLoss(point.fragments.map(({ change }): Fate => (change.kind === 'data' ? 'garbage' : 'kept')), random.next());
  let states = 0;
  for (const first of (await opening(left, owed.clone(), settings, random)).filter(isWriting)) {
    for (const second of await opening(asVersion010(damaging(first.point)), first.model.clone(), settings, random)) {
      const { fragments } = second.point;
      if (!fragments.some(({ change }) => change.kind === 'unlink' && change.path.endsWith('-new'))) continue;
      const twoNames = second.point.powerLoss(fragments.map(({ change }) => (change.kind === 'link' ? 'kept' : 'lost')));
      for (const { point, model } of await opening(twoNames, second.model.clone(), settings, random)) {
        states += await checkRecovery(damaging(point), model.clone(), settings, random.next());
      }
    }
  }
  assert.ok(states > 100, `only ${states} states`);
  context.diagnostic(`${states} crash states`);
});

function isWriting({ call: { kind, path } }: Moment): boolean {
  return (kind === 'write' || kind === 'sync') && path.endsWith('/wal-1');
}
