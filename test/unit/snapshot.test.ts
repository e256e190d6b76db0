import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { deferred } from '../../src/base/async.js';
import { MemoryFileManager, NodeFileManager, WalError, type FileManager } from '../../src/index.js';
import { Snapshot, SnapshotFile, type SnapshotContent } from '../../src/snapshot/index.js';
import { FaultyFileManager } from '../tools/faulty-file-manager.js';
import {
  forEachFileManager, inMemory, isSettled, pattern, text, withTemporaryDirectory, type Storage,
} from '../tools/helpers.js';

const BLOCK = 4092;
const HEADER = 24;

function fileIn(storage: Storage, fileManager: FileManager = storage.fileManager): SnapshotFile {
  return new SnapshotFile(path.join(storage.directory, 'snapshot'), { fileManager });
}

async function contentOf(file: SnapshotFile): Promise<{ lastId: number; text: string } | undefined> {
  const snapshot = await file.load();
  return snapshot && { lastId: snapshot.lastId, text: await snapshot.text() };
}

function hasCode(code: string, offset?: number): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof WalError, String(error));
    assert.equal(error.code, code);
    if (offset !== undefined) assert.equal(error.offset, offset);
    return true;
  };
}

forEachFileManager('a snapshot is loaded with other bytes than it was saved with', async (storage) => {
  const file = fileIn(storage);
  for (const [i, length] of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 64 * BLOCK, 64 * BLOCK + 1, 200 * BLOCK - 7].entries()) {
    const bytes = pattern(length, i + 1);
    const half = Math.floor(length / 2);
    const contents: SnapshotContent[] = [
      bytes, [bytes.subarray(0, half), '', bytes.subarray(half)], Readable.from([bytes.subarray(0, half), bytes.subarray(half)]),
    ];
    for (const content of contents) {
      await file.save(i, content);
      await using snapshot = await file.load();
      assert.ok(snapshot !== undefined);
      assert.deepEqual([snapshot.lastId, snapshot.length], [i, length]);
      const pieces: Uint8Array[] = [];
      for await (const piece of snapshot) pieces.push(piece);
      assert.ok(Buffer.concat(pieces).equals(bytes));
      for (const [from, to] of [[0, length], [half, length], [half, half], [Math.max(0, half - 3), Math.min(length, half + BLOCK)]]) {
        assert.ok(bytes.subarray(from, to).equals(await snapshot.read(from, to - from)), `${from} to ${to}`);
      }
      assert.ok(bytes.equals(await snapshot.bytes()));
    }
  }
  await file.save(9, ['{"a":', '"ü"}']);
  assert.deepEqual(await (await file.load())?.json(), { a: 'ü' });
  assert.equal(await (await file.load())?.text(), '{"a":"ü"}');
});

forEachFileManager('a snapshot that was never saved, and one that is damaged, are taken for each other', async (storage) => {
  const file = fileIn(storage);
  assert.equal(await file.load(), undefined);
  const content = 'x'.repeat(BLOCK + 10);
  await file.save(7, content);
  const whole = await storage.get('snapshot');
  assert.equal(whole.length, HEADER + BLOCK + 4 + 10 + 4);
  for (let at = 0; at < whole.length; at += at < 32 || at > whole.length - 20 ? 1 : 211) {
    const damaged = Buffer.from(whole);
    damaged[at] ^= 0x10;
    await storage.put('snapshot', damaged);
    const offset = at < HEADER ? 0 : at < HEADER + BLOCK + 4 ? HEADER : HEADER + BLOCK + 4;
    await assert.rejects(contentOf(file), hasCode('WAL_CORRUPT', offset), `byte ${at}`);
  }
  for (const length of [0, 1, HEADER - 1, HEADER, HEADER + BLOCK + 4, whole.length - 1]) {
    await storage.put('snapshot', whole.subarray(0, length));
    await assert.rejects(contentOf(file), hasCode('WAL_CORRUPT', length < HEADER ? 0 : length), `${length} bytes`);
  }
  await storage.put('snapshot', Buffer.concat([whole, Buffer.alloc(1)]));
  await assert.rejects(contentOf(file), hasCode('WAL_CORRUPT', whole.length));
  await storage.put('snapshot', whole);
  assert.deepEqual(await contentOf(file), { lastId: 7, text: content });
});

