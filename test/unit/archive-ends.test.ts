/** When an archive, or a directory of objects, comes to an end, or does not get on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directoryStore } from '../../src/archive/directory-store.js';
import { Archive } from '../../src/archive/index.js';
import { listKeys } from '../../src/archive/slot-store.js';
import { MemoryFileManager, type WalError } from '../../src/index.js';
import { hanging, newLog, openArchive, OPTIONS, settled, textsIn } from '../tools/archive-tools.js';
import { FaultyStore } from '../tools/faulty-store.js';
import { ManualEnvironment } from '../tools/manual-environment.js';

const { signal } = new AbortController();

test('a closing archive ships what is written after the call, and so never ends', async () => {
  const files = new MemoryFileManager();
  let readable = Promise.resolve();
  const open = files.open.bind(files);
  files.open = async (...how) => {
    const file = await open(...how);
    const read = file.read.bind(file);
    file.read = async (...where) => {
      await readable;
      return read(...where);
    };
    return file;
  };
  const log = await newLog({ options: { fileManager: files } });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { everyMs: 60_000 });
  await archive.archived((await log.append('one')).id);
  await log.append('two');
  // What is written next is there when the archive comes to read on.
  let goOn = (): void => undefined;
  readable = new Promise((resolve) => (goOn = resolve));
  const closing = archive.close();
  await log.append('after the call');
  goOn();
  await closing;
  assert.deepEqual(await textsIn(store), ['1 one', '2 two']);
});

test('a closing archive gives up although the store takes one part of a large entry after the other', async () => {
  const log = await newLog({ options: { maxPendingBytes: 1 << 24 } });
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store, { maxBytes: 4096, timeoutMs: 1000 });
  store.before = async ({ operation }) => {
    if (operation !== 'create') return;
    environment.advance(900);
    await Promise.resolve();
  };
  const { id } = await log.append('x'.repeat(100_000));
  const confirmed = archive.archived(id);
  await Promise.all([archive.close(), confirmed]);
  assert.equal((await textsIn(store))[0].length, 100_002);
});

test('a caller waits for ever for an entry that a log that was shut down will not have', async () => {
  const log = await newLog();
  const store = new FaultyStore();
  const { archive, environment } = await openArchive(log, store, { timeoutMs: 1000 });
  store.before = hanging;
  await log.append('one');
  await settled();
  let outcome: unknown;
  archive.archived(2).catch((error: unknown) => (outcome = (error as WalError).code));
  const shipped = archive.archived(1);
  await log.shutdown();
  await settled();
  assert.equal(outcome, 'WAL_CLOSED');
  await assert.rejects(archive.archived(2), { code: 'WAL_CLOSED' });
  store.before = () => undefined;
  environment.advance(1000);
  await settled();
  environment.advance(100);
  await shipped;
});

test('a long listing fails because all of it takes longer than one request may', async () => {
  const environment = new ManualEnvironment();
  const store = new FaultyStore(new Map(['a', 'b', 'c', 'd', 'e', 'f'].map((key) => [key, new Uint8Array()])));
  const list = store.list.bind(store);
  let failures = 0;
  store.list = async function* (prefix, options) {
    let listed = 0;
    for await (const key of list(prefix, options)) {
      environment.advance(700);
      // No request lists more than one key.
      if (listed++ > 0) throw new Error('connection reset');
      yield key;
    }
  };
  const at = { store, prefix: '', signal, timeoutMs: 1000, timers: environment, attempts: 2 };
  const onFailure = ({ retryInMs }: { retryInMs: number }): void => {
    failures++;
    queueMicrotask(() => environment.advance(retryInMs));
  };
  assert.deepEqual(await listKeys({ ...at, onFailure }, ''), ['a', 'b', 'c', 'd', 'e', 'f']);
  assert.equal(failures, 5);
});

test('an object is confirmed by the sync after one that failed', async () => {
  const files = new MemoryFileManager();
  const store = directoryStore('/objects', files);
  await store.create('one', Buffer.from('1'), { signal });
  const sync = files.syncDirectory.bind(files);
  files.syncDirectory = () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
  const unknown = /could not be synced/;
  await assert.rejects(store.create('two', Buffer.from('2'), { signal }), unknown);
  files.syncDirectory = sync;
  await assert.rejects(store.create('two', Buffer.from('2'), { signal }), unknown);
  await assert.rejects(store.get('one', { signal }), unknown);
  await assert.rejects(store.delete(['one'], { signal }), unknown);
  await assert.rejects(store.list('', { signal })[Symbol.asyncIterator]().next(), unknown);
});

test('requests that are given up on a disk that does not answer take one thread after the other', async () => {
  const files = new MemoryFileManager();
  const store = directoryStore('/objects', files);
  await store.create('one', Buffer.from('1'), { signal });
  const open = files.open.bind(files);
  let calls = 0;
  let answer = (): void => undefined;
  const answered = new Promise<void>((resolve) => (answer = resolve));
  files.open = async (...how) => {
    calls++;
    await answered;
    return open(...how);
  };
  for (let i = 0; i < 5; i++) {
    const given = new AbortController();
    const reading = store.get('one', { signal: given.signal });
    await settled();
    given.abort(new Error('no answer in time'));
    await assert.rejects(reading, /no answer in time/);
  }
  assert.equal(calls, 1);
  const reading = store.get('one', { signal });
  answer();
  assert.equal(String(Buffer.from(await reading ?? [])), '1');
});

test('an archive whose names are too long for files is opened, and stands still at the first part', async () => {
  const log = await newLog();
  const environment = new ManualEnvironment();
  const store = directoryStore('/objects', new MemoryFileManager());
  const opening = Archive.openWith(environment, log, store, { ...OPTIONS, prefix: 'p'.repeat(190) });
  let isSettled = false;
  void opening.catch(() => undefined).finally(() => (isSettled = true));
  for (let i = 0; i < 100 && !isSettled; i++) {
    environment.advance(10_000);
    await settled();
  }
  await assert.rejects(opening, RangeError);
});
