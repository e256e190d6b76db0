/** Following a log: iterations that wait for entries to come, and the id up to which the log is durable. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import type { WriteAheadLog } from '../../src/index.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled,
  RecordingManager, turns, until,
} from '../tools/helpers.js';
import { KeepingManager, nextEntry, range, readIds, takeEntries, takeIds } from '../tools/iterating.js';

/** Follows `log` in the background, and keeps the ids it is given. */
function followInto(ids: number[], log: WriteAheadLog, from?: number): Promise<void> {
  return (async () => {
    for await (const entry of log.entries({ follow: true, ...(from === undefined ? {} : { from }) })) ids.push(entry.id);
  })();
}

forEachFileManager('a follower is given no entry before it is durable, and each one then', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const given: number[] = [];
  const ended = followInto(given, log);
  for (let id = 1; id <= 5; id++) {
    const gate = new Gate();
    faulty.before = ({ operation, name }) => (operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined);
    const commit = log.append(`entry ${id}`);
    await until(() => gate.arrivals === 1);
    await turns();
    assert.deepEqual(given, range(1, id - 1));
    assert.equal(log.durableId, id - 1);
    gate.open();
    await commit;
    assert.equal(log.durableId, id);
    await until(() => given.length === id);
  }
  await log.shutdown();
  await ended;
  assert.deepEqual(given, range(1, 5));
});

forEachFileManager('a follower misses and repeats nothing while segments are closed, checkpointed and used again', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  const hold = await log.hold('follower');
  const given: number[] = [];
  const ended = (async () => {
    for await (const entry of log.entries({ follow: true })) {
      given.push(entry.id);
      if (entry.id % 7 === 0) await hold.advance(entry.id + 1);
    }
  })();
  const ids: number[] = [];
  for (let i = 0; i < 12; i++) {
    ids.push(...await fillSegment(log));
    if (i % 3 === 0) {
      const writer = await log.beginEntry();
      await writer.rollback();
      await log.checkpointActive();
    }
    ids.push(...(await log.appendBatch(['a', 'b', 'c'])).map(({ id }) => id));
  }
  await until(() => given.length >= ids.length);
  assert.deepEqual(given, ids);
  await hold.advance(log.durableId + 1);
  await until(() => log.stats().segmentsRecycled > 3);
  await log.shutdown();
  await ended;
});

inMemory('followers that began at different ids all come to the same end', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  for (let i = 0; i < 10; i++) await log.append('x'.repeat(300));
  const followers = [1, 5, 11, 15].map((from) => ({ from, given: [] as number[] }));
  const ends = followers.map(({ from, given }) => followInto(given, log, from));
  for (let i = 0; i < 10; i++) await log.append('x'.repeat(300));
  await until(() => followers.every(({ given }) => given.at(-1) === 20));
  for (const { from, given } of followers) assert.deepEqual(given, range(from, 20));
  await log.shutdown();
  await Promise.all(ends);
});

inMemory('a follower that waits does not keep the next segments from being used again', async (storage) => {
  const log = await storage.open();
  const iterator = log.entries({ follow: true });
  await log.append('one');
  assert.deepEqual(await takeIds(iterator, 1), [1]);
  const next = nextEntry(iterator);
  for (let i = 0; i < 3; i++) await fillSegment(log);
  assert.equal((await next)?.id, 2);
  await until(() => log.stats().segmentsRecycled >= 1);
  await iterator.return?.();
  await until(() => log.stats().segmentsRecycled >= 2);
});

inMemory('return while next waits ends both, and lets the segment go', async (storage) => {
  const log = await storage.open();
  await log.append('one');
  const iterator = log.entries({ follow: true });
  await takeIds(iterator, 1);
  const waiting = [iterator.next(), iterator.next()];
  assert.equal(await isSettled(waiting[0]), false);
  assert.deepEqual(await iterator.return?.(), { done: true, value: undefined });
  assert.deepEqual(await Promise.all(waiting), Array(2).fill({ done: true, value: undefined }));
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  assert.deepEqual(await iterator.return?.(), { done: true, value: undefined });
  await log.checkpointActive();
  await until(() => log.stats().segmentsRecycled === 1);
});