inMemory('a block of another snapshot, or of another place, is taken for one of this', async (storage) => {
  const file = fileIn(storage);
  await file.save(1, pattern(3 * BLOCK, 1));
  const older = await storage.get('snapshot');
  await file.save(2, pattern(3 * BLOCK, 2));
  const newer = await storage.get('snapshot');
  const [second, third] = [HEADER + 4096, HEADER + 2 * 4096];
  for (const stray of [older.subarray(second, third), newer.subarray(third)]) {
    const mixed = Buffer.from(newer);
    mixed.set(stray, second);
    await storage.put('snapshot', mixed);
    await assert.rejects(contentOf(file), hasCode('WAL_CORRUPT', second));
  }
});

inMemory('a snapshot of a later version is taken for damage, or read', async (storage) => {
  const file = fileIn(storage);
  await file.save(1, 'content');
  const bytes = await storage.get('snapshot');
  bytes[3] = 2;
  await storage.put('snapshot', bytes);
  await assert.rejects(file.load(), hasCode('WAL_CORRUPT'));
  const { crc32 } = await import('../../src/base/crc32.js');
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 20)), 20);
  await storage.put('snapshot', bytes);
  await assert.rejects(file.load(), hasCode('WAL_UNSUPPORTED_VERSION'));
});

test('a link or a directory in place of the snapshot is taken for none', { skip: process.platform === 'win32' && 'links need privileges' }, async () => {
  await withTemporaryDirectory(async (directory) => {
    const file = new SnapshotFile(path.join(directory, 'snapshot'));
    await file.save(1, 'content');
    await fs.rename(path.join(directory, 'snapshot'), path.join(directory, 'elsewhere'));
    await fs.symlink('elsewhere', path.join(directory, 'snapshot'));
    await assert.rejects(file.load(), hasCode('WAL_IO'));
    await fs.unlink(path.join(directory, 'snapshot'));
    await fs.mkdir(path.join(directory, 'snapshot'));
    await assert.rejects(file.load(), hasCode('WAL_IO'));
  });
});

forEachFileManager('leftovers of a crash stay for ever, or files of others go', async (storage) => {
  const file = fileIn(storage);
  await file.save(1, 'content');
  const foreign = ['snapshot.new', 'snapshot.bak', 'snapshot.0123456z-1.new', 'snapshot.01234567-1.new.bak', 'other.01234567-1.new'];
  for (const name of [...foreign, 'snapshot.01234567-12.new']) await storage.put(name, Buffer.from('half'));
  assert.deepEqual(await contentOf(file), { lastId: 1, text: 'content' });
  assert.deepEqual([...(await storage.files()).keys()], ['snapshot', ...foreign].sort());
});

forEachFileManager('callers at the same time get in the way of each other', async (storage) => {
  const file = fileIn(storage);
  const contents = [1, 2, 3, 4].map((id) => `${id}`.repeat(10_000 * id));
  const results = await Promise.all([
    file.load(), file.save(1, contents[0]), contentOf(file), file.save(2, [contents[1]]), file.save(3, Readable.from([contents[2]])),
    contentOf(file), file.save(4, contents[3]),
  ]);
  assert.deepEqual(results.map((result) => (result as { lastId: number } | undefined)?.lastId), [
    undefined, undefined, 1, undefined, undefined, 3, undefined,
  ]);
  assert.deepEqual(await contentOf(file), { lastId: 4, text: contents[3] });
  assert.deepEqual([...(await storage.files()).keys()], ['snapshot']);
});

forEachFileManager('a snapshot is replaced although its content fails half-way', async (storage) => {
  const file = fileIn(storage);
  await file.save(1, 'old');
  const failure = new Error('no more');
  async function* failing(): AsyncGenerator<string> {
    yield 'x'.repeat(70 * BLOCK);
    await Promise.resolve();
    throw failure;
  }
  await assert.rejects(file.save(2, failing()), (error) => error === failure);
  await assert.rejects(file.save(2, ['fine', 7] as never), TypeError);
  assert.deepEqual([...(await storage.files()).keys()], ['snapshot']);
  assert.deepEqual(await contentOf(file), { lastId: 1, text: 'old' });
  await file.save(2, 'new');
  assert.deepEqual(await contentOf(file), { lastId: 2, text: 'new' });
});

