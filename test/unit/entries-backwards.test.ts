/** Entries by their ids, the last entry, and iterations that go backwards. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { WriteAheadLog } from '../../src/index.js';
import type { EntriesOptions, Entry, ReadOnlyLog, WalOptions } from '../../src/index.js';
import { Gate } from '../tools/faulty-file-manager.js';
import {
  fillSegment, forEachFileManager, HoardingManager, inMemory, pattern, RecordingManager, Storage, until,
} from '../tools/helpers.js';
import { KeepingManager, nextEntry, range, readEntries, seen } from '../tools/iterating.js';

const FORMAT_0 = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0/', import.meta.url));
/** Several groups of entries fit into one segment. */
const LARGE: WalOptions = { preallocateBytes: 1024 * 1024 };

type Readable = Pick<WriteAheadLog, 'entry' | 'lastEntry'> & { entries(options: EntriesOptions): AsyncIterable<Entry> };

async function backwards(log: Readable, options: EntriesOptions = {}): Promise<Awaited<ReturnType<typeof seen>>[]> {
  const entries = [];
  for await (const entry of log.entries({ ...options, reverse: true })) entries.push(await seen(entry));
  return entries;
}

async function idsBackwards(log: Readable, options: EntriesOptions = {}): Promise<number[]> {
  return (await backwards(log, options)).map(({ id }) => id);
}

function openReadOnly({ directory, fileManager }: Storage): Promise<ReadOnlyLog> {
  return WriteAheadLog.openReadOnly(directory, { fileManager, bufferBytes: 4096 });
}

/** Runs a check on the log, and on a reader of it. */
async function onBoth(storage: Storage, log: WriteAheadLog, check: (log: Readable) => Promise<void>): Promise<void> {
  await check(log);
  const reader = await openReadOnly(storage);
  await check(reader);
  await reader.close();
}

/** Entries of all sizes in several segments, with batches, several chunks, and ids that no entry has. */
async function fill(log: WriteAheadLog): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const text = `${i} `.repeat(i % 7 === 0 ? 100 : i % 5);
    if (i % 10 === 0) await log.appendBatch([text, 'second', ['third', text]]);
    else if (i % 11 === 0) await (await log.beginEntry()).rollback();
    else if (i % 13 === 0) await log.skipTo(log.stats().nextId + 5);
    else await log.append([text, '', `${i}`]);
  }
}

forEachFileManager('backwards, entries are missing, or other than forwards', async (storage) => {
  for (const [name, options] of [['small', {}], ['large', LARGE]] as const) {
    const { fileManager, directory } = storage;
    const place = new Storage(fileManager, `${directory}-${name}`);
    const log = await place.open({ manager: new KeepingManager(), options });
    log.on('checkpointFailed', () => undefined);
    assert.deepEqual(await backwards(log), []);
    assert.equal(await log.lastEntry(), undefined);
    await fill(log);
    if (name === 'large') {
      const large = [pattern(200_000), ...range(1, 4000).map((i) => pattern(20 + (i % 50), i)), pattern(150_000)];
      await log.appendBatch([...large.map((bytes) => bytes.toString('latin1')), 'x']);
    }
    await log.append('the last');
    const expected = await readEntries(log);
    await onBoth(place, log, async (readable) => {
      assert.deepEqual(await backwards(readable), [...expected].reverse());
      const last = await readable.lastEntry();
      assert.deepEqual(last && await seen(last), expected.at(-1));
    });
    await log.shutdown();
  }
});

forEachFileManager('an iteration that goes back from an id begins elsewhere, or one from nonsense begins', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  log.on('checkpointFailed', () => undefined);
  await fill(log);
  const { chunks: [first], id: lastId } = await log.append('the last');
  const ids = (await readEntries(log)).map(({ id }) => id);
  await onBoth(storage, log, async (readable) => {
    for (const from of [1, 2, 15, 16, ids[20], ids[40], ids[40] + 1, lastId, lastId + 1]) {
      assert.deepEqual(await idsBackwards(readable, { from }), ids.filter((id) => id <= from).reverse(), `from ${from}`);
    }
    assert.deepEqual(await idsBackwards(readable, { from: 0 }), []);
    assert.deepEqual(await idsBackwards(readable, { from: first.position }), [...ids].reverse());
    await assert.rejects(async () => {
      for await (const _ of readable.entries({ reverse: 1 as never }));
    }, /TypeError: reverse must be a boolean, not 1/);
  });
  assert.throws(() => log.entries({ from: lastId + 2, reverse: true }), { code: 'WAL_OUT_OF_RANGE' });
  assert.throws(() => log.entries({ follow: true, reverse: true }), /RangeError: follow and reverse exclude each other/);
  const controller = new AbortController();
  const entries = log.entries({ reverse: true, signal: controller.signal });
  assert.equal((await nextEntry(entries))?.id, lastId);
  controller.abort(new Error('enough'));
  await assert.rejects(entries.next(), /enough/);
  assert.equal(log.stats().readers, 0);
  for await (const entry of log.entries({ reverse: true })) if (entry.id < 20) break;
  assert.equal(log.stats().readers, 0);
});

