/** Batches: entries of which all or none survive. */
import assert from 'node:assert/strict';
import type { ChunkData, WriteAheadLog } from '../../src/index.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import { forEachFileManager, inMemory, isSettled, pattern, RecordingManager, turns, until } from '../tools/helpers.js';
import { KeepingManager, range, readEntries, readIds } from '../tools/iterating.js';

forEachFileManager('the entries of a batch have ids one behind the other, and are recovered with their chunks', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('before');
  const batch = await log.appendBatch(['a', ['b', 'c'], [], Buffer.from('d'), '']);
  assert.deepEqual(batch.map(({ id }) => id), [2, 3, 4, 5, 6]);
  assert.deepEqual(batch.map(({ chunks }) => chunks.length), [1, 2, 0, 1, 1]);
  await log.append('behind');
  const expected = [
    { id: 1, chunks: ['before'] }, { id: 2, chunks: ['a'] }, { id: 3, chunks: ['b', 'c'] }, { id: 4, chunks: [] },
    { id: 5, chunks: ['d'] }, { id: 6, chunks: [''] }, { id: 7, chunks: ['behind'] },
  ];
  assert.deepEqual(await readEntries(log), expected);
  assert.deepEqual(await (await storage.crash()).contents(), expected);
  const reader = await log.readAt(batch[1].chunks[1].position);
  assert.equal(String(Buffer.from(await reader.readAll())), 'c');
  await reader.close();
});

inMemory('an empty batch is nothing, and resolves although the disk hangs', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  assert.deepEqual(await log.appendBatch([]), []);
  gate.open();
  assert.equal(log.stats().nextId, 1);
});

inMemory('a batch is one flush, and none of it is acknowledged before it is durable', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { preallocateBytes: 65536, checkpointAfterBytes: 60000 } });
  const { flushes } = log.stats();
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined);
  const batch = log.appendBatch(Array<string>(100).fill('entry'));
  await until(() => gate.arrivals === 1);
  assert.equal(await isSettled(batch), false);
  assert.deepEqual(await readIds(log), []);
  gate.open();
  assert.equal((await batch).length, 100);
  assert.equal(log.stats().flushes, flushes + 1);
  assert.equal(log.stats().commits, 100);
});

forEachFileManager('nothing comes between the entries of a batch', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const results = await Promise.all(range(0, 29).map((i) => (
    i % 3 === 0 ? log.appendBatch([`${i}`, `${i}`, `${i}`]) : log.append(`${i}`).then((entry) => [entry])
  )));
  for (const entries of results) {
    assert.deepEqual(entries.map(({ id }) => id), range(entries[0].id, entries[0].id + entries.length - 1));
  }
  assert.equal((await readIds(log)).length, 50);
});

forEachFileManager('a batch that is larger than a segment stands in one segment, whole', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('before');
  const data = range(1, 40).map((i) => pattern(500, i).toString('hex'));
  const batch = await log.appendBatch(data);
  assert.equal(new Set(batch.map(({ chunks: [{ position }] }) => position.segmentId)).size, 1);
  assert.deepEqual((await readEntries(log, { from: 2 })).map(({ chunks: [chunk] }) => chunk), data);
  assert.equal((await (await storage.crash()).contents()).length, 41);
});

forEachFileManager('a batch larger than may be pending is written in parts, and still all or nothing', async (storage) => {
  const options = { bufferBytes: 4096, maxPendingBytes: 8192 };
  const log = await storage.open({ manager: new KeepingManager(), options });
  const data = range(1, 30).map((i) => [pattern(1000, i).toString('hex'), 'second']);
  const batch = await log.appendBatch(data);
  assert.deepEqual(batch.map(({ id }) => id), range(1, 30));
  assert.deepEqual((await readEntries(log)).map(({ chunks }) => chunks), data);
  const { id, chunks: [chunk] } = await log.append(pattern(20_000));
  assert.equal(id, 31);
  assert.equal(chunk.length, 20_000);
  assert.equal((await (await storage.crash()).contents(options)).length, 31);
});