inMemory('an abort is not heeded, or leaves something behind', async (storage) => {
  const file = fileIn(storage);
  await file.save(1, 'old');
  const reason = new Error('enough');
  const isReason = (error: unknown): boolean => error === reason;
  await assert.rejects(file.save(2, 'new', { signal: AbortSignal.abort(reason) }), isReason);

  // While the content does not answer; and a caller in line for it is not held up.
  let ended = false;
  const asked = deferred();
  const hanging = {
    async *[Symbol.asyncIterator](): AsyncGenerator<string> {
      try {
        yield 'begun';
        asked.resolve();
        await new Promise(() => undefined);
      } finally {
        ended = true;
      }
    },
  };
  const controller = new AbortController();
  const saving = file.save(2, hanging, { signal: controller.signal });
  const waiting = file.save(2, 'in line', { signal: controller.signal });
  await asked.promise;
  assert.equal(await isSettled(saving), false);
  controller.abort(reason);
  await assert.rejects(saving, isReason);
  await assert.rejects(waiting, isReason);
  assert.equal(ended, false, 'a generator that waits for ever cannot end');

  // Between two pieces: the content is told to end.
  const second = new AbortController();
  function* pieces(): Generator<string> {
    try {
      yield 'one';
      second.abort(reason);
      yield 'two';
      assert.fail('it was asked for more');
    } finally {
      ended = true;
    }
  }
  await assert.rejects(file.save(2, pieces(), { signal: second.signal }), isReason);
  assert.equal(await isSettled(Promise.resolve()), true);
  assert.equal(ended, true);
  assert.deepEqual([...(await storage.files()).keys()], ['snapshot']);
  assert.deepEqual(await contentOf(file), { lastId: 1, text: 'old' });
});

inMemory('an abort while the snapshot is being synced leaves the new one, or one after its end the old', async (storage) => {
  const faulty = new FaultyFileManager(storage.fileManager);
  const file = fileIn(storage, faulty);
  await file.save(1, 'old');
  const controller = new AbortController();
  const reason = new Error('lost the lock');
  faulty.before = ({ operation }) => void (operation === 'sync' && controller.abort(reason));
  await assert.rejects(file.save(2, 'new', { signal: controller.signal }), (error) => error === reason);
  faulty.before = () => undefined;
  assert.deepEqual(await contentOf(file), { lastId: 1, text: 'old' });
  const late = new AbortController();
  faulty.after = ({ operation }) => void (operation === 'rename' && late.abort(reason));
  await file.save(2, 'new', { signal: late.signal });
  assert.deepEqual(await contentOf(file), { lastId: 2, text: 'new' });
});

inMemory('what a failed attempt has left is used by the next, or in its way', async (storage) => {
  const faulty = new FaultyFileManager(storage.fileManager);
  const file = fileIn(storage, faulty);
  await file.save(1, 'old');
  const broken = ['open', 'write', 'sync', 'rename'] as const;
  for (const operation of broken) {
    faulty.before = (call) => {
      // Neither can what was begun be removed.
      if (call.operation === operation || call.operation === 'remove') throw Object.assign(new Error('broken'), { code: 'EIO' });
    };
    await assert.rejects(file.save(2, 'x'.repeat(5000)), hasCode('WAL_IO'), operation);
    faulty.before = () => undefined;
    faulty.calls.length = 0;
    await file.save(2, 'short');
    assert.deepEqual(faulty.calls.map((call) => call.operation), [
      'createDirectory', 'open', 'write', 'write', 'sync', 'close', 'rename', 'syncDirectory',
    ]);
    assert.deepEqual(await contentOf(file), { lastId: 2, text: 'short' });
    assert.deepEqual([...(await storage.files()).keys()], ['snapshot']);
  }
});

inMemory('a snapshot is loaded although the sync of its name has failed', async (storage) => {
  const faulty = new FaultyFileManager(storage.fileManager);
  const file = fileIn(storage, faulty);
  faulty.before = ({ operation }) => {
    if (operation === 'syncDirectory') throw Object.assign(new Error('broken'), { code: 'EIO' });
  };
  await assert.rejects(file.load(), hasCode('WAL_IO'));
  await assert.rejects(file.save(1, 'one'), hasCode('WAL_IO'));
  faulty.before = () => undefined;
  await assert.rejects(file.load(), hasCode('WAL_FAILED'));
  await file.save(1, 'one');
  assert.deepEqual(await contentOf(file), { lastId: 1, text: 'one' });
});

inMemory('a snapshot goes back to fewer entries than the log has freed since', async (storage) => {
  const file = fileIn(storage);
  await file.save(5, 'five');
  await assert.rejects(file.save(4, 'four'), RangeError);
  const again = fileIn(storage);
  await contentOf(again);
  await assert.rejects(again.save(4, 'four'), RangeError);
  await again.save(5, 'five, later');
  assert.deepEqual(await contentOf(again), { lastId: 5, text: 'five, later' });
});

