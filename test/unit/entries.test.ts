/** Iterating over the entries of a log that is open. Waiting for those to come is in follow.test.ts. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { EntriesOptions } from '../../src/index.js';
import {
  checkpointAll, checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, pattern,
  RecordingManager, type Storage, turns, until,
} from '../tools/helpers.js';
import { KeepingManager, nextEntry, range, readEntries, readIds, takeIds } from '../tools/iterating.js';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0', import.meta.url));

async function copyFixture(storage: Storage, name: string): Promise<void> {
  const directory = `${FIXTURES}/${name}/log`;
  for (const file of readdirSync(directory)) await storage.put(file, readFileSync(`${directory}/${file}`));
}

forEachFileManager('an iteration misses nothing and repeats nothing, from any id, over many segments', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const written = [];
  for (let i = 1; i <= 60; i++) {
    const data = `entry ${i} ${'x'.repeat((i * 37) % 500)}`;
    written.push({ id: (await log.append(data)).id, chunks: [data] });
  }
  assert.deepEqual(await readEntries(log), written);
  for (const from of [1, 2, 30, 59, 60]) {
    assert.deepEqual(await readEntries(log, { from }), written.filter(({ id }) => id >= from), `from ${from}`);
  }
  assert.deepEqual(await readEntries(log, { from: 61 }), [], 'from the next id there is nothing yet');
});

forEachFileManager('an iteration shows after reopening what it showed before', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  for (let i = 0; i < 3; i++) await fillSegment(log);
  await log.append(['two', 'chunks']);
  await log.appendBatch(['a', ['b', 'c'], []]);
  const before = await readEntries(log);
  await log.shutdown();
  const again = await storage.open({ manager: new KeepingManager() });
  assert.deepEqual(await readEntries(again), before);
  const { id } = await again.append('new');
  assert.deepEqual(await readIds(again), [...before.map((entry) => entry.id), id]);
});

forEachFileManager('an iteration goes on behind a segment that was full when the log was opened', async (storage) => {
  const full = { preallocateBytes: 4096, checkpointAfterBytes: 4095 };
  const first = await storage.open({ options: full });
  // Nothing fits behind it, not even the link with which a log goes on.
  await first.append(pattern(4096 - 62 - 13 - 23 - 20));
  const crashed = await storage.crash();
  const log = await crashed.open({ manager: new KeepingManager(), options: full });
  const { id, chunks: [{ position }] } = await log.append('in the next segment');
  assert.notEqual(position.segmentId, 1);
  assert.deepEqual(await readIds(log), [1, id]);
  const follower = log.entries({ from: 1, follow: true });
  assert.deepEqual(await takeIds(follower, 2), [1, id]);
  await follower.return?.();
});

inMemory('an iteration from an id that was skipped begins with the next one', async (storage) => {
  const log = await storage.open();
  await log.append('one');
  const writer = await log.beginEntry();
  await writer.rollback();
  await log.append('three');
  assert.deepEqual(await readIds(log, { from: 2 }), [3]);
  assert.deepEqual(await readIds(log), [1, 3]);
});

inMemory('an iteration shows an entry whose commit has not been heard of yet only if it is durable', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('durable');
  let letGo!: () => void;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  faulty.before = ({ operation }) => (operation === 'sync' ? held : undefined);
  const pending = log.append('written, not synced');
  await turns();
  assert.deepEqual(await readIds(log), [1]);
  letGo();
  await pending;
  assert.deepEqual(await readIds(log), [1, 2]);
});

forEachFileManager('an entry that was checkpointed is refused, and by default the iteration begins behind it', async (storage) => {
  const log = await storage.open();
  const gone = await fillSegment(log);
  await checkpointAll(log);
  const { id } = await log.append('there');
  await assert.rejects(readIds(log, { from: gone[0] }), { name: 'WalError', code: 'WAL_POSITION_GONE' });
  assert.equal((await readIds(log)).at(-1), id);
});

inMemory('the segments behind the one that is read may go, and then the iteration says so', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const ids: number[] = [];
  for (let i = 0; i < 4; i++) ids.push(...await fillSegment(log));
  await log.checkpointActive();
  const iterator = log.entries();
  const read = await takeIds(iterator, 1);
  manager.letGo();
  await checkpointed(log);
  await assert.rejects(async () => {
    for await (const entry of iterator) read.push(entry.id);
  }, { name: 'WalError', code: 'WAL_POSITION_GONE' });
  assert.deepEqual(read, range(1, read.length), 'the segment that was being read stays whole');
  assert.ok(read.length > 1 && read.length < ids.length);
  assert.deepEqual(await iterator.next(), { done: true, value: undefined }, 'after its end it stays ended');
});

inMemory('an iteration left in the middle does not keep its segment from being used again', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await fillSegment(log);
  for await (const entry of log.entries()) if (entry.id === 2) break;
  manager.letGo();
  await until(() => log.stats().segmentsRecycled === 1);
});

inMemory('an iteration that is under way keeps its segment from being used again until it ends', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two']);
  await log.checkpointActive();
  const iterator = log.entries();
  await takeIds(iterator, 1);
  await log.truncateBefore(log.stats().nextId);
  await turns();
  assert.equal(log.stats().segmentsRecycled, 0);
  await iterator.return?.();
  await until(() => log.stats().segmentsRecycled === 1);
});

inMemory('calls of next that do not wait for each other get entries in order, each once', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  for (let i = 0; i < 30; i++) await log.append('x'.repeat(300));
  await log.sync();
  const iterator = log.entries();
  const results = await Promise.all(range(1, 31).map(() => nextEntry(iterator)));
  assert.deepEqual(results.map((entry) => entry?.id), [...range(1, 30), undefined]);
});

inMemory('an iteration whose log is shut down or fails says so and lets go of everything', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  for (let i = 0; i < 3; i++) await log.append('entry');
  const iterator = log.entries();
  await takeIds(iterator, 1);
  await log.shutdown();
  await assert.rejects(async () => iterator.next(), { code: 'WAL_CLOSED' });
  await assert.rejects(readIds(log), { code: 'WAL_CLOSED' });
  assert.equal(faulty.openHandles, 0);

  const second = await storage.open();
  await second.append('entry');
  const other = second.entries({ from: second.durableId });
  faulty.before = ({ operation }) => {
    if (operation === 'sync') throw Object.assign(new Error('injected'), { code: 'EIO' });
  };
  await assert.rejects(second.append('lost'), { code: 'WAL_FAILED' });
  await assert.rejects(other.next(), { code: 'WAL_FAILED' });
});

inMemory('an aborted signal ends an iteration with its reason, and nobody listens to it any more', async (storage) => {
  const log = await storage.open();
  await log.appendBatch(['one', 'two']);
  const controller = new AbortController();
  const iterator = log.entries({ signal: controller.signal });
  await takeIds(iterator, 1);
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(iterator.next(), reason);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  await assert.rejects(readIds(log, { signal: AbortSignal.abort(reason) }), reason);
});

inMemory('arguments that make no sense are refused before anything is read', async (storage) => {
  const log = await storage.open();
  const refused = async (options: unknown, error: object): Promise<void> => {
    await assert.rejects(async () => readIds(log, options as EntriesOptions), error, JSON.stringify(options));
  };
  await refused({ from: '1' }, TypeError);
  await refused({ from: 1.5 }, RangeError);
  await refused({ from: -1 }, RangeError);
  await refused({ from: NaN }, RangeError);
  await refused({ follow: 1 }, TypeError);
  await refused({ signal: {} }, TypeError);
  await refused({ from: 2 }, { code: 'WAL_OUT_OF_RANGE' });
});

forEachFileManager('damage in a segment is not taken for its end', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const ids = await fillSegment(log);
  const [{ position }] = (await log.append('in the next')).chunks;
  assert.notEqual(position.segmentId, 1);
  await storage.damage('wal-1', 1200);
  const read: number[] = [];
  await assert.rejects(async () => {
    for await (const entry of log.entries()) read.push(entry.id);
  }, { name: 'WalError', code: 'WAL_CORRUPT', segmentId: 1 });
  assert.deepEqual(read, ids.slice(0, read.length));
});

forEachFileManager('a segment file that was cut off behind an entry is damaged, not a reason to wait for ever', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const { chunks: [{ position }] } = await log.append('x'.repeat(200));
  const secondStart = position.offset + 9 + 200 + 5;
  await fillSegment(log);
  await storage.put('wal-1', (await storage.get('wal-1')).subarray(0, secondStart - 9 - 5 + 4 + 9 + 5));
  await assert.rejects(readIds(log), { name: 'WalError', code: 'WAL_CORRUPT', segmentId: 1 });
});

for (const name of ['small', 'segments', 'recycled', 'torn', 'large']) {
  inMemory(`an iteration shows what recovery shows of the predecessor's directory '${name}'`, async (storage) => {
    await copyFixture(storage, name);
    const manager = new KeepingManager();
    const log = await storage.open({ manager });
    assert.deepEqual(await readEntries(log), manager.recovered);
    const { id } = await log.append('format 1');
    assert.deepEqual(await readIds(log), [...manager.recoveredIds, id]);
  });
}

inMemory('a damaged chunk of the predecessor is not an entry because its checksum looks like the end of one', async (storage) => {
  await copyFixture(storage, 'segments');
  const log = await storage.open({ manager: new KeepingManager() });
  const iterator = log.entries();
  await takeIds(iterator, 1);
  const second = await nextEntry(iterator);
  assert.ok(second !== undefined);
  const { value: chunk } = await second[Symbol.asyncIterator]().next();
  assert.ok(chunk !== undefined);
  await iterator.return?.();
  const name = `wal-${chunk.position.segmentId}`;
  const bytes = await storage.get(name);
  // The first byte of the chunk's checksum becomes the marker that ends an entry.
  bytes[chunk.position.offset + 5 + chunk.length] = 3;
  await storage.put(name, bytes);
  const read: number[] = [];
  await assert.rejects(async () => {
    for await (const entry of log.entries()) read.push(entry.id);
  }, { code: 'WAL_CORRUPT' });
  assert.deepEqual(read, [second.id - 1]);
});

inMemory('the memory of an iteration does not grow with the log', async (storage) => {
  const options = { preallocateBytes: 1024 * 1024, bufferBytes: 16 * 1024 };
  const log = await storage.open({ manager: new KeepingManager(), options: { ...options, checkpointAfterBytes: 512 * 1024 } });
  for (let i = 0; i < 300; i++) await log.append(pattern(30_000, i));
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for await (const entry of log.entries()) {
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    assert.equal(typeof entry.id, 'number');
  }
  assert.ok(most < 3 * 1024 * 1024, `${most} bytes more`);
});

inMemory('an entry can be read in part, in pieces or not at all without disturbing those behind it', async (storage) => {
  const log = await storage.open({ manager: new RecordingManager(), options: { preallocateBytes: 65536, checkpointAfterBytes: 60000 } });
  await log.append(['a', pattern(20_000), 'b']);
  await log.append(['c']);
  await log.append(['d', 'e']);
  const lengths: number[] = [];
  for await (const entry of log.entries()) {
    if (entry.id === 2) continue;
    for await (const chunk of entry) {
      let length = 0;
      for await (const piece of chunk) length += piece.length;
      lengths.push(length);
      if (entry.id === 3) break;
    }
  }
  assert.deepEqual(lengths, [1, 20_000, 1, 1]);
});

forEachFileManager('chunks in memory differ from those that are read, change later, or are not there', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: { preallocateBytes: 65536, checkpointAfterBytes: 60_000 } });
  const written = [[pattern(200, 1)], [], [pattern(0), pattern(700, 2)], [pattern(20_000, 3), pattern(3)], [pattern(9, 4)]];
  for (const chunks of written) await log.append(chunks);
  const found: (Uint8Array[] | undefined)[] = [];
  for await (const entry of log.entries()) {
    const inMemory = entry.chunksInMemory();
    if (inMemory !== undefined) assert.deepEqual(inMemory, await entry.readAllChunks());
    found.push(inMemory);
    const visited: [string, string][] = [];
    const isVisited = entry.visitInMemory((data, position) => {
      visited.push([Buffer.from(data).toString('hex'), Buffer.from(position.serialize()).toString('hex')]);
    });
    const iterated: [string, string][] = [];
    for await (const chunk of entry) {
      const data = Buffer.from(await chunk.readAll()).toString('hex');
      iterated.push([data, Buffer.from(chunk.position.serialize()).toString('hex')]);
    }
    assert.equal(isVisited, inMemory !== undefined);
    assert.deepEqual(visited, isVisited ? iterated : []);
  }
  // The buffers of this log do not hold the largest.
  const expected = written.map((chunks, i) => (i === 3 ? undefined : chunks.map((chunk) => chunk.toString('hex'))));
  assert.deepEqual(found.map((chunks) => chunks?.map((chunk) => Buffer.from(chunk).toString('hex'))), expected);
});
