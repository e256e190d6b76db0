/** Snapshot files on a simulated disk: crashes and errors at every call, under a store with its log, and alone. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { WriteAheadLog, type FileManager, type LogManager } from '../../src/index.js';
import { SnapshotFile } from '../../src/snapshot/index.js';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint } from '../support/crash-point.js';
import { crashTest, type CrashTestSubject } from '../support/crash-test.js';
import { Random } from '../support/random.js';
import { Scheduler } from '../support/scheduler.js';
import { settingsFor } from '../support/settings.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { applies, faultAtCall, SimulatedFileManager, type Call, type Fault } from '../support/simulated-file-manager.js';

const OPTIONS = { preallocateBytes: 4096, checkpointAfterBytes: 600, bufferBytes: 4096, maxPendingBytes: 8192 };
const LIMITS = { changes: 12, seeds: [0, 3], choicesPerMoment: 6 };

interface Store {
  readonly log: WriteAheadLog;
  /** How many changes it holds: one for each entry. */
  count: number;
}

let snapshots = 0;

/** A store that counts its entries, with a snapshot of several blocks at every checkpoint. */
async function openStore(fileManager: FileManager, directory: string, snapshotDirectory: string): Promise<Store> {
  const file = new SnapshotFile(path.posix.join(snapshotDirectory, 'snapshot'), { fileManager });
  let stored: { lastId: number; count: number } | undefined;
  const store = { count: 0 };
  const load = async (): Promise<{ lastId: number; count: number }> => {
    if (stored !== undefined) return stored;
    const snapshot = await file.load();
    stored = { lastId: snapshot?.lastId ?? 0, count: Number(await snapshot?.text() ?? '0') };
    store.count += stored.count;
    return stored;
  };
  const manager: LogManager = {
    async recover({ id }) {
      if (id > (await load()).lastId) store.count++;
    },
    async checkpointTo(lastId, entries) {
      const before = await load();
      if (lastId <= before.lastId) return;
      let { count } = before;
      for await (const { id } of entries) if (id > before.lastId) count++;
      snapshots++;
      await file.save(lastId, [`${count}`, ' '.repeat(3000), ' '.repeat(3000)]);
      stored = { lastId, count };
    },
  };
  const log = await WriteAheadLog.recover(directory, manager, { ...OPTIONS, fileManager });
  // Before the next call of the log, which may be a checkpoint.
  if (stored === undefined) await load();
  return Object.assign(store, { log });
}

function storeWith(snapshotDirectory: string): CrashTestSubject<Store> {
  return {
    open: (fileManager, directory) => openStore(fileManager, directory, snapshotDirectory),
    async change(store, number) {
      await store.log.append(`${number}`.padEnd(150, '.'));
      store.count++;
    },
    count: (store) => store.count,
  };
}

describe('a store loses or makes up a change when it crashes', () => {
  for (const [layout, directory] of [['in the directory of its log', '/store'], ['elsewhere', '/elsewhere']]) {
    test(`with its snapshot ${layout}`, async (context) => {
      snapshots = 0;
      const { moments, states } = await crashTest(storeWith(directory), LIMITS);
      assert.ok(snapshots > 20, `only ${snapshots} snapshots were written`);
      assert.ok(states > 500, `only ${states} states`);
      context.diagnostic(`${states} states from ${moments} moments, ${snapshots} snapshots`);
    });
  }
});

interface Moment {
  readonly what: string;
  readonly point: CrashPoint;
  /** The last snapshot that was saved, and the last that was begun. */
  readonly saved: number;
  readonly begun: number;
}

const SNAPSHOTS = 3;

function contentOf(lastId: number): string {
  return `${lastId}`.repeat(5000);
}

