/** Cutting the log behind an entry, and giving back the segments before one. */
import assert from 'node:assert/strict';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled, RecordingManager,
  SMALL, type Storage, text, turns, until,
} from '../tools/helpers.js';
import { KeepingManager, range, readEntries, readIds } from '../tools/iterating.js';
import { someCrashChoices, SimulatedDisk, SimulatedFileManager, Random, type CrashPoint } from '../support/index.js';
import { LogVoid, WriteAheadLog } from '../../src/index.js';

async function assertRecovers(storage: Storage, ids: readonly number[]): Promise<void> {
  const manager = new KeepingManager();
  const log = await storage.open({ manager });
  assert.deepEqual(manager.recoveredIds, ids);
  assert.deepEqual(await readIds(log), ids);
  const { id } = await log.append('after reopening');
  assert.ok(id > (ids.at(-1) ?? 0));
  assert.deepEqual(await readIds(log), [...ids, id]);
  await log.shutdown();
}

for (const keep of [0, 1, 2, 12, 13, 29, 30]) {
  forEachFileManager(`none of the entries behind ${keep} of 30 comes back, whichever segment they were in`, async (storage) => {
    const log = await storage.open({ manager: new KeepingManager() });
    for (let i = 1; i <= 30; i++) await log.append(`old ${i} ${'x'.repeat(200)}`);
    await log.truncateAfter(keep);
    assert.deepEqual(await readIds(log), range(1, keep));
    assert.equal(log.durableId, keep);
    await assertRecovers(await storage.crash(), range(1, keep));
    const added: number[] = [];
    for (let i = 0; i < 20; i++) added.push((await log.append(`new ${'y'.repeat(200)}`)).id);
    assert.deepEqual(added, range(added[0], added[0] + 19));
    const expected = [...range(1, keep), ...added];
    assert.deepEqual(await readIds(log), expected);
    await assertRecovers(await storage.crash(), expected);
    await log.shutdown();
    await assertRecovers(storage, expected);
  });
}

forEachFileManager('a batch can be cut in the middle: the rest of it stays, and is there after a crash', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('before');
  await log.appendBatch(['a', 'b', 'c', 'd']);
  await log.truncateAfter(3);
  assert.deepEqual((await readEntries(log)).map(({ chunks: [data] }) => data), ['before', 'a', 'b']);
  await assertRecovers(await storage.crash(), [1, 2, 3]);
  await log.append('e');
  await log.shutdown();
  assert.deepEqual((await storage.contents()).map(({ chunks: [data] }) => data), ['before', 'a', 'b', 'e']);
});

forEachFileManager('a log can be cut again and again, and used in between', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  let expected: number[] = [];
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 9; i++) expected.push((await log.append(`${round} ${'x'.repeat(200)}`)).id);
    expected = expected.slice(0, expected.length - (round % 5));
    if (round % 5 === 0) continue;
    await log.truncateAfter(expected.at(-1) ?? 0);
    assert.deepEqual(await readIds(log), expected);
  }
  await assertRecovers(await storage.crash(), expected);
});

forEachFileManager('the segments that were cut off are used again', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  for (let i = 0; i < 4; i++) await fillSegment(log);
  const names = await storage.liveNames();
  await log.truncateAfter(1);
  await until(() => log.stats().segmentsRecycled >= 1);
  assert.ok((await storage.liveNames()).length < names.length);
});

forEachFileManager('who has a chunk open that is cut off can read it to its end', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('kept');
  await fillSegment(log);
  const { chunks: [{ position }] } = await log.append('cut off');
  const reader = await log.readAt(position);
  await log.truncateAfter(1);
  for (let i = 0; i < 3; i++) await fillSegment(log);
  assert.equal(text(await reader.readAll()), 'cut off');
  await reader.close();
  await assert.rejects(log.readAt(position), { name: 'WalError', code: 'WAL_POSITION_GONE' });
});

inMemory('a cut takes its turn between the appends before it and those behind', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('one');
  const writer = await log.beginEntry();
  await writer.writeChunk('two');
  const before = log.append('three');
  const cut = log.truncateAfter(1);
  const behind = log.append('four');
  const waiting = log.beginEntry();
  assert.equal(await isSettled(cut), false);
  await writer.commit();
  await cut;
  assert.equal((await before).id, 3);
  const { id } = await behind;
  const open = await waiting;
  await open.writeChunk('five');
  await open.commit();
  assert.deepEqual((await readEntries(log)).map(({ chunks: [data] }) => data), ['one', 'four', 'five']);
  assert.deepEqual(await readIds(log), [1, id, id + 1]);
});