forEachFileManager('a batch that is torn at any byte is not recovered at all, and its ids are given again or skipped', async (storage, context) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('before');
  const start = (await storage.get('wal-1')).findLastIndex((byte) => byte !== 0) + 1;
  await log.appendBatch(['a', ['b', 'c'], 'd']);
  const bytes = await storage.get('wal-1');
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  assert.ok(end > start + 3 * 14);
  // Every byte on memory; on the disk, where each takes a hundred times as long, some.
  const step = context.name.includes('memory') ? 1 : 11;
  for (let cut = start; cut < end; cut += step) {
    const torn = await storage.crash();
    await torn.put('wal-1', Buffer.concat([bytes.subarray(0, cut), Buffer.alloc(bytes.length - cut)]));
    const manager = new KeepingManager();
    const again = await torn.open({ manager });
    assert.deepEqual(manager.recoveredIds, [1], `cut at ${cut}`);
    const { id } = await again.append('new');
    assert.deepEqual(await readEntries(again), [{ id: 1, chunks: ['before'] }, { id, chunks: ['new'] }]);
    await again.shutdown();
  }
});

inMemory('a batch that a failing disk did not take is rejected as a whole', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('one');
  faulty.before = ({ operation }) => {
    if (operation === 'write') throw systemError('EIO');
  };
  await assert.rejects(log.appendBatch(['two', 'three']), { name: 'WalError', code: 'WAL_FAILED' });
  await log.shutdown();
  assert.deepEqual((await base.contents()).map(({ id }) => id), [1]);
});

inMemory('a large batch that is half written is not there after a crash, and whole after a shutdown', async (base) => {
  const { storage, faulty } = base.withFaults();
  const options = { bufferBytes: 4096, maxPendingBytes: 8192 };
  const log = await storage.open({ manager: new KeepingManager(), options });
  await log.append('one');
  const gate = new Gate();
  let syncs = 0;
  faulty.before = ({ operation, name }) => {
    if (operation === 'sync' && /^wal-\d+$/.test(name) && ++syncs === 3) return gate.pass();
    return undefined;
  };
  const batch = log.appendBatch(Array<Buffer>(30).fill(pattern(1000)));
  await until(() => gate.arrivals > 0);
  assert.deepEqual((await (await base.crash()).contents(options)).map(({ id }) => id), [1]);
  const shutdown = log.shutdown();
  gate.open();
  assert.deepEqual((await batch).map(({ id }) => id), range(2, 31));
  await shutdown;
  assert.deepEqual((await base.contents(options)).map(({ id }) => id), range(1, 31));
});

inMemory('an entry behind a large batch that was given up is not taken for a part of it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const options = { bufferBytes: 4096, maxPendingBytes: 8192, preallocateBytes: 65536, checkpointAfterBytes: 60000 };
  const log = await storage.open({ manager: new KeepingManager(), options });
  const writer = await log.beginEntry();
  for (let i = 0; i < 5; i++) await writer.writeChunk(pattern(3000));
  await writer.rollback();
  await log.appendBatch(['a', 'b']);
  await log.append('c');
  assert.ok(faulty.of('write').length > 2);
  assert.deepEqual((await (await base.crash()).contents(options)).map(({ chunks }) => chunks), [['a'], ['b'], ['c']]);
});

inMemory('a checkpoint is given all entries of a batch', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await log.appendBatch(['a', 'b', 'c']);
  await log.checkpointActive();
  await until(() => manager.checkpoints.length === 1);
  assert.deepEqual(manager.checkpoints[0].entries.map(({ chunks: [data] }) => data), ['a', 'b', 'c']);
});

inMemory('a batch with one entry that is none is refused as a whole', async (storage) => {
  const log: WriteAheadLog = await storage.open();
  for (const bad of ['abc', undefined, null, 1, new Set(['a']), Buffer.from('a'), ['a', 1], ['a', undefined], ['a', ['b', {}]], [[['a']]]]) {
    await assert.rejects(log.appendBatch(bad as ChunkData[]), TypeError);
  }
  await turns();
  assert.equal(log.stats().nextId, 1);
  assert.deepEqual(await readIds(log), []);
});

inMemory('a hole in a batch, or in the chunks of an entry, is refused like undefined', async (storage) => {
  const log = await storage.open();
  const hole: string[] = [];
  hole[1] = 'a';
  const expected = { name: 'TypeError', message: /not undefined/ };
  await assert.rejects(log.appendBatch(hole), expected);
  await assert.rejects(log.appendBatch(['b', hole]), expected);
  await assert.rejects(log.append(hole), expected);
  assert.equal(log.stats().nextId, 1);
  await log.shutdown();
  assert.deepEqual(await storage.contents(), []);
});
