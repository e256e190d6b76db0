/** What cuts, holds, checkpoints and rollbacks could do to each other when they meet, or when the storage fails in between. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, fillSegment, forEachFileManager, HoardingManager, inMemory, isCheckpointed, isSettled,
  ready, RecordingManager, TestEnvironment, turns, until,
  type Storage,
} from '../tools/helpers.js';
import { KeepingManager, nextEntry, range, readIds, seen, takeIds } from '../tools/iterating.js';

inMemory('a hold is promised entries whose segment is already on its way out', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  faulty.before = ({ operation, to }) => (operation === 'rename' && to?.endsWith('1-cp') ? gate.pass() : undefined);
  const ids = await fillSegment(log);
  await until(() => gate.arrivals > 0);
  await assert.rejects(log.hold('late', { from: 1 }), { code: 'WAL_POSITION_GONE' });
  const hold = await log.hold('late');
  gate.open();
  const { id } = await log.append('held');
  await checkpointAll(log);
  assert.ok(hold.from > 1 && hold.from <= id);
  assert.deepEqual(await readIds(log, { from: hold.from }), range(hold.from, id).filter((each) => ids.includes(each) || each === id));
});

forEachFileManager('a cut takes damage for the end of a segment, and drops entries that were to stay', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const places = [];
  for (let i = 0; i < 5; i++) places.push((await log.append('x'.repeat(100))).chunks[0].position);
  await storage.damage('wal-1', places[2].offset + 50);
  await assert.rejects(log.truncateAfter(4), { code: 'WAL_CORRUPT' });
  await storage.damage('wal-1', places[2].offset + 50);
  assert.deepEqual(await readIds(log), [1, 2, 3, 4, 5]);
  await log.truncateAfter(4);
  assert.deepEqual(await readIds(log), [1, 2, 3, 4]);
});

inMemory('a segment that was cut off but kept its name makes the log look damaged later', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new RecordingManager();
  manager.onCheckpoint = () => { throw new Error('not now'); };
  const environment = new TestEnvironment();
  const log = await storage.open({ manager, environment });
  for (let i = 0; i < 4; i++) await fillSegment(log);
  const dropped = (await storage.liveNames()).slice(1, 3);
  faulty.before = ({ operation, name }) => {
    if (operation === 'rename' && dropped.includes(name)) throw systemError('EIO');
  };
  await log.truncateAfter(1);
  faulty.before = () => undefined;
  manager.onCheckpoint = () => undefined;
  const kept = [];
  for (let i = 0; i < 2; i++) kept.push(...await fillSegment(log));
  await until(() => (environment.fire(), isCheckpointed(log)));
  const crashed = await storage.crash();
  const again = new RecordingManager();
  await crashed.open({ manager: again });
  const checkpointed = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
  assert.deepEqual([...checkpointed, ...again.recoveredIds], [1, ...kept]);
});

inMemory('a cut that fails leaves a next segment that cannot be written', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  const gate = new Gate();
  faulty.before = ({ operation, to }) => (operation === 'rename' && /^wal-\d+$/.test(to ?? '') ? gate.pass() : undefined);
  while (gate.arrivals === 0) {
    await log.append('x'.repeat(300));
    await turns();
  }
  const cut = log.truncateAfter(1);
  await turns();
  faulty.before = ({ operation, to }) => {
    if (operation === 'rename' && to?.endsWith('-cp')) throw systemError('EIO');
  };
  gate.open();
  await assert.rejects(cut, { code: 'WAL_IO' });
  faulty.before = () => undefined;
  await fillSegment(log);
  assert.deepEqual(await readIds(log), range(1, log.durableId));
});

forEachFileManager('a rollback takes away the length of the chunk that was committed before it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { preallocateBytes: 65536, checkpointAfterBytes: 32768 } });
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'write' && name === 'wal-1' ? gate.pass() : undefined);
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk();
  // With its header on the way to the disk, its length can only be written behind it.
  await chunk.write('x'.repeat(8192));
  await until(() => gate.arrivals > 0);
  await chunk.finish();
  const committed = writer.commit();
  const next = await log.beginEntry();
  await next.rollback();
  gate.open();
  await committed;
  assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), [1]);
});

forEachFileManager('damage before an entry that was partly flushed and rolled back takes acknowledged entries with it in silence', async (storage) => {
  const log = await storage.open({ options: { preallocateBytes: 65536, checkpointAfterBytes: 32768 } });
  const acknowledged = log.append('acknowledged');
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk();
  await chunk.write('x'.repeat(8192));
  // What was committed before it is flushed together with its first bytes.
  await acknowledged;
  await writer.rollback();
  await log.append('after the rollback');
  const { chunks: [{ position }] } = await acknowledged;
  const crashed = await storage.crash();
  await crashed.damage('wal-1', position.offset + 6);
  await assert.rejects(crashed.open(), { code: 'WAL_CORRUPT' });
});

inMemory('a follower passes over entries at the end of a closed segment that are not durable yet', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && /^wal-\d+$/.test(name) ? gate.pass() : undefined);
  const changed = once(log, 'segment');
  let hasChanged = false;
  void changed.then(() => (hasChanged = true));
  // The first that goes into the next segment waits until this one is synced.
  while (!hasChanged) await Promise.race([changed, log.append('x'.repeat(300))]);
  const last = log.stats().nextId - 1;
  const iterator = log.entries({ from: 1, follow: true });
  const first = nextEntry(iterator);
  assert.equal(await isSettled(first), false);
  gate.open();
  await log.sync();
  assert.deepEqual([(await first)?.id, ...await takeIds(iterator, last - 1)], range(1, last));
  await iterator.return?.();
});

forEachFileManager('a truncation drops what was committed before its place and is not durable yet', async (base) => {
  const { storage } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  for (const data of ['one', 'two', 'three', 'four']) await log.append(data);
  assert.equal(log.durableId, 0);
  await log.truncateAfter(2);
  assert.equal(log.durableId, 2);
  assert.deepEqual(await readIds(log), [1, 2]);
  assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), [1, 2]);
});

inMemory('an iterator that waited for a read shows what was truncated meanwhile', async (base) => {
  const { storage, faulty } = base.withFaults();
  const options = { preallocateBytes: 131_072, checkpointAfterBytes: 100_000 };
  const log = await storage.open({ manager: new KeepingManager(), options });
  for (let i = 0; i < 3; i++) await log.append(`old ${i} ${'x'.repeat(20_000)}`);
  const iterator = log.entries();
  assert.equal((await nextEntry(iterator))?.id, 1);
  const gate = new Gate();
  // The iterator's own read alone: the truncation reads as well.
  faulty.before = ({ operation }) => (operation === 'read' && gate.arrivals === 0 ? gate.pass() : undefined);
  const waiting = nextEntry(iterator);
  assert.equal(await isSettled(waiting), false);
  await log.truncateAfter(1);
  const { id } = await log.append('new');
  gate.open();
  const entry = await waiting;
  assert.ok(entry !== undefined);
  const { id: shownId, chunks: [shown] } = await seen(entry);
  assert.deepEqual([shownId, shown.slice(0, 9)], [id, 'new']);
  await iterator.return?.();
});

inMemory('sync beside a flush in flight, which need not be durable, is forgotten', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'write' && name === 'wal-1' ? gate.pass() : undefined);
  const committed = log.append('one');
  await until(() => gate.arrivals > 0);
  const synced = log.sync();
  assert.equal(await isSettled(synced), false);
  gate.open();
  await committed;
  await synced;
  assert.equal(log.durableId, 1);
});

inMemory('sync does not wait for the appends that were in line before it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual', preallocateBytes: 65536, checkpointAfterBytes: 32768, maxPendingBytes: 8192 } });
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'write' && name === 'wal-1' ? gate.pass() : undefined);
  const appends = ['x', 'y', 'z'].map((data) => log.append(data.repeat(6000)));
  await until(() => gate.arrivals > 0);
  assert.equal(log.stats().waitingWriters, 2);
  const synced = log.sync();
  gate.open();
  await synced;
  assert.equal(log.durableId, 3);
  await Promise.all(appends);
});

inMemory('the interval begins no more after a durable commit has ended it early', async (base) => {
  const { storage } = base.withFaults();
  const environment = new TestEnvironment();
  const log = await storage.open({ environment, options: { sync: 'interval', syncIntervalMs: 20 } });
  await log.append('one');
  await log.append('two', { durable: true });
  await log.append('three');
  assert.deepEqual(environment.pauses, [20, 20]);
  const durable = log.waitForDurable(3);
  environment.fire();
  await durable;
  await log.append('four');
  assert.deepEqual(environment.pauses, [20, 20, 20], 'nor after it was over');
});

forEachFileManager('a damaged holds file is read as if it were whole', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two', 'three']);
  await log.hold('replica', { from: 2 });
  await log.shutdown();
  const before = await storage.get('wal-holds');
  // Another digit, so that the text is still JSON.
  await storage.damage('wal-holds', before.indexOf('"from":2') + '"from":'.length, 1);
  const damaged = await storage.get('wal-holds');
  await assert.rejects(storage.open(), { name: 'WalError', code: 'WAL_CORRUPT' });
  assert.deepEqual(await storage.get('wal-holds'), damaged);
  await storage.put('wal-holds', before);
  assert.equal((await (await storage.open()).hold('replica')).from, 2);
});

/** A truncation that is held up before it is done, and a truncateBefore of all there is that waits for it. */
async function truncatingAtBothEnds(base: Storage, kept: number) {
  const { storage, faulty } = base.withFaults();
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await ready(log);
  for (let i = 0; i < 3; i++) await fillSegment(log);
  const gate = new Gate();
  const newest = log.stats().segments.at(-1)?.segmentId ?? 0;
  faulty.before = ({ operation, name }) => {
    const isNew = /^wal-\d+$/.test(name) && Number(name.slice(4)) > newest;
    return operation === 'write' && isNew ? gate.pass() : undefined;
  };
  const truncated = log.truncateAfter(kept);
  await until(() => gate.arrivals > 0);
  const released = log.truncateBefore(newest);
  assert.equal(await isSettled(released), false);
  return { storage, log, manager, gate, truncated, released };
}