forEachFileManager('an entry by its id is another, or one that no one has', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  log.on('checkpointFailed', () => undefined);
  await fill(log);
  const entries = await readEntries(log);
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const { nextId } = log.stats();
  await onBoth(storage, log, async (readable) => {
    for (const id of range(1, nextId - 1)) {
      const entry = await readable.entry(id);
      assert.deepEqual(entry && await seen(entry), byId.get(id));
      if (entry !== undefined) assert.deepEqual(entry.endsBatch, (await readable.entry(id))?.endsBatch);
    }
    await assert.rejects(readable.entry(nextId), { code: 'WAL_OUT_OF_RANGE' });
    await assert.rejects(readable.entry(-1), RangeError);
    await assert.rejects(readable.entry('1' as never), TypeError);
    const signal = AbortSignal.abort(new Error('too late'));
    await assert.rejects(readable.entry(1, { signal }), /too late/);
    await assert.rejects(readable.lastEntry({ signal }), /too late/);
  });
  assert.equal(log.stats().readers, 0);
});

forEachFileManager('an entry that was asked for by itself cannot be read once its segment is reused', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const large = pattern(3000).toString('hex');
  const { chunks } = await log.append(['one', '', large]);
  const [entry, last] = [await log.entry(1), await log.lastEntry()];
  manager.letGo();
  await log.checkpoint();
  for (let i = 0; i < 4; i++) await fillSegment(log);
  for (const held of [entry, last]) {
    assert.ok(held !== undefined);
    assert.deepEqual(await seen(held), { id: 1, chunks: ['one', '', large] });
    assert.deepEqual(held.chunksInMemory()?.map(String), ['one', '', large]);
    const visited: (readonly [string, number])[] = [];
    assert.ok(held.visitInMemory((data, { offset }) => void visited.push([Buffer.from(data).toString(), offset])));
    assert.deepEqual(visited, chunks.map(({ position: { offset } }, i) => [['one', '', large][i], offset]));
    for await (const chunk of held) {
      const pieces: Uint8Array[] = [];
      for await (const piece of chunk) pieces.push(piece);
      assert.deepEqual(Buffer.concat(pieces), await chunk.readAll());
    }
    // What a caller does to its bytes is no concern of the next.
    (await held.readAllChunks())[0].fill(0);
    assert.equal((await held.text()).slice(0, 3), 'one');
  }
  await assert.rejects(log.entry(1), { code: 'WAL_POSITION_GONE' });
});

inMemory('what is not durable, or of a log that is closed, is shown', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append('one');
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined);
  const appending = log.append('two');
  await until(() => gate.arrivals === 1);
  await assert.rejects(log.entry(2), { code: 'WAL_NOT_DURABLE' });
  assert.equal((await log.lastEntry())?.id, 1);
  assert.deepEqual(await idsBackwards(log), [1]);
  gate.open();
  await appending;
  const entries = log.entries({ reverse: true });
  assert.equal((await nextEntry(entries))?.id, 2);
  await log.shutdown();
  await assert.rejects(entries.next(), { code: 'WAL_CLOSED' });
  await assert.rejects(log.entry(1), { code: 'WAL_CLOSED' });
  await assert.rejects(log.lastEntry(), { code: 'WAL_CLOSED' });
});

forEachFileManager('a truncation in the middle of going back shows what was dropped, or hides what was not', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: LARGE });
  log.on('checkpointFailed', () => undefined);
  for (const id of range(1, 10)) await log.append(`old ${id}`);
  const before = log.entries({ reverse: true });
  await log.truncateAfter(8);
  await log.append('new');
  const newest = log.durableId;
  // Begun before, but nothing of it was shown.
  assert.equal((await nextEntry(before))?.id, newest);
  const after = log.entries({ reverse: true, from: 5 });
  assert.equal((await nextEntry(after))?.id, 5);
  await log.truncateAfter(6);
  // Nothing that was shown was dropped here, and there it was.
  assert.equal((await nextEntry(after))?.id, 4);
  await assert.rejects(before.next(), { code: 'WAL_POSITION_GONE' });
  assert.deepEqual(await idsBackwards(log), [6, 5, 4, 3, 2, 1]);
  // Passed over by the truncation, as the id of the segment that it began.
  assert.equal(await log.entry(8), undefined);
  await log.truncateAfter(3);
  await assert.rejects(after.next(), { code: 'WAL_POSITION_GONE' });
  await log.truncateAfter(0);
  assert.equal(await log.lastEntry(), undefined);
});

inMemory('a truncation while a segment is read backwards from its front goes unnoticed', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options: LARGE });
  log.on('checkpointFailed', () => undefined);
  for (const id of range(1, 10)) await log.append(`old ${id}`);
  const gate = new Gate();
  let isFirst = true;
  faulty.before = ({ operation, name }) => {
    if (operation !== 'read' || name !== 'wal-1' || !isFirst) return undefined;
    isFirst = false;
    return gate.pass();
  };
  const entries = log.entries({ reverse: true });
  const first = nextEntry(entries);
  await until(() => gate.arrivals > 0);
  await log.truncateAfter(4);
  gate.open();
  assert.deepEqual([(await first)?.id, (await nextEntry(entries))?.id, (await nextEntry(entries))?.id], [4, 3, 2]);
});

