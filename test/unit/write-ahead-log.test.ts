/** The way of an entry from `append` and `commit` to the disk. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fc from 'fast-check';
import type { ChunkData, WriteAheadLog } from '../../src/index.js';
import { Gate } from '../tools/faulty-file-manager.js';
import {
  checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled, pattern, ready,
  RecordingManager, type SeenEntry, Storage, text, turns, until,
} from '../tools/helpers.js';

const ROOMY = { preallocateBytes: 256 * 1024, checkpointAfterBytes: 200 * 1024, bufferBytes: 4096 };

async function writeEntry(log: WriteAheadLog, ...chunks: ChunkData[]): Promise<number> {
  const writer = await log.beginEntry();
  for (const chunk of chunks) await writer.writeChunk(chunk);
  return writer.commit();
}

forEachFileManager('a hundred appends of one tick cost one write and one sync, not a hundred', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const [writes, syncs] = [faulty.of('write').length, faulty.of('sync').length];
  await Promise.all(Array.from({ length: 100 }, (_, i) => log.append(`entry ${i}`)));
  assert.equal(faulty.of('write').length - writes, 1);
  assert.equal(faulty.of('sync').length - syncs, 1);
  assert.equal((await (await storage.crash()).contents(ROOMY)).length, 100);
});

inMemory('sixteen writers that begin, write and commit entries of their own share one flush', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const writes = faulty.of('write').length;
  await Promise.all(Array.from({ length: 16 }, (_, i) => writeEntry(log, `a${i}`, `b${i}`)));
  assert.equal(faulty.of('write').length - writes, 1);
});

forEachFileManager('where a write is durable by itself, no sync is paid for', async (base) => {
  const { storage, faulty } = base.withFaults();
  faulty.durableWrites = true;
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const syncs = faulty.of('sync').length;
  await log.append('one');
  await log.append('two');
  assert.equal(faulty.of('sync').length, syncs);
});

forEachFileManager('all that is committed while a flush is in flight goes into the next one', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const writes = faulty.of('write').length;
  const first = log.append('first');
  await until(() => gate.arrivals === 1);
  const gathered: Promise<unknown>[] = [];
  for (let i = 0; i < 10; i++) {
    gathered.push(log.append(`gathered ${i}`), writeEntry(log, 'by a writer'));
    await turns(1);
  }
  assert.equal(faulty.of('write').length - writes, 1);
  gate.open();
  await Promise.all([first, ...gathered]);
  assert.equal(faulty.of('write').length - writes, 2);
  assert.equal(gate.arrivals, 2);
});

forEachFileManager('entries get ids in the order in which they begin, and are recovered in it', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const ids = await Promise.all(Array.from({ length: 60 }, async (_, i) => {
    if (i % 3 === 0) return writeEntry(log, `${i}`);
    return (await log.append(`${i}`)).id;
  }));
  assert.deepEqual(ids, ids.map((_, i) => i + 1));
  const entries = await (await storage.crash()).contents(ROOMY);
  assert.deepEqual(entries, ids.map((id, i) => ({ id, chunks: [`${i}`] })));
});

forEachFileManager('callers wait while maxPendingBytes are on their way, and go on afterwards', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { ...ROOMY, maxPendingBytes: 8192 } });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const appends = Array.from({ length: 100 }, (_, i) => log.append(pattern(1000, i)));
  await until(() => gate.arrivals === 1);
  await turns();
  const { pendingBytes, waitingWriters } = log.stats();
  assert.ok(pendingBytes > 6000 && pendingBytes <= 8192, `${pendingBytes} bytes are pending`);
  assert.ok(waitingWriters >= 91, `${waitingWriters} wait`);
  gate.open();
  const ids = (await Promise.all(appends)).map(({ id }) => id);
  assert.deepEqual(ids, ids.map((_, i) => i + 1));
  assert.equal(log.stats().waitingWriters, 0);
  assert.equal(log.stats().pendingBytes, 0);
});

const SHAPES: readonly (readonly [string, ChunkData | readonly ChunkData[], readonly string[]])[] = [
  ['a string', 'grüße, 世界 🌍', ['grüße, 世界 🌍']],
  ['an empty string', '', ['']],
  ['bytes', Uint8Array.of(104, 105), ['hi']],
  ['a view in the middle of a larger buffer', Buffer.from('xhix').subarray(1, 3), ['hi']],
  ['no chunks at all', [], []],
  ['empty chunks', ['', new Uint8Array()], ['', '']],
  ['mixed chunks', ['a', Buffer.from('b'), '', 'ccc'], ['a', 'b', '', 'ccc']],
];
for (const [what, data, chunks] of SHAPES) {
  forEachFileManager(`an entry of ${what} is recovered as it was appended`, async (storage) => {
    const log = await storage.open();
    const entry = await log.append(data);
    assert.equal(entry.id, 1);
    assert.deepEqual(entry.chunks.map(({ length }) => length), chunks.map((chunk) => Buffer.byteLength(chunk)));
    assert.deepEqual(await (await storage.crash()).contents(), [{ id: 1, chunks }]);
    for (const [i, { position }] of entry.chunks.entries()) {
      const reader = await log.readAt(position);
      assert.equal(text(await reader.readAll()), chunks[i]);
      await reader.close();
    }
  });
}

const [BUFFER, PENDING, SEGMENT] = [4096, 16 * 1024, 32 * 1024];
const SIZES = [
  0, 1, 511, 512, 513, BUFFER - 9, BUFFER - 1, BUFFER, BUFFER + 1, PENDING - 23, PENDING - 22, PENDING, PENDING + 1,
  SEGMENT - 200, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT,
];
forEachFileManager('an entry as large as a buffer, a segment or far more is recovered whole', async (storage) => {
  const options = {
    preallocateBytes: SEGMENT, checkpointAfterBytes: SEGMENT / 2, bufferBytes: BUFFER, maxPendingBytes: PENDING,
  };
  const manager = new HoardingManager();
  const log = await storage.open({ manager, options });
  const written: Buffer[] = [];
  for (const size of SIZES) {
    written.push(pattern(size, size + 1));
    await log.append(written[written.length - 1]);
    written.push(pattern(size, size + 2));
    await writeEntry(log, written[written.length - 1]);
  }
  const last = await log.append(['before', pattern(SEGMENT), 'behind']);
  const crashed = await storage.crash();
  const found: Buffer[] = [];
  const reader = new RecordingManager();
  reader.onRecover = async (entry) => {
    if (entry.id < last.id) found.push(Buffer.concat(await entry.readAllChunks()));
  };
  await crashed.open({ manager: reader, options });
  assert.deepEqual(found.map((bytes) => bytes.length), written.map((bytes) => bytes.length));
  assert.ok(found.every((bytes, i) => bytes.equals(written[i])));
  assert.deepEqual(reader.recovered.at(-1)?.chunks.map((chunk) => chunk.length)[0], 6);
  manager.letGo();
});

forEachFileManager('a disk that takes a few bytes at a time gets all of them', async (base) => {
  const { storage, faulty } = base.withFaults();
  faulty.shorten = ({ name, length = 0 }) => (name === 'wal-1' ? Math.min(29, length) : length);
  const log = await storage.open({ options: ROOMY });
  const chunks = ['x'.repeat(1000), 'y'.repeat(99)];
  await Promise.all([log.append(chunks), log.append('second')]);
  assert.ok(faulty.of('write').filter(({ name }) => name === 'wal-1').length > 30);
  assert.deepEqual(await (await base.crash()).contents(ROOMY), [{ id: 1, chunks }, { id: 2, chunks: ['second'] }]);
});

forEachFileManager('a flush on the calling thread makes commits as durable, where there is one', async (storage) => {
  const options = { ...ROOMY, blockingFlush: true };
  const log = await storage.open({ options });
  await Promise.all(Array.from({ length: 50 }, (_, i) => log.append(`entry ${i}`)));
  await writeEntry(log, 'a', pattern(20_000));
  assert.equal((await (await storage.crash()).contents(ROOMY)).length, 51);
});

forEachFileManager('a slow disk delays commits, but not the rest of the program', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const commits = Array.from({ length: 20 }, (_, i) => log.append(`${i}`));
  assert.equal(await isSettled(Promise.race(commits)), false);
  gate.open();
  assert.deepEqual((await Promise.all(commits)).map(({ id }) => id), Array.from({ length: 20 }, (_, i) => i + 1));
});

forEachFileManager('the figures and events of a log say what happened', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  const segments: number[] = [];
  const checkpoints: { segmentId: number; lastId: number }[] = [];
  log.on('segment', ({ segmentId }) => segments.push(segmentId));
  log.on('checkpoint', (event) => checkpoints.push(event));
  const start = log.stats();
  assert.equal(start.nextId, 1);
  await Promise.all([log.append('a'), log.append('b')]);
  const then = log.stats();
  assert.equal(then.commits - start.commits, 2);
  assert.equal(then.flushes - start.flushes, 1);
  assert.equal(then.flushedBytes - start.flushedBytes, 13 + 2 * 24);
  assert.equal(then.nextId, 3);
  const checkpointed = once(log, 'checkpoint');
  await log.checkpointActive();
  await checkpointed;
  assert.deepEqual(segments, [3]);
  assert.deepEqual(checkpoints, [{ segmentId: 1, lastId: 2 }]);
  assert.equal(log.stats().segmentsToCheckpoint, 0);
  await until(() => log.stats().segmentsRecycled === 1);
  assert.ok(log.stats().segmentsCreated >= 2);
  assert.ok(log.stats().spareSegments >= 1);
});

inMemory('commits counts the entries that were committed, and nothing else', async (storage) => {
  const log = await storage.open();
  assert.equal(log.stats().commits, 0);
  await log.append('one');
  await log.checkpointActive();
  await log.append('two');
  assert.equal(log.stats().commits, 2);
});

const small = { weight: 5, arbitrary: fc.nat({ max: 400 }) };
const large = { weight: 1, arbitrary: fc.nat({ max: 12_000 }) };
const sizes = fc.array(fc.oneof(small, large), { maxLength: 4 });
const writing = fc.constantFrom('append' as const, 'append' as const, 'commit' as const, 'rollback' as const);
const other = fc.constantFrom('rotate' as const, 'reopen' as const, 'crash' as const);
const action = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: writing, sizes }) },
  { weight: 1, arbitrary: fc.record({ kind: other, sizes: fc.constant<number[]>([]) }) },
);

inMemory('whatever else happens in between, each commit is handed over once and in order', async (base) => {
  let run = 0;
  await fc.assert(fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
    let storage = new Storage(base.fileManager, `/run-${run++}`);
    const committed: SeenEntry[] = [];
    let manager = new RecordingManager();
    let log = await storage.open({ manager });
    const handedOver: SeenEntry[] = [];
    const leave = async (): Promise<void> => {
      await storage.shutDown();
      handedOver.push(...manager.checkpoints.flatMap(({ entries }) => entries));
      manager = new RecordingManager();
    };
    for (const [i, { kind, sizes: lengths }] of actions.entries()) {
      const data = lengths.map((length, j) => pattern(length, i * 10 + j + 1).toString('hex').slice(0, length));
      if (kind === 'append') committed.push({ id: (await log.append(data)).id, chunks: data });
      else if (kind === 'commit') committed.push({ id: await writeEntry(log, ...data), chunks: data });
      else if (kind === 'rollback') {
        const writer = await log.beginEntry();
        for (const chunk of data) await writer.writeChunk(chunk);
        await writer.rollback();
      } else if (kind === 'rotate') await log.checkpointActive();
      else {
        if (kind === 'crash') {
          await checkpointed(log);
          const crashed = await storage.crash();
          await leave();
          storage = crashed;
        } else await leave();
        log = await storage.open({ manager });
        assert.deepEqual([...handedOver, ...manager.recovered], committed);
      }
    }
    await leave();
    assert.deepEqual([...handedOver, ...(await storage.contents())], committed);
  }), { numRuns: 60 });
});

inMemory('entries of ten segments are all there, whichever of the files were recycled', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  const ids: number[] = [];
  for (let i = 0; i < 10; i++) ids.push(...await fillSegment(log, 40));
  await log.shutdown();
  const left = (await storage.contents()).map(({ id }) => id);
  assert.deepEqual([...manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id)), ...left], ids);
});