for (const kept of [0, 1]) inMemory(`truncateBefore waits for ever when what it waits for is truncated to ${kept}`, async (base) => {
  const { storage, log, manager, gate, truncated, released } = await truncatingAtBothEnds(base, kept);
  gate.open();
  await truncated;
  await released;
  const ids = [...await fillSegment(log), (await log.append('new')).id];
  assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), ids);
  manager.letGo();
  await checkpointAll(log);
  assert.deepEqual(manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id)), ids);
});

inMemory('a truncation at the end of a segment whose checkpoint ends meanwhile is said to have failed, although it is done', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await ready(log);
  const ids = await fillSegment(log);
  await fillSegment(log);
  const [{ segmentId, lastId }] = log.stats().segments;
  const newest = log.stats().segments.at(-1)?.segmentId ?? 0;
  const gate = new Gate();
  faulty.before = ({ operation, name }) => {
    const isNew = /^wal-\d+$/.test(name) && Number(name.slice(4)) > newest;
    return operation === 'write' && isNew ? gate.pass() : undefined;
  };
  const truncated = log.truncateAfter(lastId);
  await until(() => gate.arrivals > 0);
  // It keeps none of what is truncated, so that nothing gives it up.
  manager.letGo();
  await until(() => faulty.of('rename').some(({ name }) => name === `wal-${segmentId}`));
  await turns();
  gate.open();
  await truncated;
  assert.equal(log.durableId, lastId);
  const { id } = await log.append('new');
  assert.deepEqual(await readIds(log), [id]);
  assert.ok(ids.includes(lastId) && id > lastId);
});