inMemory('a signal that is aborted while next waits ends it with its reason, and lets the segment go', async (storage) => {
  const log = await storage.open();
  await log.append('one');
  const controller = new AbortController();
  const iterator = log.entries({ follow: true, signal: controller.signal });
  await takeIds(iterator, 1);
  const waiting = iterator.next();
  await turns();
  const reason = new Error('no more');
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  await log.checkpointActive();
  await until(() => log.stats().segmentsRecycled === 1);
});

inMemory('at a shutdown followers come to their end, though a checkpoint waits for one of them', async (storage) => {
  const manager = new RecordingManager();
  const log: WriteAheadLog = await storage.open({ manager });
  const given: number[] = [];
  const ended = followInto(given, log);
  manager.onCheckpoint = () => ended;
  await log.append('one');
  await log.checkpointActive();
  await log.append('two');
  await until(() => given.length === 2);
  const accepted = log.append('accepted');
  await log.shutdown();
  assert.equal((await accepted).id, 3);
  await ended;
});

inMemory('a follower of a log that fails hears of it, and is given nothing that was not acknowledged', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('one');
  const given: number[] = [];
  const ended = followInto(given, log);
  await until(() => given.length === 1);
  faulty.before = ({ operation }) => {
    if (operation === 'sync') throw systemError('EIO');
  };
  await assert.rejects(log.append('two'), { code: 'WAL_FAILED' });
  await assert.rejects(ended, { name: 'WalError', code: 'WAL_FAILED' });
  await assert.rejects(log.waitForDurable(2), { code: 'WAL_FAILED' });
  assert.deepEqual(given, [1]);
});

inMemory('a follower that is too slow is told that entries are gone, unless it has a hold', async (storage) => {
  const log = await storage.open();
  await log.append('one');
  const [slow, held] = [log.entries({ follow: true }), log.entries({ follow: true })];
  await Promise.all([takeIds(slow, 1), takeIds(held, 1)]);
  for (let i = 0; i < 3; i++) await fillSegment(log);
  await checkpointed(log);
  await assert.rejects(async () => takeIds(slow, 1000), { name: 'WalError', code: 'WAL_POSITION_GONE' });
  await held.return?.();

  const from = log.durableId + 1;
  await log.hold('slow', { from });
  const iterator = log.entries({ from, follow: true });
  for (let i = 0; i < 3; i++) await fillSegment(log);
  await checkpointed(log);
  assert.deepEqual(await takeIds(iterator, log.durableId - from + 1), range(from, log.durableId));
  await iterator.return?.();
});

forEachFileManager('a follower is told when the log is cut behind what it has, and goes on if it is not', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  for (let i = 1; i <= 20; i++) await log.append(`old ${i} ${'x'.repeat(200)}`);
  const [ahead, behind] = [log.entries({ follow: true }), log.entries({ follow: true })];
  await takeIds(ahead, 20);
  await takeIds(behind, 5);
  const told = assert.rejects(ahead.next(), { name: 'WalError', code: 'WAL_POSITION_GONE' });
  await turns();
  await log.truncateAfter(10);
  await told;
  assert.deepEqual(await takeIds(behind, 5), range(6, 10));
  const { id } = await log.append('new');
  assert.deepEqual(await takeEntries(behind, 1), [{ id, chunks: ['new'] }]);
  await behind.return?.();
});

inMemory('a follower that waited at the place of the cut is given what comes anew', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two']);
  const iterator = log.entries({ follow: true });
  await takeIds(iterator, 2);
  const waiting = nextEntry(iterator);
  await turns();
  await log.truncateAfter(2);
  await log.append('three');
  assert.equal((await waiting)?.id, 3);
  await iterator.return?.();
});

inMemory('a batch reaches a follower whole and in order', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const given: number[] = [];
  const ended = followInto(given, log);
  await Promise.all([log.append('a'), log.appendBatch(Array(50).fill('x'.repeat(200))), log.append('b')]);
  await until(() => given.length === 52);
  assert.deepEqual(given, range(1, 52));
  await log.shutdown();
  await ended;
});

inMemory('a thousand followers are all given every entry', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const all = range(1, 1000).map(() => [] as number[]);
  const ended = all.map((given) => followInto(given, log));
  for (let i = 0; i < 3; i++) await log.append('entry');
  await until(() => all.every((given) => given.length === 3));
  await log.shutdown();
  await Promise.all(ended);
});