/** Saves one snapshot after the other, each again until it is saved; ends with what the file manager was asked. */
async function saveAll(seed: number, faultAt: (call: Call) => Fault | undefined): Promise<{ moments: Moment[]; calls: Call[] }> {
  const moments: Moment[] = [];
  const calls: Call[] = [];
  const disk = new SimulatedDisk(settingsFor(seed).traits);
  const scheduler = new Scheduler(new Random(seed));
  let [saved, begun] = [0, 0];
  const remember = (what: string): void => void moments.push({ what, point: disk.crashPoint(), saved, begun });
  const files = new SimulatedFileManager(disk, {
    scheduler, faultAt,
    onStep: (call) => {
      if (calls.at(-1)?.index !== call.index) calls.push(call);
      remember(`${call.kind} ${call.path}`);
    },
  });
  const file = new SnapshotFile('/store/snapshot', { fileManager: files });
  while (begun < SNAPSHOTS) {
    begun++;
    for (let attempt = 1; saved < begun; attempt++) {
      const saving = file.save(begun, contentOf(begun)).then(() => true, () => false);
      const isSaved = await scheduler.settled(saving, 'save');
      if (isSaved) saved = begun;
      else assert.equal(attempt, 1, 'it failed again');
      remember(`snapshot ${begun}, attempt ${attempt}, had ended`);
    }
  }
  const found = await scheduler.settled(load(file).catch(() => load(file)), 'load');
  assert.equal(found, SNAPSHOTS);
  assert.deepEqual(files.breaches, []);
  assert.deepEqual([...files.openFiles], []);
  return { moments, calls };
}

/** The last entry of the snapshot that is there, whose content is whole. */
async function load(file: SnapshotFile): Promise<number> {
  const snapshot = await file.load();
  if (snapshot === undefined) return 0;
  assert.equal(await snapshot.text(), contentOf(snapshot.lastId));
  return snapshot.lastId;
}

/** Loads what a crash at `moment` may leave; and again, after another loss of power. */
async function crashAt(moment: Moment, random: Random): Promise<number> {
  const choices = someCrashChoices(moment.point, random, 4);
  const disks = choices.map((fates) => moment.point.powerLoss(fates, random.next()));
  for (const disk of [...disks, moment.point.processDeath(() => random.oneIn(2))]) {
    const first = new SimulatedFileManager(disk);
    const found = await first.scheduler.settled(load(new SnapshotFile('/store/snapshot', { fileManager: first })), 'load');
    const { saved, begun, what } = moment;
    assert.ok(saved <= found && found <= begun, `${what}: ${found} is there, ${saved} was saved and ${begun} begun`);
    const lost = disk.crashPoint().fragments.map(() => 'lost' as const);
    const second = new SimulatedFileManager(disk.crashPoint().powerLoss(lost, random.next()));
    const again = await second.scheduler.settled(load(new SnapshotFile('/store/snapshot', { fileManager: second })), 'load');
    assert.equal(again, found, `${what}: what was loaded is gone after a loss of power`);
  }
  return disks.length;
}

test('a snapshot that was saved, or loaded, is gone after a crash, whatever fails at any call before', async (context) => {
  let [runs, states] = [0, 0];
  for (const seed of [0, 1, 2, 3]) {
    const random = new Random(seed);
    const { moments, calls } = await saveAll(seed, () => undefined);
    for (const moment of moments) states += await crashAt(moment, random);
    for (const fault of ['EIO', 'ENOSPC', 'short'] as const) {
      for (const { index } of calls.filter(({ kind }) => applies(fault, kind))) {
        const run = await saveAll(seed, faultAtCall(index, fault));
        runs++;
        for (const moment of run.moments) if (random.oneIn(10)) states += await crashAt(moment, random);
      }
    }
  }
  assert.ok(runs > 100 && states > 2000, `only ${runs} runs, ${states} states`);
  context.diagnostic(`${states} states from ${runs} runs with an error`);
});

test('a snapshot that was copied by hand, and not synced, is gone after it was loaded', async () => {
  const disk = new SimulatedDisk(settingsFor(0).traits);
  const files = new SimulatedFileManager(disk);
  const run = <T>(promise: Promise<T>): Promise<T> => files.scheduler.settled(promise, 'a call');
  const file = new SnapshotFile('/store/snapshot', { fileManager: files });
  await run(file.save(1, contentOf(1)));
  const original = await run(files.open('/store/snapshot', { access: 'read' }));
  const bytes = Buffer.alloc(await run(original.size()));
  await run(original.read(bytes, 0));
  await run(files.createDirectory('/copy'));
  const copy = await run(files.open('/copy/snapshot', { access: 'create' }));
  await run(copy.write([bytes], 0));
  assert.equal(await run(load(new SnapshotFile('/copy/snapshot', { fileManager: files }))), 1);
  const { fragments } = disk.crashPoint();
  const after = new SimulatedFileManager(disk.crashPoint().powerLoss(fragments.map(() => 'lost'), 1));
  assert.equal(await after.scheduler.settled(load(new SnapshotFile('/copy/snapshot', { fileManager: after })), 'load'), 1);
});
