/** Merging, snapshots and retention of an archive, while it is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArchiveReader } from '../../src/archive/index.js';
import { decodeIndex } from '../../src/archive/index-format.js';
import { hanging, newLog, openArchive, settled, stoppedArchive, textsIn } from '../tools/archive-tools.js';
import { slotsIn } from '../tools/archived-entries.js';
import { FaultyStore } from '../tools/faulty-store.js';

async function* state(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

function keysIn(store: FaultyStore, folder: string): string[] {
  return [...store.objects.keys()].filter((key) => key.startsWith(`a/${folder}/`)).sort();
}

/** The entries `first` to `last` as the tests write them. */
function texts(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_item, i) => `${first + i} entry ${first + i}`);
}

test('many small slots are left to readers one by one, or lost when they are merged', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  for (let i = 1; i <= 600; i++) await archive.archived((await log.append(`entry ${i}`)).id);
  await settled();
  assert.deepEqual(await textsIn(store), texts(1, 600));
  const objects = keysIn(store, 'log').length + keysIn(store, 'runs').length;
  assert.ok(objects < 260, `${objects} objects`);
  assert.equal(keysIn(store, 'runs').length, 1);
  const slots = await slotsIn(store, 'a');
  assert.deepEqual(slots.map(({ slot }) => slot), slots.map((_slot, i) => i + 1));
  // What merging leaves is what a reader takes for sound.
  const reader = await ArchiveReader.open(store, { prefix: 'a' });
  const ids: number[] = [];
  for await (const { id } of reader.entries()) ids.push(id);
  assert.equal(ids.length, 600);
  const { problems } = await reader.verify();
  assert.deepEqual(problems, []);
});

test('entries that a snapshot has are kept for ever, or those that it has not are dropped', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { keep: { snapshots: 1 }, maxBytes: 4096 });
  for (let i = 1; i <= 10; i++) await archive.archived((await log.append(`entry ${i}`)).id);
  await archive.snapshot(4, state('x'.repeat(10_000)));
  // The run has entries that the snapshot has, but others as well.
  assert.deepEqual((await textsIn(store)).slice(-6), texts(5, 10));
  assert.equal(keysIn(store, 'snapshots').length, 3);
  await archive.archived((await log.append('entry 11')).id);
  await archive.snapshot(10, state('y'));
  assert.deepEqual((await textsIn(store)).at(-1), '11 entry 11');
  await archive.snapshot(11, state('z'));
  assert.deepEqual(await textsIn(store), []);
  assert.equal(keysIn(store, 'snapshots').length, 1);
  // What begins an epoch stays: a writer that has stopped may still come to its slot.
  assert.equal(keysIn(store, 'log').filter((key) => key.endsWith('0001')).length, 1);
  await archive.archived((await log.append('entry 12')).id);
  assert.deepEqual(await textsIn(store), texts(12, 12));
});

test('something is dropped although no limit was set', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  for (let i = 1; i <= 5; i++) {
    await log.append(`entry ${i}`);
    await archive.snapshot(i, state(`state ${i}`));
  }
  assert.deepEqual(await textsIn(store), texts(1, 5));
  assert.equal(keysIn(store, 'snapshots').length, 5);
});

test('the state at some moment that was to be kept cannot be restored any more', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store, { keep: { ms: 1000 } });
  for (let i = 1; i <= 4; i++) {
    await archive.archived((await log.append(`entry ${i}`)).id);
    await archive.snapshot(i, state(`state ${i}`));
    environment.advance(600);
  }
  // Taken at 0, 600, 1200 and 1800: what was at 800 is restored from the second.
  const index = decodeIndex((await slotsIn(store, 'a')).findLast(({ kind }) => kind === 'index') ?? assert.fail());
  assert.deepEqual(index.snapshots.map(({ time }) => time), [600, 1200, 1800]);
  assert.deepEqual((await textsIn(store)).slice(-2), texts(3, 4));
});

test('a snapshot that fails half way leaves its parts, or takes the place of the one before', async () => {
  const log = await newLog({ entries: ['entry 1'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { maxBytes: 4096 });
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield* state('x'.repeat(9000));
    throw new Error('the database is closed');
  }
  await assert.rejects(archive.snapshot(1, broken()), /the database is closed/);
  assert.deepEqual(keysIn(store, 'snapshots'), []);
  await assert.rejects(archive.snapshot(2, state('too early')), /RangeError: lastId is 2, but the log ends with 1/);
  await archive.snapshot(1, state('whole'));
  await log.append('entry 2');
  await archive.snapshot(2, state('later'));
  await assert.rejects(archive.snapshot(1, state('late')), /RangeError: lastId is 1, but there is a snapshot of 2/);
});

test('what a process that died has left, and nothing names, stays for ever', async () => {
  const log = await newLog({ entries: ['entry 1'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(1);
  // It dies after it has stored the snapshot, and a run, and before the index that names them.
  store.before = ({ operation, body }) => {
    return operation === 'create' && String(body).startsWith('{"format":1,"kind":"index"') ? hanging() : undefined;
  };
  archive.snapshot(1, state('never named')).catch(() => undefined);
  await settled();
  assert.deepEqual([keysIn(store, 'runs').length, keysIn(store, 'snapshots').length], [1, 1]);
  store.before = () => undefined;
  const left = [...keysIn(store, 'runs'), ...keysIn(store, 'snapshots')];
  const { archive: next } = await openArchive(await newLog({ entries: ['entry 1'] }), store);
  await next.snapshot(1, state('named'));
  assert.deepEqual(left.filter((key) => store.objects.has(key)), []);
  assert.deepEqual(await textsIn(store), texts(1, 1));
});

test('a writer that has stopped across a failover and retention creates a slot that was deleted', async () => {
  const store = new FaultyStore();
  const { archive, goOn } = await stoppedArchive(store);
  const successor = await newLog();
  const { archive: next } = await openArchive(successor, store, { keep: { snapshots: 1 } });
  for (let i = 1; i <= 3; i++) await next.archived((await successor.append(`entry ${i}`)).id);
  await next.snapshot(3, state('state'));
  goOn();
  await assert.rejects(archive.archived(1), { code: 'ARCHIVE_FENCED' });
  await next.archived((await successor.append('entry 4')).id);
  assert.deepEqual(await textsIn(store), texts(4, 4));
});

test('a slot as large as a run is copied into one, or deleted as if it had been', async () => {
  const log = await newLog({ options: { maxPendingBytes: 1 << 20 } });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { maxBytes: 4096 });
  await archive.archived((await log.append('small')).id);
  await archive.archived((await log.append('L'.repeat(3000))).id);
  await archive.archived((await log.append('S'.repeat(9000))).id);
  await archive.snapshot(3, state('state'));
  await archive.snapshot(3, state('another'));
  assert.deepEqual((await textsIn(store)).map((text) => text.length), ['1 small'.length, 3002, 9002]);
  const large = [...store.objects].filter(([, bytes]) => Buffer.from(bytes).includes('L'.repeat(3000)));
  assert.deepEqual(large.map(([key]) => key), ['a/log/0000000000000003']);
});

test('a store that allows no deletion stops shipping, or snapshots', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store, { keep: { snapshots: 1 } });
  store.before = ({ operation }) => {
    if (operation !== 'delete') return;
    setImmediate(() => environment.advance(10_000));
    throw new Error('403 Forbidden');
  };
  await archive.archived((await log.append('entry 1')).id);
  await archive.snapshot(1, state('state'));
  await archive.archived((await log.append('entry 2')).id);
  assert.deepEqual(await textsIn(store), texts(2, 2));
});