inMemory('a snapshot larger than memory is held in memory', async (storage) => {
  const faulty = new FaultyFileManager(storage.fileManager);
  const file = fileIn(storage, faulty);
  let given = 0;
  let written = 0;
  let mostWaiting = 0;
  let largest = 0;
  faulty.before = ({ operation, length = 0 }) => {
    if (operation === 'read' || operation === 'write') largest = Math.max(largest, length);
    if (operation === 'write') written += length;
  };
  function* pieces(): Generator<Uint8Array> {
    for (let i = 0; i < 500; i++) {
      mostWaiting = Math.max(mostWaiting, given - written);
      const piece = pattern(20_000, i);
      given += piece.length;
      yield piece;
    }
  }
  await file.save(1, pieces());
  let length = 0;
  await using snapshot = await file.load();
  for await (const piece of snapshot ?? []) length += piece.length;
  assert.equal(length, 10_000_000);
  assert.ok(mostWaiting <= 300_000, `${mostWaiting} bytes were not written yet`);
  assert.ok(largest <= 64 * 4096, `${largest} bytes at once`);
});

forEachFileManager('a snapshot that is being read goes away when it is replaced or closed', async (storage) => {
  const faulty = new FaultyFileManager(storage.fileManager);
  const file = fileIn(storage, faulty);
  await file.save(1, 'one');
  const snapshot = await file.load();
  assert.ok(snapshot !== undefined);
  await file.save(2, 'two');
  assert.equal(text(await snapshot.read(0, 3)), 'one');
  const gate = deferred();
  faulty.before = ({ operation }) => (operation === 'read' ? gate.promise : undefined);
  const reads = [snapshot.read(0, 2), snapshot.read(1, 2)];
  const closing = snapshot.close();
  assert.equal(await isSettled(closing), false);
  await assert.rejects(snapshot.read(0, 1), hasCode('WAL_CLOSED'));
  gate.resolve();
  assert.deepEqual((await Promise.all(reads)).map(text), ['on', 'ne']);
  await closing;
  await snapshot.close();
  await assert.rejects(snapshot.text(), hasCode('WAL_CLOSED'));
  const closes = faulty.calls.filter(({ operation }) => operation === 'close').length;
  assert.equal(closes, faulty.calls.filter(({ operation }) => operation === 'open').length);
});

inMemory('a read past the end, or of what is no number, is answered', async (storage) => {
  const file = fileIn(storage);
  await file.save(1, 'content');
  await using snapshot = await file.load();
  assert.ok(snapshot !== undefined);
  for (const [position, length] of [[-1, 1], [0, 8], [8, 0], [7, 1], [0.5, 1], [0, NaN]]) {
    await assert.rejects(snapshot.read(position, length), RangeError);
  }
  await assert.rejects(snapshot.read('0' as never, 1), TypeError);
});

test('a mistake of the caller is found late, or not at all', async () => {
  const files = { fileManager: new MemoryFileManager() };
  assert.throws(() => new SnapshotFile(''), RangeError);
  assert.throws(() => new SnapshotFile(7 as never), TypeError);
  assert.throws(() => new SnapshotFile('a', { filemanager: files.fileManager } as never), TypeError);
  assert.throws(() => new SnapshotFile('a', { fileManager: {} as never }), TypeError);
  assert.throws(() => new (Snapshot as unknown as new () => Snapshot)(), TypeError);
  const file = new SnapshotFile('/store/snapshot', files);
  for (const content of [undefined, null, 7, {}, Promise.resolve('text')]) {
    await assert.rejects(file.save(1, content as never), TypeError);
  }
  await assert.rejects(file.save('1' as never, ''), TypeError);
  await assert.rejects(file.save(-1, ''), RangeError);
  await assert.rejects(file.save(1, '', { sigal: undefined } as never), TypeError);
  assert.equal(await file.load(), undefined);
});

test('a snapshot at a file: URL, in a directory that is not there yet, is not saved', async () => {
  await withTemporaryDirectory(async (directory) => {
    const url = new URL(`file://${directory}/a/b/snapshot`);
    await new SnapshotFile(url).save(1, 'content');
    const file = new SnapshotFile(path.join(directory, 'a/b/snapshot'), { fileManager: new NodeFileManager() });
    assert.deepEqual(await contentOf(file), { lastId: 1, text: 'content' });
  });
});
