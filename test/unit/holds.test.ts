/** Holds: checkpointed entries that stay readable for somebody. */
import assert from 'node:assert/strict';
import { WriteAheadLog, type FileManager, type HoldOptions } from '../../src/index.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, fillSegment, forEachFileManager, inMemory, RecordingManager, SMALL, type Storage, text,
  until,
} from '../tools/helpers.js';
import { KeepingManager, readEntries, readIds } from '../tools/iterating.js';
import { SimulatedDisk, SimulatedFileManager } from '../support/index.js';

/** A log with a hold on its first entry and several checkpointed segments. */
async function openHeld(storage: Storage, options: HoldOptions = { from: 1 }) {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  const hold = await log.hold('replica', options);
  const ids: number[] = [];
  for (let i = 0; i < 4; i++) ids.push(...await fillSegment(log));
  await checkpointAll(log);
  return { manager, log, hold, ids };
}

forEachFileManager('entries that are held stay readable after their checkpoint, and go when the hold moves on', async (storage) => {
  const { manager, log, hold, ids } = await openHeld(storage);
  assert.deepEqual(manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id)), ids);
  assert.deepEqual(await readIds(log, { from: 1 }), ids);
  const middle = ids[ids.length >> 1];
  await hold.advance(middle);
  assert.equal(hold.from, middle);
  await log.truncateBefore(middle);
  await assert.rejects(readIds(log, { from: 1 }), { code: 'WAL_POSITION_GONE' });
  assert.deepEqual(await readIds(log, { from: middle }), ids.filter((id) => id >= middle));
  await hold.release();
  await hold.release();
  await until(() => log.stats().segmentsRecycled > 0);
  await log.truncateBefore(log.durableId);
  await assert.rejects(readIds(log, { from: middle }), { code: 'WAL_POSITION_GONE' });
  assert.throws(() => hold.from, TypeError);
});

forEachFileManager('a chunk in a held segment can be read at its position after the checkpoint', async (storage) => {
  const log = await storage.open();
  await log.hold('reader');
  const { chunks: [{ position }] } = await log.append('cold');
  await checkpointAll(log);
  const reader = await log.readAt(position);
  assert.equal(text(await reader.readAll()), 'cold');
  await reader.close();
});

forEachFileManager('a hold survives reopening, and what was checkpointed is not handed over again', async (storage) => {
  const { log, ids } = await openHeld(storage, { from: 1, maxBytes: 123_456 });
  const { id: last } = await log.append('not checkpointed');
  const crashed = await storage.crash();
  for (const place of [crashed, storage]) {
    if (place === storage) await log.shutdown();
    const manager = new RecordingManager();
    const again = await place.open({ manager });
    assert.deepEqual(manager.recoveredIds, [last]);
    const hold = await again.hold('replica');
    assert.equal(hold.from, 1);
    assert.deepEqual(await readIds(again), [...ids, last]);
    const { id } = await again.append('new');
    await checkpointAll(again);
    const handedOver = manager.checkpoints.flatMap(({ entries }) => entries.map((entry) => entry.id));
    assert.deepEqual(handedOver, [last, id], 'nothing is checkpointed twice');
    await hold.release();
    await until(() => again.stats().segmentsRecycled > 0);
  }
});

forEachFileManager('an id that was rolled back before a checkpoint has it handed over once, and stops no iteration', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await log.hold('replica', { from: 1 });
  await log.append('one');
  const writer = await log.beginEntry();
  await writer.rollback();
  await checkpointAll(log);
  const { id } = await log.append('three');
  await log.shutdown();
  const second = new RecordingManager();
  const again = await storage.open({ manager: second });
  assert.deepEqual(second.recoveredIds, [id]);
  assert.deepEqual(await readIds(again), [1, id]);
  assert.deepEqual(await readIds(again, { from: 2 }), [id]);
  assert.equal((await again.hold('replica')).from, 1);
});

forEachFileManager('a cut behind a held segment does not have that handed over again', async (storage) => {
  const log = await storage.open();
  await log.hold('replica', { from: 1 });
  await log.appendBatch(['one', 'two']);
  await checkpointAll(log);
  await log.appendBatch(['to be cut', 'to be cut']);
  await log.truncateAfter(2);
  const { id } = await log.append('new');
  await log.shutdown();
  const manager = new RecordingManager();
  const again = await storage.open({ manager });
  assert.deepEqual(manager.recoveredIds, [id]);
  assert.deepEqual(await readIds(again), [1, 2, id]);
});