inMemory('a cut does not wait for a checkpoint that never ends, and gives it up if its entries are dropped', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const failures: object[] = [];
  log.on('checkpointFailed', (event) => failures.push(event));
  await log.appendBatch(['one', 'two', 'three']);
  await log.checkpointActive();
  await log.append('four');
  await turns();
  await log.truncateAfter(3);
  assert.deepEqual(await readIds(log), [1, 2, 3], 'the segment of the checkpoint stays whole');
  await log.truncateAfter(2);
  assert.deepEqual(await readIds(log), [1, 2]);
  manager.letGo();
  await log.checkpointActive();
  await until(() => manager.checkpoints.some(({ lastId }) => lastId === 2));
  assert.deepEqual(manager.checkpoints.at(-1)?.entries.map(({ id }) => id), [1, 2]);
  assert.deepEqual(failures, []);
});

inMemory('what was checkpointed cannot be cut off', async (storage) => {
  const log = await storage.open();
  await log.appendBatch(['one', 'two']);
  await checkpointAll(log);
  await log.append('three');
  await assert.rejects(log.truncateAfter(1), { name: 'WalError', code: 'WAL_POSITION_GONE' });
  assert.deepEqual(await readIds(log), [3]);
  await log.truncateAfter(2);
  assert.deepEqual(await readIds(log), []);
  const { id } = await log.append('new');
  assert.deepEqual(await readIds(log), [id]);
});

inMemory('entries that get ids of a cut are checkpointed, though those ids had been released', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  for (let i = 0; i < 9; i++) await log.append('old');
  await log.truncateBefore(10);
  await log.truncateAfter(5);
  const { id } = await log.append('new');
  assert.ok(id < 9);
  await checkpointAll(log);
  assert.ok(manager.checkpoints.flatMap(({ entries }) => entries).some((entry) => entry.chunks[0] === 'new'));
});

inMemory('a cut without a next segment to go on in changes nothing, and can be tried again', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two']);
  let isFull = true;
  faulty.before = ({ operation, name }) => {
    if (isFull && operation === 'write' && name.endsWith('-cp')) throw systemError('ENOSPC');
  };
  await assert.rejects(log.truncateAfter(1), { name: 'WalError', code: 'WAL_NO_SPACE' });
  assert.deepEqual(await readIds(log), [1, 2]);
  assert.equal((await log.append('three')).id, 3);
  isFull = false;
  await log.truncateAfter(1);
  assert.deepEqual(await readIds(log), [1]);
});

inMemory('a cut that fails on the disk is not told to have happened', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two']);
  faulty.before = ({ operation, name }) => {
    if (operation === 'sync' && name === 'wal-2') throw systemError('EIO');
  };
  await assert.rejects(log.truncateAfter(1), { name: 'WalError', code: 'WAL_FAILED' });
  await assert.rejects(log.truncateAfter(1), { code: 'WAL_FAILED' });
});

inMemory('a shutdown waits for a cut that has begun, and refuses one in line', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two', 'three']);
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name.endsWith('-cp') ? gate.pass() : undefined);
  const [begun, inLine] = [log.truncateAfter(2), log.truncateAfter(1)];
  const refused = assert.rejects(inLine, { code: 'WAL_CLOSED' });
  await until(() => gate.arrivals > 0);
  const shutdown = log.shutdown();
  await refused;
  assert.equal(await isSettled(shutdown), false);
  gate.open();
  await Promise.all([begun, shutdown]);
  await assertRecovers(base, [1, 2]);
});

/** Does `use` on a simulated disk and passes every moment at which it could crash to `check`. */
async function atEveryMoment(
  use: (log: WriteAheadLog) => Promise<void>, check: (point: CrashPoint, isDone: boolean) => Promise<void>,
): Promise<void> {
  const disk = new SimulatedDisk({});
  const points: CrashPoint[] = [];
  let isUsing = false;
  const fileManager = new SimulatedFileManager(disk, { onStep: () => isUsing && points.push(disk.crashPoint()) });
  const log = await WriteAheadLog.recover('/wal', new KeepingManager(), { ...SMALL, fileManager });
  for (let i = 1; i <= 12; i++) await log.append(`${i} ${'x'.repeat(300)}`);
  isUsing = true;
  await use(log);
  const done = disk.crashPoint();
  isUsing = false;
  for (const point of points) await check(point, false);
  await check(done, true);
  fileManager.kill();
}

