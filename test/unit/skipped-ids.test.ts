/** Ids that are passed over, logs that begin with another id than 1, and logs that are made like another. */
import assert from 'node:assert/strict';
import { WriteAheadLog } from '../../src/index.js';
import type { CreateOptions, Entry, LogManager } from '../../src/index.js';
import { Random } from '../support/random.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  fillSegment, forEachFileManager, inMemory, isSettled, RecordingManager, SMALL, Storage, until,
} from '../tools/helpers.js';
import { KeepingManager, readIds } from '../tools/iterating.js';

const LAST_ID = Number.MAX_SAFE_INTEGER - 1;

function create(
  storage: Storage, options: CreateOptions = {}, manager: LogManager = new KeepingManager(),
): Promise<WriteAheadLog> {
  const { fileManager, directory } = storage;
  return WriteAheadLog.create(directory, manager, { ...SMALL, fileManager, ...options });
}

/** The id of the next entry, after a crash. */
async function nextIdAfterCrash(storage: Storage): Promise<number> {
  const log = await (await storage.crash()).open({ manager: new KeepingManager() });
  const { nextId } = log.stats();
  assert.equal((await log.append('after the crash')).id, nextId);
  await log.shutdown();
  return nextId;
}

forEachFileManager('a new log begins with 1, whatever its first id is to be', async (storage) => {
  const log = await create(storage, { nextId: 1000 });
  assert.deepEqual([log.stats().nextId, log.durableId], [1000, 999]);
  assert.equal(await nextIdAfterCrash(storage), 1000);
  assert.equal((await log.append('first')).id, 1000);
  assert.throws(() => log.entries({ from: 2000 }), { code: 'WAL_OUT_OF_RANGE' });
  await assert.rejects(log.entries({ from: 1 }).next(), { code: 'WAL_POSITION_GONE' });
  assert.deepEqual(await readIds(log), [1000]);
  await log.shutdown();
  const again = await storage.open({ manager: new KeepingManager(), options: { mustExist: true } });
  assert.equal((await again.append('second')).id, 1001);
});

forEachFileManager('create() opens a log that is there, or refuses what a creation before it has left', async (storage) => {
  await (await create(storage)).shutdown();
  const before = await storage.files();
  await assert.rejects(create(storage, { nextId: 7 }), { code: 'WAL_EXISTS' });
  assert.deepEqual(await storage.files(), before);
  // As far as it comes before the first link is durable: that is what makes it a log.
  await storage.put('wal-1', (await storage.get('wal-1')).fill(0, 30));
  await storage.put('wal-0-cp', Buffer.alloc(4096));
  await assert.rejects(storage.open({ options: { mustExist: true } }), { code: 'WAL_NOT_FOUND' });
  const log = await create(storage, { nextId: 7 });
  assert.equal((await log.append('x')).id, 7);
  await log.shutdown();
  // A checkpointed segment is left of a log, too.
  for (const name of (await storage.files()).keys()) if (name !== 'wal-7') await storage.remove(name);
  await storage.fileManager.rename(`${storage.directory}/wal-7`, `${storage.directory}/wal-7-cp`);
  await assert.rejects(create(storage), { code: 'WAL_EXISTS' });
});

inMemory('create() takes nonsense', async (storage) => {
  for (const nextId of [0, -1, 1.5, NaN, LAST_ID + 1]) await assert.rejects(create(storage, { nextId }), RangeError);
  await assert.rejects(create(storage, { nextId: '1' as never }), /TypeError: nextId must be a number, not "1"/);
  await assert.rejects(create(storage, { identity: 7 as never }), /TypeError: identity must be a string, not 7/);
  await assert.rejects(create(storage, { identity: 'no-uuid' }), /RangeError: identity must be a UUID, not "no-uuid"/);
  await assert.rejects(create(storage, { mustExist: true }), RangeError);
  await assert.rejects(create(storage, { nextID: 1 } as never), /TypeError: there is no option "nextID"/);
  await assert.rejects(storage.fileManager.list(storage.directory), { code: 'ENOENT' });
  const log = await create(storage, { nextId: LAST_ID });
  assert.equal((await log.append('the last')).id, LAST_ID);
  await log.shutdown();
});

