/** Row 41: a log that loses its lock, and what becomes of the log of the owner that comes after it. */
import assert from 'node:assert/strict';
import type { WriteAheadLog } from '../../src/index.js';
import { Gate, type FaultyFileManager, type FileCall } from '../tools/faulty-file-manager.js';
import {
  checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, quiet, RecordingManager, Storage, turns, until,
} from '../tools/helpers.js';

forEachFileManager('row 41: a log whose lock was lost unnoticed writes, syncs or renames once more', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  await fillSegment(log);
  await checkpointed(log);
  await quiet(faulty);
  const failed = new Promise((resolve) => log.once('failed', resolve));
  faulty.isHeld = false;
  const calls = faulty.calls.length;
  // The flush is what notices it: everything else finds a log that has failed.
  await assert.rejects(log.append('late', { durable: true }), { code: 'WAL_FAILED' });
  await Promise.all([
    assert.rejects(log.sync(), { code: 'WAL_FAILED' }),
    assert.rejects(log.hold('late'), { code: 'WAL_FAILED' }),
    assert.rejects(log.checkpointActive(), { code: 'WAL_FAILED' }),
  ]);
  await failed;
  await log.shutdown();
  const changes = faulty.calls.slice(calls).filter(({ operation }) =>
    ['write', 'sync', 'truncate', 'rename', 'remove', 'syncDirectory'].includes(operation));
  assert.deepEqual(changes, []);
});

inMemory('row 41: an entry is acknowledged although another owner may have come while it was written', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('before');
  const writing = new Gate();
  faulty.before = async ({ operation }) => {
    if (operation === 'write') await writing.pass();
  };
  const late = assert.rejects(log.append('late'), { code: 'WAL_FAILED' });
  await until(() => writing.arrivals === 1);
  faulty.isHeld = false;
  writing.open();
  await late;
  assert.equal(log.durableId, 1);
});

/** What both owners do: enough to fill, checkpoint and recycle segments. */
async function work(log: WriteAheadLog, acknowledged: Set<number>): Promise<void> {
  for (let i = 0; i < 3; i++) {
    for (const id of await fillSegment(log)) acknowledged.add(id);
    await log.checkpointActive();
    await turns();
  }
  acknowledged.add((await log.append('the last')).id);
}

/** Runs a log until its call number `stopAt` that changes bytes, which then waits at the gate. */
async function stoppedOwner(base: Storage, stopAt: number): Promise<{ faulty: FaultyFileManager; gate: Gate }> {
  const { storage, faulty } = base.withFaults();
  const gate = new Gate();
  let changes = 0;
  faulty.before = async ({ operation }: FileCall) => {
    if (!['write', 'truncate', 'sync'].includes(operation) || changes++ !== stopAt) return;
    faulty.isHeld = false;
    await gate.pass();
  };
  const manager = new RecordingManager();
  const opening = storage.open({ manager }).then((log) => work(log, new Set())).catch(() => undefined);
  let hasEnded = false;
  void opening.then(() => {
    hasEnded = true;
  });
  await until(() => gate.arrivals > 0 || hasEnded);
  return { faulty, gate };
}

/** Takes over from an owner that stopped before it changed bytes for the time `stopAt`, and lets that change come late. */
async function takeOver(place: Storage, stopAt: number, isVeryLate: boolean): Promise<boolean> {
  const { gate } = await stoppedOwner(place, stopAt);
  if (gate.arrivals === 0) return false;
  const { storage, faulty } = place.withFaults();
  faulty.takesOver = true;
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const acknowledged = new Set(manager.recoveredIds);
  for (const id of await fillSegment(log)) acknowledged.add(id);
  if (isVeryLate) {
    manager.letGo();
    await work(log, acknowledged);
    await until(() => log.stats().segmentsToCheckpoint === 0);
  }
  gate.open();
  await turns();
  acknowledged.add((await log.append('after the late write')).id);
  const checkpointed = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
  const crashed = await storage.crash();
  const found = new Set([...checkpointed, ...(await crashed.contents()).map(({ id }) => id)]);
  assert.deepEqual([...acknowledged].filter((id) => !found.has(id)), [], `stopped at change ${stopAt}`);
  if (isVeryLate) assert.equal(faulty.forgotten > 0, true, 'once its files are gone the previous owner is forgotten');
  manager.letGo();
  return true;
}

for (const when of ['late', 'very late']) {
  inMemory(`row 41: a write of the owner before that comes ${when} changes an entry of the one that took over`, async (base) => {
    let stopAt = 0;
    while (await takeOver(new Storage(base.fileManager, `/takeover-${stopAt}`), stopAt, when === 'very late')) stopAt++;
    assert.ok(stopAt > 20, `${stopAt} stops`);
  });
}

inMemory('row 41: the owner before is forgotten while a file that it may write to is still part of the log', async (base) => {
  const stopped = base.withFaults();
  const stoppedManager = new HoardingManager();
  await fillSegment(await stopped.storage.open({ manager: stoppedManager }));
  stopped.faulty.isHeld = false;
  const { storage, faulty } = base.withFaults();
  faulty.takesOver = true;
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await log.append('in a new segment');
  assert.ok(log.stats().segments.length >= 2);
  assert.equal(faulty.forgotten, 0);
  manager.letGo();
  await until(() => faulty.forgotten === 1);
  assert.equal(log.stats().segmentsRecycled, 0, 'files of the previous owner are not used again');
  stoppedManager.letGo();
});