inMemory('a crash during a cut leaves all of the dropped entries or none', async () => {
  const random = new Random(1);
  const outcomes = new Set<number>();
  await atEveryMoment((log) => log.truncateAfter(4), async (point, isDone) => {
    for (const fates of someCrashChoices(point, random, 20)) {
      const fileManager = new SimulatedFileManager(point.powerLoss(fates, random.next()));
      const manager = new KeepingManager();
      const log = await WriteAheadLog.recover('/wal', manager, { ...SMALL, fileManager });
      const { length } = manager.recovered;
      outcomes.add(length);
      assert.deepEqual(manager.recoveredIds, range(1, length));
      assert.ok(length === 4 || (length === 12 && !isDone), `${length} entries`);
      assert.ok((await log.append('new')).id > length);
      await log.shutdown();
    }
  });
  assert.deepEqual(outcomes, new Set([12, 4]));
});

forEachFileManager('truncateBefore gives back whole segments, which are neither checkpointed nor recovered', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const lengths: number[] = [];
  for (let i = 0; i < 4; i++) lengths.push((await fillSegment(log)).length);
  const boundary = lengths[0] + lengths[1];
  await log.truncateBefore(boundary + 2);
  const ids = await readIds(log);
  assert.ok(ids[0] > 1 && ids[0] <= boundary + 2, `the first is ${ids[0]}`);
  assert.deepEqual(ids, range(ids[0], log.durableId));
  const recovered = (await (await storage.crash()).contents()).map(({ id }) => id);
  assert.deepEqual(recovered, ids);
  manager.letGo();
  await checkpointAll(log);
  assert.equal(manager.checkpoints.at(-1)?.lastId, log.durableId);
});

inMemory('truncateBefore gives up a checkpoint that is running, and is not told of as a failure', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const events: string[] = [];
  log.on('checkpointFailed', () => events.push('failed'));
  log.on('checkpoint', ({ lastId }) => events.push(`checkpoint ${lastId}`));
  await log.append('one');
  await log.checkpointActive();
  await turns();
  await log.truncateBefore(2);
  await turns();
  assert.deepEqual(events, ['checkpoint 1']);
  assert.equal(log.stats().segmentsToCheckpoint, 0);
  manager.letGo();
});

inMemory('truncateBefore leaves what is in the active segment, and resolves', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two']);
  await log.truncateBefore(3);
  await log.truncateBefore(0);
  assert.deepEqual(await readIds(log), [1, 2]);
});

inMemory('truncateBefore waits until a segment could be given back', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await log.append('one');
  await log.checkpointActive();
  const gate = new Gate();
  faulty.before = ({ operation, to }) => (operation === 'rename' && to === 'wal-1-cp' ? gate.pass() : undefined);
  const released = log.truncateBefore(2);
  assert.equal(await isSettled(released), false);
  gate.open();
  await released;
  manager.letGo();
});

inMemory('ids that make no sense are refused by both', async (storage) => {
  const log = await storage.open({ manager: LogVoid });
  await log.append('one');
  for (const truncate of [(id: number) => log.truncateAfter(id), (id: number) => log.truncateBefore(id)]) {
    await assert.rejects(truncate('1' as unknown as number), TypeError);
    await assert.rejects(truncate(0.5), RangeError);
    await assert.rejects(truncate(-1), RangeError);
    await assert.rejects(truncate(NaN), RangeError);
    await assert.rejects(truncate(3), { name: 'WalError', code: 'WAL_OUT_OF_RANGE' });
  }
  await assert.rejects(log.truncateAfter(2), { code: 'WAL_OUT_OF_RANGE' });
  await log.truncateBefore(2);
  await log.shutdown();
  await assert.rejects(log.truncateAfter(1), { code: 'WAL_CLOSED' });
  await assert.rejects(log.truncateBefore(1), { code: 'WAL_CLOSED' });
});

forEachFileManager('a cut behind segments that the opening has just abandoned does not need what is in them', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  for (let i = 0; i < 3; i++) await fillSegment(log);
  const { lastId } = log.stats().segments[1];
  const crashed = await storage.crash();
  const second = new RecordingManager();
  second.onSegment = () => 'abandon';
  const again = await crashed.open({ manager: second });
  // All of them are as gone as if they were checkpointed.
  await assert.rejects(again.truncateAfter(lastId), { code: 'WAL_POSITION_GONE' });
  const end = again.stats().nextId - 1;
  await again.truncateAfter(end);
  const { id } = await again.append('new');
  assert.ok(id > end);
  assert.deepEqual(await readIds(again), [id]);
  manager.letGo();
});