inMemory('entries of a new log count as stored, since its manager has stored later ones', async (storage) => {
  const manager = Object.assign(new RecordingManager(), { open: () => 500 });
  await assert.rejects(create(storage, { nextId: 400 }, manager), { code: 'WAL_OUT_OF_RANGE' });
  const log = await create(storage, { nextId: 501 }, manager);
  assert.equal((await log.append('x')).id, 501);
  await log.shutdown();
});

forEachFileManager('ids that were skipped are given out after a crash, or after a shutdown', async (storage) => {
  let log = await storage.open({ manager: new KeepingManager() });
  await log.append('one');
  await log.skipTo(1000);
  assert.deepEqual([log.stats().nextId, log.durableId], [1000, 999]);
  await log.waitForDurable(999);
  assert.equal(await nextIdAfterCrash(storage), 1000);
  await log.shutdown();
  for (let i = 0; i < 3; i++) {
    const before = await storage.get('wal-1');
    log = await storage.open({ manager: new KeepingManager() });
    assert.equal(log.stats().nextId, 1000);
    assert.equal(await nextIdAfterCrash(storage), 1000);
    // A crash in the middle of what the opening has written leaves anything there, but not where the skip stands.
    const torn = await storage.crash();
    const after = await torn.get('wal-1');
    await torn.put('wal-1', after.map((byte, at) => (byte === before[at] ? byte : byte ^ 0x55)));
    assert.equal(await nextIdAfterCrash(torn), 1000);
    if (i < 2) await log.shutdown();
  }
  assert.equal((await log.append('next')).id, 1000);
  await log.skipTo(2000);
  await log.appendBatch(['a', 'b']);
  assert.deepEqual(await readIds(log), [1, 1000, 2000, 2001]);
  assert.deepEqual(await readIds(log, { from: 2 }), [1000, 2000, 2001]);
  assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), [1, 1000, 2000, 2001]);
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  assert.equal(reader.lastId, 2001);
  await reader.close();
});

inMemory('skipped ids cost a segment, an entry, or a flush each although entries follow', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('x');
  const { flushes, segments: [{ bytes }] } = log.stats();
  await log.skipTo(1_000_000_000);
  const after = log.stats();
  assert.deepEqual([after.flushes - flushes, after.segments.length], [1, 1]);
  assert.ok(after.segments[0].bytes - bytes <= 37 + 13, `${after.segments[0].bytes - bytes} bytes`);
  // Below the next id, and durable: nothing is written.
  await Promise.all([log.skipTo(0), log.skipTo(5), log.skipTo(1_000_000_000)]);
  assert.equal(log.stats().flushes, after.flushes);
  const tasks: Promise<unknown>[] = [];
  for (let i = 1; i <= 100; i++) tasks.push(log.skipTo(1_000_000_000 + 2 * i), log.append('y'));
  await Promise.all(tasks);
  assert.equal(log.stats().nextId, 1_000_000_201);
  assert.ok(log.stats().flushes - after.flushes < 10, `${log.stats().flushes - after.flushes} flushes for 100 gaps`);
});

inMemory('a skip that has resolved is only in memory, where ids were rolled back or are not durable', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  for (let i = 0; i < 3; i++) await (await log.beginEntry()).rollback();
  await log.skipTo(3);
  assert.equal(log.stats().nextId, 4);
  assert.ok(await nextIdAfterCrash(storage) >= 3);
  const { id } = await log.append('not durable');
  await log.skipTo(id + 1);
  assert.equal(log.durableId, id);
});