forEachFileManager('a hold on ids that were cut off and skipped can be had again after reopening', async (storage) => {
  const log = await storage.open();
  await log.appendBatch(['one', 'two', 'three', 'four']);
  await log.hold('replica', { from: 2 });
  await checkpointAll(log);
  await log.appendBatch(['five', 'six', 'seven']);
  await (await log.hold('replica')).advance(5);
  await log.truncateAfter(4);
  await log.shutdown();
  const again = await storage.open();
  const { from } = await again.hold('replica');
  const { id } = await again.append('new');
  assert.deepEqual(await readIds(again, { from }), [id]);
});

forEachFileManager('the lowest of several holds counts', async (storage) => {
  const { log, hold, ids } = await openHeld(storage);
  const other = await log.hold('other', { from: 3 });
  await hold.release();
  assert.equal((await readIds(log, { from: 3 })).length, ids.length - 2);
  await other.advance(log.durableId + 1);
  await log.truncateBefore(log.durableId);
  await until(() => log.stats().segmentsRecycled > 0);
  assert.deepEqual(await readIds(log), []);
});

forEachFileManager('a hold that keeps more than it may is broken, says so, and stays so when the log is opened again', async (storage) => {
  const log = await storage.open();
  const hold = await log.hold('slow', { from: 1, maxBytes: 3 * 4096 });
  const fast = await log.hold('fast', { from: 1 });
  const broken: object[] = [];
  log.on('holdBroken', (event) => broken.push(event));
  for (let i = 0; i < 3; i++) await fillSegment(log);
  await fast.advance(log.durableId + 1);
  await checkpointAll(log);
  for (let i = 0; i < 3 && broken.length === 0; i++) {
    await fillSegment(log);
    await checkpointAll(log);
  }
  await until(() => broken.length === 1);
  assert.deepEqual(broken, [{ name: 'slow', from: 1, retainedBytes: 4 * 4096 }]);
  assert.equal(hold.isBroken, true);
  assert.equal(fast.isBroken, false);
  await assert.rejects(hold.advance(2), { name: 'WalError', code: 'WAL_HOLD_BROKEN' });
  await assert.rejects(log.hold('slow'), { name: 'WalError', code: 'WAL_HOLD_BROKEN' });
  await until(() => log.stats().segmentsRecycled > 0);
  await log.shutdown();
  const again = await storage.open();
  await assert.rejects(again.hold('slow'), { code: 'WAL_HOLD_BROKEN' });
  const anew = await again.hold('slow', { from: again.durableId + 1 });
  assert.equal(anew.isBroken, false);
  await again.append('held');
  await checkpointAll(again);
  assert.deepEqual((await readEntries(again, { from: anew.from })).map(({ chunks }) => chunks), [['held']]);
});

inMemory('a hold is in force before the checkpoint that comes behind it', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await log.append('one');
  manager.onCheckpoint = async () => void await log.hold('late', { from: 1 });
  await checkpointAll(log);
  assert.deepEqual(await readIds(log, { from: 1 }), [1]);
});

inMemory('a hold that could not be stored holds nothing, and one that could not be moved stays', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  let fails = true;
  faulty.before = ({ operation, name }) => {
    if (fails && operation === 'write' && name.includes('holds')) throw systemError('ENOSPC');
  };
  await assert.rejects(log.hold('replica'), { name: 'WalError', code: 'WAL_NO_SPACE' });
  fails = false;
  const hold = await log.hold('replica', { from: 1 });
  await log.appendBatch(['one', 'two']);
  fails = true;
  await assert.rejects(hold.advance(2), { code: 'WAL_NO_SPACE' });
  assert.equal(hold.from, 1);
  await assert.rejects(hold.release(), { code: 'WAL_NO_SPACE' });
  assert.equal(hold.from, 1);
  fails = false;
  await hold.advance(2);
  assert.equal((await log.hold('replica')).from, 2);
});

inMemory('a hold on what is gone or still to come, or that moves back, is refused', async (storage) => {
  const log = await storage.open();
  const gone = await fillSegment(log);
  await checkpointAll(log);
  await log.append('there');
  const { nextId } = log.stats();
  await assert.rejects(log.hold('a', { from: gone[0] }), { code: 'WAL_POSITION_GONE' });
  await assert.rejects(log.hold('a', { from: nextId + 1 }), { code: 'WAL_OUT_OF_RANGE' });
  const hold = await log.hold('a', { from: nextId });
  await assert.rejects(log.hold('a', { from: nextId - 1 }), RangeError);
  await assert.rejects(hold.advance(nextId - 1), RangeError);
  await hold.advance(nextId);
  await assert.rejects(hold.advance(nextId + 1), { code: 'WAL_OUT_OF_RANGE' });
});