inMemory('an entry that is read while the log goes on keeps the bytes it was written with', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const texts = range(1, 40).map((i) => `${i} `.repeat(100));
  const written = (async () => {
    for (const data of texts) await log.append(data);
  })();
  const entries = await takeEntries(log.entries({ follow: true }), texts.length);
  assert.deepEqual(entries.map(({ chunks }) => chunks[0]), texts);
  await written;
});

inMemory('waitForDurable resolves when the entry is durable and not before', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.waitForDurable(0);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const [first, second] = [log.waitForDurable(1), log.waitForDurable(2)];
  const commit = log.append('one');
  await until(() => gate.arrivals === 1);
  assert.equal(await isSettled(first), false);
  gate.open();
  await Promise.all([commit, first]);
  assert.equal(await isSettled(second), false);
  await log.append('two');
  await second;
  await log.waitForDurable(1);
});

inMemory('waitForDurable gives up when its signal is aborted, when the log ends, and for what is no id', async (storage) => {
  const log = await storage.open();
  const controller = new AbortController();
  const waiting = log.waitForDurable(1, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  await assert.rejects(log.waitForDurable(1, { signal: AbortSignal.abort(new Error('before')) }), /before/);
  await assert.rejects(log.waitForDurable('1' as unknown as number), TypeError);
  await assert.rejects(log.waitForDurable(0.5), RangeError);
  await assert.rejects(log.waitForDurable(1, { signal: 1 as unknown as AbortSignal }), TypeError);
  const last = log.waitForDurable(1);
  last.catch(() => undefined);
  await log.shutdown();
  await assert.rejects(last, { code: 'WAL_CLOSED' });
  await assert.rejects(log.waitForDurable(1), { code: 'WAL_CLOSED' });
});

forEachFileManager('the durable id is that of the last entry after reopening, and after a cut', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  assert.equal(log.durableId, 0);
  await log.appendBatch(['one', 'two', 'three']);
  await log.truncateAfter(2);
  assert.equal(log.durableId, 2);
  await log.shutdown();
  const again = await storage.open({ manager: new KeepingManager() });
  assert.ok(again.durableId >= 2);
  const { id } = await again.append('next');
  assert.equal(again.durableId, id);
  assert.deepEqual(await readIds(again), [1, 2, id]);
});

inMemory('an entry of a follower can be read until the next is asked for, in a segment that was checkpointed meanwhile', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await log.append(['a'.repeat(10_000), 'b']);
  const iterator = log.entries({ follow: true });
  const entry = await nextEntry(iterator);
  assert.ok(entry !== undefined);
  manager.letGo();
  await checkpointAll(log);
  for (let i = 0; i < 4; i++) await fillSegment(log);
  assert.deepEqual((await entry.readAllChunks()).map(({ length }) => length), [10_000, 1]);
  await iterator.return?.();
});

forEachFileManager('a follower that begins while the start of a new segment is being written takes that for no damage', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('one');
  const next = new Promise<number | undefined>((resolve, reject) => {
    log.once('segment', () => {
      nextEntry(log.entries({ from: log.durableId + 1, follow: true })).then((entry) => resolve(entry?.id), reject);
    });
  });
  await log.checkpointActive();
  await log.append('two');
  assert.equal(await next, 2);
});

forEachFileManager('an iterator that began at an id shows what took the place of the entries before it', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two', 'three']);
  for (const follow of [true, false]) {
    const [fresh, kept] = [log.entries({ from: log.durableId + 1, follow }), log.entries({ from: 2, follow })];
    const future = log.entries({ from: 10, follow: true });
    await log.truncateAfter(log.durableId - 1);
    await log.append('another last one');
    await log.append('after it');
    await assert.rejects(fresh.next(), { code: 'WAL_POSITION_GONE' });
    await assert.rejects(future.next(), { code: 'WAL_POSITION_GONE' });
    assert.equal((await nextEntry(kept))?.id, 2);
    await kept.return?.();
  }
});

inMemory('a follower in the middle of a batch is shown the next batch as the rest of it', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two', 'three']);
  const [first, second] = [log.entries({ follow: true }), log.entries({ follow: true })];
  await takeIds(first, 1);
  await takeIds(second, 2);
  await log.truncateAfter(1);
  await log.append('alone');
  await assert.rejects(first.next(), { code: 'WAL_POSITION_GONE' });
  await assert.rejects(second.next(), { code: 'WAL_POSITION_GONE' });
});