forEachFileManager('a skip goes past an entry that is open, or does not wait for room', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const writer = await log.beginEntry();
  const skipping = log.skipTo(100);
  const after = log.append('after');
  assert.equal(await isSettled(skipping), false);
  assert.equal(await writer.commit(), 1);
  await skipping;
  assert.equal((await after).id, 100);
  // Up to the end of the segment, and beyond it.
  for (let id = 200; id < 10_000; id += 100) {
    await log.skipTo(id);
    if (id % 300 === 0) assert.equal((await log.append('x'.repeat(id % 50))).id, id);
  }
  assert.equal(await nextIdAfterCrash(storage), 9901);
});

inMemory('a skip that fails with the disk, or comes too late, resolves', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined);
  const skipping = log.skipTo(10);
  await until(() => gate.arrivals === 1);
  assert.equal(await isSettled(skipping), false);
  faulty.before = ({ operation }) => {
    if (operation === 'sync') throw systemError('EIO');
  };
  const failed = assert.rejects(log.skipTo(20), { code: 'WAL_FAILED' });
  gate.open();
  await skipping;
  await failed;
  await assert.rejects(log.skipTo(30), { code: 'WAL_FAILED' });
  await log.shutdown();
  const again = await base.open();
  const waiting = (await again.beginEntry(), again.skipTo(40));
  const closing = again.shutdown();
  await assert.rejects(waiting, { code: 'WAL_CLOSED' });
  await closing;
  await assert.rejects(again.skipTo(50), { code: 'WAL_CLOSED' });
});

inMemory('skipTo() takes what no entry can have', async (storage) => {
  const log = await storage.open();
  for (const id of [-1, 0.5, NaN, LAST_ID + 1]) await assert.rejects(log.skipTo(id), RangeError);
  await assert.rejects(log.skipTo('1' as never), TypeError);
  await log.skipTo(LAST_ID);
  assert.equal((await log.append('the last')).id, LAST_ID);
  await log.skipTo(LAST_ID);
  await log.shutdown();
  const again = await storage.open();
  await assert.rejects(again.append('one too many'), { code: 'WAL_OUT_OF_RANGE' });
});

forEachFileManager('a skip is undone by a truncation that drops nothing, or outlives one that drops entries before it', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two', 'three']);
  await log.skipTo(100);
  await log.truncateAfter(3);
  assert.equal(log.stats().nextId, 100);
  await log.append('a hundred');
  await log.truncateAfter(2);
  assert.equal(log.durableId, 2);
  assert.ok(log.stats().nextId < 10, `the next is ${log.stats().nextId}`);
  assert.deepEqual(await readIds(log), [1, 2]);
});

forEachFileManager('ids that were skipped at the end of a segment stand in the way of its checkpoint', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  const ids = await fillSegment(log);
  await log.skipTo(1000);
  await log.checkpoint();
  assert.deepEqual(manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id)), ids);
  await log.checkpoint();
  assert.equal(await nextIdAfterCrash(storage), 1000);
  await log.hold('reader', { from: 1000 });
  assert.equal((await log.append('x')).id, 1000);
});

forEachFileManager('ids are skipped within a batch, or for entries that were begun before', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const writer = await log.beginEntry();
  const before = [log.append('in line'), log.appendBatch(['a', 'b', 'c'])] as const;
  const skipping = log.skipTo(100);
  const after = log.appendBatch(['d', 'e']);
  await writer.commit();
  assert.equal((await before[0]).id, 2);
  assert.deepEqual((await before[1]).map(({ id }) => id), [3, 4, 5]);
  await skipping;
  assert.deepEqual((await after).map(({ id }) => id), [100, 101]);
});