forEachFileManager('a checkpoint in the middle of going back shows other entries, or ends in an error', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const ids: number[] = [];
  for (let i = 0; i < 4; i++) ids.push(...await fillSegment(log));
  ids.push((await log.append('the last')).id);
  const entries = log.entries({ reverse: true });
  const shown = [(await nextEntry(entries))?.id];
  manager.letGo();
  await log.checkpoint();
  for await (const entry of entries) {
    shown.push(entry.id);
    assert.notEqual((await entry.readAllChunks())[0].length, 0);
  }
  // What its own segment holds is read to the end; the ones before it have gone.
  assert.deepEqual(shown, [...ids].reverse().slice(0, shown.length));
  assert.ok(shown.length < ids.length);
  assert.deepEqual(await idsBackwards(log), []);
  assert.equal(await log.lastEntry(), undefined);
  await assert.rejects(idsBackwards(log, { from: 1 }), { code: 'WAL_POSITION_GONE' });
});

forEachFileManager('a segment that is read backwards is reused before all of it was read', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager, options: LARGE });
  await log.appendBatch(range(1, 300).map((i) => pattern(1000, i)));
  const entries = log.entries({ reverse: true });
  const shown = [(await nextEntry(entries))?.id];
  manager.letGo();
  await log.checkpoint();
  await log.append('in another segment');
  await log.checkpoint();
  for await (const { id } of entries) shown.push(id);
  assert.deepEqual(shown, range(1, 300).reverse());
});

forEachFileManager('what a hold keeps is not found backwards, or by its id', async (storage) => {
  const log = await storage.open({ manager: new RecordingManager() });
  await log.hold('reader', { from: 1 });
  await log.appendBatch(['one', 'two', 'three']);
  await log.checkpoint();
  assert.deepEqual(await idsBackwards(log), [3, 2, 1]);
  assert.equal(await (await log.entry(2))?.text(), 'two');
  assert.equal(await (await log.lastEntry())?.text(), 'three');
});

forEachFileManager('damage goes unnoticed backwards', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  log.on('checkpointFailed', () => undefined);
  const ids = [...await fillSegment(log), ...await fillSegment(log)];
  ids.push((await log.append('the last')).id);
  const [first, second, third] = log.stats().segments;
  assert.ok(third.lastId > second.lastId);
  await storage.damage(`wal-${second.segmentId}`, 500);
  const shown: number[] = [];
  const read = async (entries: AsyncIterable<Entry>): Promise<void> => {
    shown.length = 0;
    for await (const { id } of entries) shown.push(id);
  };
  await assert.rejects(read(log.entries({ reverse: true })), { code: 'WAL_CORRUPT' });
  assert.deepEqual(shown, ids.filter((id) => id > second.lastId).reverse());
  await read(log.entries({ reverse: true, from: first.lastId }));
  assert.deepEqual(shown, ids.filter((id) => id <= first.lastId).reverse());
  const outcomes = await Promise.all(ids.map((id) => log.entry(id).then(
    (entry) => (entry?.id === id ? 'found' : 'missing'), (error: { code: string }) => error.code,
  )));
  assert.deepEqual([...new Set(outcomes)].sort(), ['WAL_CORRUPT', 'found']);
  const damage: unknown[] = [];
  const onDamage = (error: unknown): void => void damage.push(error);
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager, onDamage });
  const forwards: number[] = [];
  for await (const { id } of reader) forwards.push(id);
  damage.length = 0;
  await read(reader.entries({ reverse: true }));
  assert.deepEqual(shown, forwards.reverse());
  assert.equal(damage.length, 1);
  await reader.close();
});

forEachFileManager('entries of format 0 are missing backwards, or not found by their ids', async (storage) => {
  const root = path.join(FORMAT_0, 'small', 'log');
  for (const name of fs.readdirSync(root)) await storage.put(name, fs.readFileSync(path.join(root, name)));
  const reader = await openReadOnly(storage);
  const expected = [];
  for await (const entry of reader) expected.push(await seen(entry));
  assert.ok(expected.length > 0);
  assert.deepEqual(await backwards(reader as unknown as Readable), [...expected].reverse());
  for (const entry of expected) {
    const found = await reader.entry(entry.id);
    assert.deepEqual(found && await seen(found), entry);
  }
  await reader.close();
  const log = await storage.open({ manager: new KeepingManager() });
  log.on('checkpointFailed', () => undefined);
  const { id } = await log.append('format 1');
  assert.deepEqual(await idsBackwards(log), [id, ...expected.map((entry) => entry.id).reverse()]);
  assert.deepEqual(await log.entry(expected[0].id).then((entry) => entry && seen(entry)), expected[0]);
});