inMemory('arguments that make no sense are refused, and leave no hold behind', async (storage) => {
  const log = await storage.open();
  await assert.rejects(log.hold(1 as unknown as string), TypeError);
  await assert.rejects(log.hold(''), RangeError);
  await assert.rejects(log.hold('x'.repeat(256)), RangeError);
  await assert.rejects(log.hold('a', { from: '1' as unknown as number }), TypeError);
  await assert.rejects(log.hold('a', { from: 0.5 }), RangeError);
  await assert.rejects(log.hold('a', { maxBytes: 0 }), RangeError);
  await assert.rejects(log.hold('a', { maxBytes: 1.5 }), RangeError);
  await assert.rejects(log.hold('a', { maxBytes: '1' as unknown as number }), RangeError);
  const hold = await log.hold('🔑 "a"\n\0', { from: 1 });
  await assert.rejects(hold.advance(NaN), RangeError);
  await assert.rejects(hold.advance('2' as unknown as number), TypeError);
  await log.shutdown();
  await assert.rejects(log.hold('b'), { code: 'WAL_CLOSED' });
  const again = await storage.open();
  assert.equal((await again.hold('🔑 "a"\n\0')).from, 1);
});

forEachFileManager('truncateBefore leaves what is held, and says who holds it', async (storage) => {
  const { log, hold, ids } = await openHeld(storage);
  await assert.rejects(log.truncateBefore(2), { name: 'WalError', code: 'WAL_HELD', message: /replica/ });
  assert.deepEqual(await readIds(log), ids);
  await hold.advance(ids.at(-1) ?? 0);
  await log.truncateBefore(hold.from);
  await assert.rejects(log.truncateBefore(hold.from + 1), { code: 'WAL_HELD' });
});

forEachFileManager('truncateAfter does not take away what a hold has moved past', async (storage) => {
  const log = await storage.open();
  await log.appendBatch(['one', 'two', 'three']);
  const hold = await log.hold('replica', { from: 3 });
  await assert.rejects(log.truncateAfter(1), { name: 'WalError', code: 'WAL_HELD', message: /replica/ });
  assert.deepEqual(await readIds(log), [1, 2, 3]);
  await log.truncateAfter(2);
  assert.equal(hold.from, 3);
  await log.hold('new', { from: log.stats().nextId });
});

inMemory('a hold that may keep less from now on is broken at once, if it keeps more', async (storage) => {
  const { log, hold } = await openHeld(storage);
  const broken: string[] = [];
  log.on('holdBroken', ({ name }) => broken.push(name));
  await log.hold('replica', { maxBytes: 3 * 4096 });
  await until(() => broken.length > 0);
  assert.deepEqual([broken, hold.isBroken], [['replica'], true]);
  await until(() => log.stats().segments.every(({ state }) => state !== 'held'));
});

inMemory('a hold that waited for what a power loss has taken wants what comes in its place, and keeps no cut from it', async () => {
  const disk = new SimulatedDisk();
  const open = (fileManager: FileManager) => WriteAheadLog.recover('/wal', new KeepingManager(), { ...SMALL, fileManager, sync: 'manual' });
  const fileManager = new SimulatedFileManager(disk);
  const log = await open(fileManager);
  await log.appendBatch(['one', 'two']);
  await log.sync();
  await log.appendBatch(['three', 'four']);
  await log.hold('replica', { from: 5 });
  const point = disk.crashPoint();
  fileManager.kill();
  const after = point.powerLoss(point.fragments.map(() => 'lost'));
  const again = await open(new SimulatedFileManager(after));
  assert.equal(again.durableId, 2);
  const hold = await again.hold('replica');
  assert.equal(hold.from, 3);
  await again.appendBatch(['new', 'new']);
  await again.sync();
  await again.truncateAfter(2);
  await hold.advance(again.stats().nextId);
  await again.shutdown();
});

inMemory('a hold is said to be durable by a directory sync that came after one that failed', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('kept');
  const failing = new Gate();
  faulty.before = async ({ operation }) => {
    if (operation !== 'syncDirectory') return;
    // The system reports the error once: a second sync would succeed without the names being on the disk.
    faulty.before = () => undefined;
    await failing.pass();
    throw systemError('EIO');
  };
  const rotated = assert.rejects(log.checkpointActive(), { code: 'WAL_FAILED' });
  await until(() => failing.arrivals === 1);
  const syncs = faulty.of('syncDirectory').length;
  const hold = assert.rejects(log.hold('replica', { from: 1 }), { code: 'WAL_FAILED' });
  await until(() => faulty.of('rename').some(({ to }) => to === 'wal-holds'));
  failing.open();
  await hold;
  await rotated;
  assert.equal(faulty.of('syncDirectory').length, syncs);
});
