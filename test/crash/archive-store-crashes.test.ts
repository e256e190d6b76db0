/** What a directory of objects is after a crash, and with two processes in it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { directoryStore } from '../../src/archive/directory-store.js';
import type { ObjectStore } from '../../src/archive/object-store.js';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint } from '../support/crash-point.js';
import { Random } from '../support/random.js';
import { Scheduler } from '../support/scheduler.js';
import { settingsFor } from '../support/settings.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { applies, faultAtCall, SimulatedFileManager, type Call, type Fault } from '../support/simulated-file-manager.js';
import { withTemporaryDirectory } from '../tools/helpers.js';

const OBJECTS = 3;
const { signal } = new AbortController();

interface Moment {
  readonly what: string;
  readonly point: CrashPoint;
  /** How many objects were said to exist. */
  readonly confirmed: number;
}

function contentOf(key: string): string {
  return `${key} `.repeat(200);
}

/** Creates one object after the other, each again until the store has answered. */
async function createAll(seed: number, faultAt: (call: Call) => Fault | undefined): Promise<{ moments: Moment[]; calls: Call[] }> {
  const moments: Moment[] = [];
  const calls: Call[] = [];
  const disk = new SimulatedDisk(settingsFor(seed).traits);
  const scheduler = new Scheduler(new Random(seed));
  let confirmed = 0;
  const files = new SimulatedFileManager(disk, {
    scheduler, faultAt,
    onStep: (call) => {
      if (calls.at(-1)?.index !== call.index) calls.push(call);
      moments.push({ what: `${call.kind} ${call.path}`, point: disk.crashPoint(), confirmed });
    },
  });
  let store = directoryStore('/objects', files);
  for (let attempt = 1; confirmed < OBJECTS; attempt++) {
    const key = `log/${confirmed + 1}`;
    const creating = store.create(key, Buffer.from(contentOf(key)), { signal }).then(() => true, (error: Error) => {
      // As its user would, who is told to.
      if (/could not be synced/.test(error.message)) store = directoryStore('/objects', files);
      return false;
    });
    if (await scheduler.settled(creating, 'create')) confirmed++;
    else assert.ok(attempt < 10, 'it failed again and again');
    moments.push({ what: `${key}, attempt ${attempt}, had ended`, point: disk.crashPoint(), confirmed });
  }
  assert.deepEqual(files.breaches, []);
  assert.deepEqual([...files.openFiles], []);
  return { moments, calls };
}

/** How many objects there are: all of them as they were stored, none without those before it. */
async function countObjects(store: ObjectStore): Promise<number> {
  let count = 0;
  for await (const key of store.list('log/', { signal })) {
    assert.equal(key, `log/${++count}`);
    assert.equal(String(Buffer.from(await store.get(key, { signal }) ?? [])), contentOf(key));
  }
  return count;
}

async function crashAt({ point, what, confirmed }: Moment, random: Random): Promise<number> {
  const disks = someCrashChoices(point, random, 3).map((fates) => point.powerLoss(fates, random.next()));
  for (const disk of [...disks, point.processDeath(() => random.oneIn(2))]) {
    const first = new SimulatedFileManager(disk);
    const found = await first.scheduler.settled(countObjects(directoryStore('/objects', first)), 'list');
    assert.ok(found >= confirmed, `${what}: ${found} objects of ${confirmed} that were confirmed`);
    const lost = disk.crashPoint().fragments.map(() => 'lost' as const);
    const second = new SimulatedFileManager(disk.crashPoint().powerLoss(lost, random.next()));
    const again = await second.scheduler.settled(countObjects(directoryStore('/objects', second)), 'list');
    assert.equal(again, found, `${what}: what was listed is gone after a loss of power`);
  }
  return disks.length + 1;
}

test('an object that was confirmed, or listed, is gone or another after a crash, whatever failed before', async (context) => {
  let [runs, states] = [0, 0];
  for (const seed of [0, 3]) {
    const random = new Random(seed);
    const { moments, calls } = await createAll(seed, () => undefined);
    for (const moment of moments) states += await crashAt(moment, random);
    for (const fault of ['EIO', 'ENOSPC', 'short'] as const) {
      for (const { index } of calls.filter(({ kind }) => applies(fault, kind))) {
        const run = await createAll(seed, faultAtCall(index, fault));
        runs++;
        for (const moment of run.moments) if (random.oneIn(8)) states += await crashAt(moment, random);
      }
    }
  }
  assert.ok(runs > 50 && states > 500, `only ${runs} runs, ${states} states`);
  context.diagnostic(`${states} states from ${runs} runs with an error`);
});

test('two processes both create an object, or neither does', () => withTemporaryDirectory(async (directory) => {
  const count = 40;
  const child = fileURLToPath(new URL('../tools/racing-store-child.js', import.meta.url));
  const racers = ['one', 'two'].map((name) => {
    const racer = spawn(process.execPath, [child, directory, name, `${count}`], { stdio: ['pipe', 'pipe', 'inherit'] });
    const printed: string[] = [];
    racer.stdout.on('data', (text) => printed.push(String(text)));
    return { racer, printed, ready: once(racer.stdout, 'data'), ended: once(racer, 'close') };
  });
  for (const { ready } of racers) await ready;
  for (const { racer } of racers) racer.stdin.end('go');
  for (const { ended } of racers) await ended;
  const created = racers.map(({ printed }) => JSON.parse(printed.join('').slice('ready\n'.length)) as number[]);
  assert.deepEqual(created.flat().sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
  const store = directoryStore(directory);
  for (const [i, name] of ['one', 'two'].entries()) {
    for (const slot of created[i]) {
      assert.equal(String(Buffer.from(await store.get(`slot/${slot}`, { signal }) ?? [])), `${name} ${slot}`);
    }
  }
}));