/** A log with gaps, batches and several segments, and what there is in it. */
async function randomLog(storage: Storage, random: Random): Promise<void> {
  const log = await create(storage, { nextId: random.pick([1, 50]) });
  for (let i = 0; i < 40; i++) {
    const data = (): string => 'x'.repeat(random.pick([0, 5, 300])) + i;
    switch (random.below(5)) {
      case 0: await log.skipTo(log.stats().nextId + random.below(4)); break;
      case 1: await log.appendBatch(Array.from({ length: random.between(1, 5) }, data)); break;
      case 2: await (await log.beginEntry()).rollback(); break;
      case 3: await log.checkpointActive(); break;
      default: await log.append([data(), data()]);
    }
    if (i === 20) await log.truncateAfter((await readIds(log)).at(-2) ?? log.durableId);
  }
  await log.shutdown();
}

type Shown = readonly [id: number, endsBatch: boolean, chunks: readonly string[]];

async function show(entries: AsyncIterable<Entry>): Promise<Shown[]> {
  const shown: Shown[] = [];
  for await (const entry of entries) {
    shown.push([entry.id, entry.endsBatch, (await entry.readAllChunks()).map((bytes) => Buffer.from(bytes).toString())]);
  }
  return shown;
}

forEachFileManager('a log that is made of the entries of another has other ids, or other batches', async (storage) => {
  for (const seed of [1, 2, 3]) {
    const { fileManager, directory } = storage;
    const from = new Storage(fileManager, `${directory}-${seed}`);
    await randomLog(from, new Random(seed));
    const source = await from.open({ manager: new KeepingManager() });
    const expected = await show(source.entries());
    assert.ok(expected.some(([, endsBatch]) => !endsBatch));
    const to = new Storage(fileManager, `${directory}-${seed}-copy`);
    const copy = await create(to, { nextId: expected[0][0] });
    const batch: (readonly string[])[] = [];
    const written: Promise<unknown>[] = [];
    for (const [id, endsBatch, chunks] of expected) {
      if (batch.length === 0) written.push(copy.skipTo(id));
      batch.push(chunks);
      if (endsBatch) written.push(copy.appendBatch(batch.splice(0)));
    }
    await Promise.all(written);
    assert.deepEqual(await show(copy.entries()), expected);
    const reader = await WriteAheadLog.openReadOnly(to.directory, { fileManager });
    assert.deepEqual(await show(reader), expected);
    await reader.close();
    await copy.shutdown();
    const recovered: [number, boolean][] = [];
    const recover = ({ id, endsBatch }: Entry): void => void recovered.push([id, endsBatch]);
    await (await to.open({ manager: { recover, checkpointTo() {} } })).shutdown();
    assert.deepEqual(recovered, expected.map(([id, endsBatch]) => [id, endsBatch]));
    await source.shutdown();
  }
});

forEachFileManager('a batch ends with each of its entries, or with none, wherever it is read', async (storage) => {
  const seen: [string, number, boolean][] = [];
  let isKept = true;
  const manager: LogManager = {
    recover: ({ id, endsBatch }) => void seen.push(['recover', id, endsBatch]),
    async checkpointTo(_, entries) {
      if (isKept) throw new Error('all of it is read first');
      for await (const { id, endsBatch } of entries) seen.push(['checkpointTo', id, endsBatch]);
    },
  };
  const log = await storage.open({ manager });
  log.on('checkpointFailed', () => undefined);
  await log.append('single');
  await log.appendBatch(['a', 'b', 'c']);
  await log.appendBatch(['alone']);
  await log.appendBatch(['d', 'e', 'f']);
  // What was dropped in the middle of a batch ends it there.
  await log.truncateAfter(7);
  const writer = await log.beginEntry();
  await writer.commit();
  const ends = [true, false, false, true, true, false, true, true];
  assert.deepEqual((await show(log.entries())).map(([, end]) => end), ends);
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  assert.deepEqual((await show(reader)).map(([, end]) => end), ends);
  await reader.close();
  await (await (await storage.crash()).open({ manager })).shutdown();
  isKept = false;
  await log.checkpoint();
  for (const where of ['recover', 'checkpointTo']) {
    assert.deepEqual(seen.filter(([what]) => what === where).map(([, , end]) => end), ends, where);
  }
});
