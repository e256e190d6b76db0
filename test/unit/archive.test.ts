/** What the writer of an archive promises, on stores that lose, refuse and never answer requests. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Archive, type ArchiveError, type ArchiveEvents, type ArchiveOptions } from '../../src/archive/index.js';
import { LogVoid, MemoryFileManager, WriteAheadLog } from '../../src/index.js';
import { hanging, IDENTITY, newLog, openArchive, opened, OPTIONS, settled, stoppedArchive, textsIn } from '../tools/archive-tools.js';
import type { Beginning } from '../tools/archive-tools.js';
import { entriesIn, slotsIn } from '../tools/archived-entries.js';
import { FaultyStore } from '../tools/faulty-store.js';
import { SMALL } from '../tools/helpers.js';
import { ManualEnvironment } from '../tools/manual-environment.js';

test('an entry is confirmed before it is in the store, or never', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  let answer = (): void => undefined;
  store.before = async () => new Promise<void>((resolve) => (answer = resolve));
  const { id } = await log.append('hello');
  let isConfirmed = false;
  const confirmed = archive.archived(id).then(() => (isConfirmed = true));
  await settled();
  assert.deepEqual([isConfirmed, archive.archivedId, archive.stats().lagEntries], [false, 0, 1]);
  store.before = () => undefined;
  answer();
  await confirmed;
  assert.deepEqual([archive.archivedId, archive.stats().lagEntries, archive.stats().lagMs], [1, 0, 0]);
  assert.deepEqual(await textsIn(store), ['1 hello']);
});

test('a slot whose answer is lost is stored twice, or its entries are never confirmed', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store);
  let losses = 3;
  store.after = ({ operation }) => {
    if (operation === 'create' && losses-- > 0) throw new Error('connection reset');
  };
  const failures: number[] = [];
  archive.on('requestFailed', ({ retryInMs }) => {
    failures.push(retryInMs);
    environment.advance(retryInMs);
  });
  const { id } = await log.append('hello');
  await archive.archived(id);
  assert.deepEqual(failures, [100, 200, 400]);
  await log.append('world').then(({ id: next }) => archive.archived(next));
  assert.deepEqual(await textsIn(store), ['1 hello', '2 world']);
});

test('a request that is never answered stops shipping, or is sent again with other bytes', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store, { timeoutMs: 5000 });
  const bodies: string[] = [];
  store.before = ({ body }) => {
    if (body === undefined) return undefined;
    bodies.push(Buffer.from(body).toString());
    return bodies.length === 1 ? hanging() : undefined;
  };
  const { id } = await log.append('hello');
  await settled();
  await log.append('while it hangs');
  await settled();
  assert.equal(bodies.length, 1);
  environment.advance(5000);
  await settled();
  assert.match(String(archive.stats().lastError), /no answer within 5000 ms/);
  assert.equal(store.requests.at(-1)?.signal.aborted, true);
  environment.advance(100);
  await archive.archived(id + 1);
  assert.equal(bodies[1], bodies[0]);
  assert.equal(archive.stats().lastError, undefined);
  assert.deepEqual(await textsIn(store), ['1 hello', '2 while it hangs']);
});

test('an archive confirms something after another one has taken it over', async () => {
  const store = new FaultyStore();
  const log = await newLog({ entries: ['one'] });
  const { archive } = await openArchive(log, store);
  await archive.archived(1);
  const { archive: next } = await openArchive(await newLog({ entries: ['one'] }), store);
  assert.deepEqual([next.epoch, next.archivedId], [2, 1]);
  const fenced = once(archive, 'fenced');
  await log.appendBatch(['two, of the first', 'three, of the first']);
  const refused: Partial<ArchiveError> = { code: 'ARCHIVE_FENCED' };
  await assert.rejects(archive.archived(2), refused);
  const [{ from, to }] = await fenced as ArchiveEvents['fenced'];
  assert.deepEqual([from, to], [2, 3]);
  await log.append('four, of the first');
  await assert.rejects(archive.archived(4), refused);
  await archive.archived(1);
  assert.deepEqual(await textsIn(store), ['1 one']);
});

test('a writer that is stopped in the middle of a request confirms it when it goes on after a failover', async () => {
  const store = new FaultyStore();
  const { archive, goOn } = await stoppedArchive(store);
  const successor = await newLog();
  const { archive: next } = await openArchive(successor, store);
  await next.archived((await successor.append('of the second')).id);
  goOn();
  await assert.rejects(archive.archived(1), { code: 'ARCHIVE_FENCED' });
  assert.deepEqual(await textsIn(store), ['1 of the second']);
});

const WRONG_LOGS: readonly { what: string; code: string; beginning: Beginning }[] = [
  { what: 'another log', code: 'ARCHIVE_DIVERGED', beginning: { identity: '00000000-0000-4000-8000-000000000002', entries: ['one', 'two', 'three'] } },
  { what: 'a log that has other entries', code: 'ARCHIVE_DIVERGED', beginning: { entries: ['one', 'zwei', 'three'] } },
  { what: 'a log that is older than the archive', code: 'ARCHIVE_AHEAD', beginning: { entries: ['one'] } },
];

for (const { what, code, beginning } of WRONG_LOGS) {
  test(`an archive is taken over by ${what}, or its writer is fenced by the attempt`, async () => {
    const store = new FaultyStore();
    const log = await newLog();
    await log.appendBatch(['one', 'two']);
    const { archive } = await openArchive(log, store);
    await archive.archived(2);
    await assert.rejects(openArchive(await newLog(beginning), store), { code });
    await archive.archived((await log.append('three')).id);
    assert.deepEqual(await textsIn(store), ['1 one', '2 two', '3 three']);
  });
}

test('an archive is taken over although the log no longer has what comes next', async () => {
  const store = new FaultyStore();
  const log = await newLog({ entries: ['one'] });
  const { archive } = await openArchive(log, store);
  await archive.archived(1);
  await archive.close();
  const later = await WriteAheadLog.create('/later', LogVoid, { ...SMALL, fileManager: new MemoryFileManager(), identity: IDENTITY, nextId: 3 });
  opened.push(later);
  await later.append('three');
  await assert.rejects(openArchive(later, store), { code: 'ARCHIVE_GAP' });
});

test('an archive that begins late, with the oldest entry that the log still has, begins with another', async () => {
  const store = new FaultyStore();
  const log = await WriteAheadLog.create('/late', LogVoid, { ...SMALL, fileManager: new MemoryFileManager(), nextId: 7 });
  opened.push(log);
  const { archive } = await openArchive(log, store);
  assert.equal(archive.archivedId, 6);
  await archive.archived((await log.append('seven')).id);
  assert.deepEqual(await textsIn(store), ['7 seven']);
});

test('a store that overwrites what it is to create only once is taken for a safe one', async () => {
  const store = new FaultyStore();
  store.isConditional = false;
  await assert.rejects(openArchive(await newLog(), store), { code: 'ARCHIVE_UNSAFE_STORE' });
  assert.equal(store.requestsOf('create', 'a/log/').length, 0);
});

test('an opening waits for ever for a store that refuses everything', async () => {
  const store = new FaultyStore();
  const environment = new ManualEnvironment();
  store.before = () => {
    setImmediate(() => environment.advance(10_000));
    throw new Error('403 Forbidden');
  };
  await assert.rejects(Archive.openWith(environment, await newLog(), store, OPTIONS), /403 Forbidden/);
  assert.equal(store.requests.length, 5);
});

test('a batch is cut into two slots', async () => {
  const log = await newLog({ options: { maxPendingBytes: 1 << 20 } });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { maxBytes: 4096 });
  const batch = Array.from({ length: 50 }, (_item, i) => `${i} ${'x'.repeat(900)}`);
  const committed = await log.appendBatch(batch);
  await log.append('after it');
  await archive.archived(51);
  const entries = await entriesIn(store, 'a');
  assert.deepEqual(entries.map(({ chunks }) => chunks[0]), [...batch, 'after it']);
  assert.equal(new Set(entries.slice(0, committed.length).map(({ slot }) => slot)).size, 1);
  const slots = await slotsIn(store, 'a');
  const parts = slots.flatMap((slot) => slot.parts ?? []);
  assert.ok(parts.length >= 11, `${parts.length} parts`);
  assert.ok([...store.objects.values()].every(({ length }) => length < 8192), 'an object is larger than it may be');
});

test('an entry that is too large for memory is not archived as it is', async () => {
  const log = await newLog({ options: { maxPendingBytes: 1 << 24 } });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { maxBytes: 4096, compress: 'gzip' });
  const large = ['first', Array.from({ length: 20_000 }, (_item, i) => String(i)).join(' ')];
  await log.append('before');
  await log.append(large);
  await archive.archived(2);
  assert.deepEqual(await textsIn(store), ['1 before', `2 ${large.join('|')}`]);
});

test('entries are sent more often than every `everyMs`, or not after it', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store, { everyMs: 1000 });
  await log.append('at once');
  await archive.archived(1);
  await log.append('later');
  await log.append('together with it');
  await settled();
  environment.advance(999);
  await settled();
  assert.equal(archive.archivedId, 1);
  assert.equal(archive.stats().lagEntries, 2);
  environment.advance(1);
  await archive.archived(3);
  assert.equal((await slotsIn(store, 'a')).length, 3);
});

test('a commit waits for the store, or its segment is freed before it is archived', async () => {
  const log = await WriteAheadLog.create('/log', LogVoid, { ...SMALL, fileManager: new MemoryFileManager() });
  opened.push(log);
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  let goOn = (): void => undefined;
  const stuck = new Promise<void>((resolve) => (goOn = resolve));
  store.before = () => stuck;
  for (let i = 1; i <= 40; i++) await log.append(`${i} ${'x'.repeat(500)}`);
  assert.ok(log.stats().segments.some(({ heldBy }) => heldBy.includes('archive a')), 'nothing is held');
  goOn();
  await archive.archived(40);
  assert.deepEqual((await entriesIn(store, 'a')).map(({ id }) => id), Array.from({ length: 40 }, (_item, i) => i + 1));
});

test('a log fills the disk for an archive that does not get on, or its gap is not reported', async () => {
  const log = await WriteAheadLog.create('/log', LogVoid, { ...SMALL, fileManager: new MemoryFileManager() });
  opened.push(log);
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { holdBytes: 10_000, maxBytes: 4096 });
  let goOn = (): void => undefined;
  const stuck = new Promise<void>((resolve) => (goOn = resolve));
  store.before = () => stuck;
  const broken = once(archive, 'holdBroken');
  const failures: unknown[] = [];
  archive.on('failed', (error) => failures.push(error));
  for (let i = 1; i <= 100; i++) await log.append(`${i} ${'x'.repeat(500)}`);
  await log.checkpoint();
  await broken;
  goOn();
  await settled();
  assert.deepEqual(failures.map((error) => (error as ArchiveError).code), ['ARCHIVE_GAP']);
  await assert.rejects(archive.archived(100), { code: 'ARCHIVE_GAP' });
  assert.ok(log.stats().segments.length < 10);
  // What had been taken before is in the archive, without a gap.
  const ids = (await entriesIn(store, 'a')).map(({ id }) => id);
  assert.deepEqual(ids, Array.from({ length: archive.archivedId }, (_item, i) => i + 1));
});

test('a closing archive forgets what is durable already, or waits for ever for the store', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { everyMs: 60_000 });
  await archive.archived((await log.append('one')).id);
  await log.append('two');
  await archive.close();
  assert.deepEqual(await textsIn(store), ['1 one', '2 two']);
  await assert.rejects(archive.archived(3), { code: 'ARCHIVE_CLOSED' });
  const { archive: next, environment } = await openArchive(log, store, { timeoutMs: 1000 });
  store.before = hanging;
  await log.append('three');
  await settled();
  const waiting = next.archived(3);
  const closing = next.close();
  environment.advance(1000);
  await assert.rejects(waiting, { code: 'ARCHIVE_CLOSED' });
  await closing;
});

test('an archive goes on somewhere else than where it ends', async () => {
  const log = await newLog({ entries: ['one', 'two'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(2);
  await archive.close();
  // The hold says that all is archived; the archive, which was set back, says otherwise.
  const last = [...store.objects.keys()].filter((key) => key.startsWith('a/log/')).sort().at(-1) as string;
  store.objects.delete(last);
  const { archive: again } = await openArchive(log, store);
  await again.archived(2);
  assert.deepEqual(await textsIn(store), ['1 one', '2 two']);
});

test('an archive goes on after the log has been truncated below what it has', async () => {
  const log = await newLog({ entries: ['one', 'two', 'three'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(3);
  const failed = once(archive, 'failed');
  await log.truncateAfter(1);
  await log.append('another two');
  await log.append('another three');
  await log.append('four');
  const [error] = await failed as [ArchiveError];
  assert.equal(error.code, 'ARCHIVE_AHEAD');
});

test('what a new archive waits for is freed when it is opened again, before it is archived', async () => {
  const options = { ...SMALL, fileManager: new MemoryFileManager(), nextId: 11, maxPendingBytes: 1 << 20 };
  const log = await WriteAheadLog.create('/late', LogVoid, options);
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store, { timeoutMs: 1000 });
  store.before = hanging;
  for (let i = 11; i <= 40; i++) await log.append(`${i} ${'x'.repeat(2000)}`);
  await settled();
  const closing = archive.close();
  environment.advance(1000);
  await closing;
  await log.shutdown();
  store.before = () => undefined;
  const again = await WriteAheadLog.recover('/late', LogVoid, { ...SMALL, fileManager: options.fileManager });
  opened.push(again);
  const { archive: next } = await openArchive(again, store);
  await next.archived(40);
  assert.deepEqual((await entriesIn(store, 'a')).map(({ id }) => id), Array.from({ length: 30 }, (_item, i) => i + 11));
});

test('a log that kept too much for one archive can never have another', async () => {
  const log = await newLog({ entries: ['one'] });
  const { archive } = await openArchive(log, new FaultyStore(), { holdBytes: 1 });
  const broken = once(archive, 'holdBroken');
  await log.checkpointActive();
  await broken;
  await archive.close();
  const store = new FaultyStore();
  const { archive: next } = await openArchive(log, store);
  const { id } = await log.append('another');
  await next.archived(id);
  assert.equal((await textsIn(store)).at(-1), `${id} another`);
});

test('an archive that has ended keeps a segment of the log in use', async () => {
  const log = await newLog({ entries: ['one'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(1);
  await openArchive(await newLog({ entries: ['one'] }), store);
  await log.append('two');
  await assert.rejects(archive.archived(2), { code: 'ARCHIVE_FENCED' });
  await settled();
  assert.deepEqual(log.stats().segments.map(({ readers }) => readers), [0]);
});

test('options that nobody can have meant are taken', async () => {
  const log = await newLog();
  const wrong: [object, RegExp][] = [
    [{ prefix: '' }, /RangeError: prefix must have 1 to 200/], [{ prefix: '/a' }, /RangeError: prefix/], [{ prefix: 7 }, /TypeError: prefix/],
    [{ prefix: 'a', everyMs: -1 }, /RangeError: everyMs must be an integer from 0/], [{ prefix: 'a', maxBytes: 1 }, /RangeError: maxBytes/],
    [{ prefix: 'a', compress: 'zip' }, /RangeError: compress must be 'gzip', not "zip"/], [{ prefix: 'a', evryMs: 1 }, /TypeError: there is no option "evryMs"/],
    [{ prefix: 'a', keep: { snapshots: 0 } }, /RangeError: keep.snapshots/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(Archive.open(log, new FaultyStore(), options as ArchiveOptions), message);
  }
  await assert.rejects(Archive.open(log, {} as FaultyStore, OPTIONS), /TypeError: store must have a method create/);
  await assert.rejects(Archive.open({} as WriteAheadLog, new FaultyStore(), OPTIONS), /TypeError: log must be a WriteAheadLog/);
});
