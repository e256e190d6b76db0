/** A caller's mistakes: each gets an error that shows the value, and nothing is lost by it. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { show } from '../../src/base/bytes.js';
import * as exported from '../../src/index.js';
import {
  ChunkReader, ChunkWriter, Entry, EntryChunk, EntryWriter, Hold, LogPosition, LogVoid, MemoryFileManager, ReadOnlyLog,
  SegmentReader, WalError, WriteAheadLog, type CommitOptions, type LogManager, type WalOptions,
} from '../../src/index.js';
import { checkpointAll, forEachFileManager, inMemory, pattern, RecordingManager, Storage } from '../tools/helpers.js';

/** Passes a value that TypeScript would not let through. */
function wrong<T>(value: unknown): T {
  return value as T;
}

const GIB = 1024 ** 3;
const BAD_OPTIONS: readonly (readonly [string, unknown, typeof TypeError | typeof RangeError, RegExp])[] = [
  ['options', 5, TypeError, /options must be an object, not 5/],
  ['options', 'fast', TypeError, /options must be an object, not "fast"/],
  ['preallocateBytes', { preallocateBytes: '4096' }, TypeError, /preallocateBytes .* not "4096"/],
  ['preallocateBytes', { preallocateBytes: 4095 }, RangeError, /preallocateBytes .* not 4095/],
  ['preallocateBytes', { preallocateBytes: 4096.5 }, RangeError, /preallocateBytes .* not 4096\.5/],
  ['preallocateBytes', { preallocateBytes: NaN }, RangeError, /preallocateBytes .* not NaN/],
  ['preallocateBytes', { preallocateBytes: 2 ** 41 }, RangeError, /preallocateBytes .* not 2199023255552/],
  ['checkpointAfterBytes', { checkpointAfterBytes: 0 }, RangeError, /checkpointAfterBytes .* not 0/],
  ['checkpointAfterBytes', { checkpointAfterBytes: -1 }, RangeError, /checkpointAfterBytes .* not -1/],
  ['preallocateBytes', { preallocateBytes: true }, TypeError, /preallocateBytes .* not true/],
  ['checkpointAfterBytes', { checkpointAfterBytes: 8192, preallocateBytes: 8192 }, RangeError, /\(8192\) .* \(8192\)/],
  ['checkpointAfterBytes', { checkpointAfterBytes: 9000, preallocateBytes: 8192 }, RangeError, /\(9000\) .* \(8192\)/],
  ['bufferBytes', { bufferBytes: 100 }, RangeError, /bufferBytes .* not 100/],
  ['bufferBytes', { bufferBytes: GIB }, RangeError, /bufferBytes .* not 1073741824/],
  ['bufferBytes', { bufferBytes: 8192n }, TypeError, /bufferBytes .* not 8192/],
  ['maxPendingBytes', { maxPendingBytes: 5000, bufferBytes: 8192 }, RangeError, /\(5000\) .* bufferBytes \(8192\)/],
  ['maxPendingBytes', { maxPendingBytes: Infinity }, RangeError, /maxPendingBytes .* not Infinity/],
  ['blockingFlush', { blockingFlush: 1 }, TypeError, /blockingFlush must be a boolean, not 1/],
  ['versionInfo', { versionInfo: 'v1' }, TypeError, /versionInfo must be a Uint8Array, not "v1"/],
  ['versionInfo', { versionInfo: new Uint8Array(256) }, RangeError, /versionInfo must have at most 255 bytes, not 256/],
  ['fileManager', { fileManager: 'memory' }, TypeError, /fileManager must be a FileManager, not "memory"/],
  ['fileManager', { fileManager: { open() {} } }, TypeError, /fileManager must have a method createDirectory/],
  ['onRecoveryProgress', { onRecoveryProgress: 7 }, TypeError, /onRecoveryProgress must be a function, not 7/],
];
for (const [option, options, type, message] of BAD_OPTIONS) {
  test(`a wrong ${option} is refused before anything is touched, in words that match ${message.source}`, async () => {
    const fileManager = new MemoryFileManager();
    const all = typeof options === 'object' ? { fileManager, ...options } : options;
    await assert.rejects(WriteAheadLog.recover('/wal', LogVoid, wrong<WalOptions>(all)), (error) => {
      assert.equal(error?.constructor, type);
      assert.match((error as Error).message, message);
      return true;
    });
    await assert.rejects(fileManager.list('/wal'), { code: 'ENOENT' });
  });
}

for (const value of [undefined, null, 5, Buffer.from('/wal'), { href: 'file:///wal' }]) {
  test(`a directory that is ${show(value)} is a TypeError`, async () => {
    const expected = { name: 'TypeError', message: /directory must be a string or a file: URL, not / };
    await assert.rejects(WriteAheadLog.recover(wrong<string>(value), LogVoid), expected);
    await assert.rejects(WriteAheadLog.openReadOnly(wrong<string>(value)), expected);
  });
}

const BAD_URLS = ['https://example.com/wal', 'data:text/plain,wal', 'file:///a%2Fb', ...(process.platform === 'win32' ? [] : ['file://host/wal'])];
for (const href of BAD_URLS) {
  test(`a directory that is the URL ${href} is a TypeError that shows it`, async () => {
    const expected = { name: 'TypeError', message: new RegExp(`directory must be .* not ${href}`) };
    await assert.rejects(WriteAheadLog.recover(new URL(href), LogVoid), expected);
    await assert.rejects(WriteAheadLog.openReadOnly(new URL(href)), expected);
  });
}

test('a file: URL names the same directory as its path, spaces and all', async () => {
  const fileManager = new MemoryFileManager();
  const directory = path.resolve('/some where/ü%');
  const log = await WriteAheadLog.recover(pathToFileURL(`${directory}/`), LogVoid, { fileManager });
  await log.append('one');
  const reader = await WriteAheadLog.openReadOnly(pathToFileURL(directory), { fileManager });
  assert.equal(reader.lastId, 1);
  await reader.close();
  assert.ok((await fileManager.list(directory)).includes('wal-1'));
  await log.shutdown();
});

const OURS: Readonly<Record<string, readonly [object, readonly unknown[], RegExp]>> = {
  WriteAheadLog: [WriteAheadLog, ['/wal', LogVoid, {}], /WriteAheadLog\.recover\(\)/],
  ReadOnlyLog: [ReadOnlyLog, ['/wal', {}], /WriteAheadLog\.openReadOnly\(\)/],
  EntryWriter: [EntryWriter, [{}], /log\.beginEntry\(\)/],
  ChunkWriter: [ChunkWriter, [5], /writer\.beginChunk\(\)/],
  ChunkReader: [ChunkReader, [{}, new LogPosition(1, 62)], /log\.readAt\(\)/],
  Hold: [Hold, ['replica'], /log\.hold\(\)/],
  Entry: [Entry, [1, {}], /log\.entries\(\)/],
  EntryChunk: [EntryChunk, [{}], /iterating over an Entry/],
  SegmentReader: [SegmentReader, ['wal-1'], /checkpointTo\(\)/],
};
for (const [name, [constructor, args, source]] of Object.entries(OURS)) {
  test(`new ${name}() is a TypeError that says where one comes from`, () => {
    for (const given of [[], args]) {
      assert.throws(() => Reflect.construct(constructor as new () => object, given), (error) => {
        assert.ok(error instanceof TypeError);
        assert.match(error.message, new RegExp(`^${name} cannot be constructed: it comes from .*${source.source}`));
        return true;
      });
    }
  });
}

test('every exported class that is not meant to be constructed says so', () => {
  const open = ['LogPosition', 'WalError', 'NodeFileManager', 'MemoryFileManager'];
  const classes = Object.entries(exported).filter(([, value]) => typeof value === 'function' && /^class\b/.test(value.toString())).map(([name]) => name);
  assert.deepEqual(classes.filter((name) => !open.includes(name)).sort(), Object.keys(OURS).sort());
});

const SHOWN: readonly (readonly [unknown, string])[] = [
  [{}, 'an Object'], [[], 'an Array'], [new Uint8Array(1), 'a Uint8Array'], [new URL('file:///'), 'a URL'], [new Map(), 'a Map'],
  [Object.create(null), 'an object'], [new (class {})(), 'an object'], [{ constructor: { name: Symbol('name') } }, 'an object'],
  [() => 1, 'a function'], ['text', '"text"'], ['x'.repeat(50), `"${'x'.repeat(40)}…"`], [5n, '5n'], [null, 'null'], [undefined, 'undefined'],
  [Symbol('s'), 'Symbol(s)'],
];
for (const [value, words] of SHOWN) {
  test(`a message shows ${words} as that`, () => assert.equal(show(value), words));
}

type Call = (log: WriteAheadLog, options: never) => Promise<unknown>;
const CALLS_WITH_OPTIONS: Readonly<Record<string, Call>> = {
  append: (log, options) => log.append('x', options),
  appendBatch: (log, options) => log.appendBatch(['x'], options),
  beginEntry: (log, options) => log.beginEntry(options),
  entries: async (log, options) => log.entries(options),
  hold: (log, options) => log.hold('replica', options),
  waitForDurable: (log, options) => log.waitForDurable(0, options),
};
for (const [name, call] of Object.entries(CALLS_WITH_OPTIONS)) {
  inMemory(`options of ${name} that are no object, or have a name it does not know, are a TypeError without effect`, async (storage) => {
    const log = await storage.open();
    const before = log.stats();
    for (const options of [5, 'fast', true, null, () => ({})]) {
      const expected = { name: 'TypeError', message: `options must be an object, not ${show(options)}` };
      await assert.rejects(call(log, options as never), expected);
    }
    const misspelt = { Signal: AbortSignal.abort() };
    await assert.rejects(call(log, misspelt as never), { name: 'TypeError', message: 'there is no option "Signal"' });
    await call(log, undefined as never).then((result) => (result instanceof EntryWriter ? result.rollback() : undefined));
    assert.equal(before.nextId, 1);
  });
}

inMemory('options of commit and of a reader that are no object, or unknown, are a TypeError', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  await writer.writeChunk('one');
  for (const options of [5, null, { sync: 'manual' }]) await assert.rejects(writer.commit(options as never), { name: 'TypeError' });
  assert.equal(await writer.commit({}), 1);
  const { directory, fileManager } = storage;
  const reader = await WriteAheadLog.openReadOnly(directory, { fileManager });
  for (const options of [5, null, { follow: true }]) {
    await assert.rejects(async () => reader.entries(options as never).next(), { name: 'TypeError', message: /option/ });
  }
  await reader.close();
  for (const options of [5, null, { fileManager, follow: true }]) {
    await assert.rejects(WriteAheadLog.openReadOnly(directory, options as never), { name: 'TypeError', message: /option/ });
  }
});

test('an empty directory name is a RangeError, not the current directory', async () => {
  await assert.rejects(WriteAheadLog.recover('', LogVoid), { name: 'RangeError', message: /directory/ });
});

const MANAGERS: readonly (readonly [unknown, string])[] = [
  [undefined, 'recover'], [null, 'recover'], [{}, 'recover'], [{ recover: () => undefined }, 'checkpointTo'],
  [{ recover: () => undefined, checkpointTo: 3 }, 'checkpointTo'],
];
for (const [manager, method] of MANAGERS) {
  inMemory(`a LogManager without ${method} (${JSON.stringify(manager)}) is a TypeError`, async (storage) => {
    const opening = storage.open({ manager: wrong<LogManager>(manager) ?? null });
    await assert.rejects(opening, { name: 'TypeError', message: new RegExp(method) });
    await assert.rejects(storage.fileManager.list(storage.directory), { code: 'ENOENT' });
  });
}

forEachFileManager('a directory that is a file is an error that names it; the file is left alone', async (storage) => {
  await storage.put('file', pattern(100));
  const file = new Storage(storage.fileManager, path.join(storage.directory, 'file'));
  await assert.rejects(file.open(), (error) => {
    assert.ok(error instanceof WalError);
    assert.equal(error.code, 'WAL_IO');
    assert.ok(error.message.includes(file.directory), error.message);
    return true;
  });
  assert.deepEqual(await storage.get('file'), pattern(100));
});

const BAD_DATA: readonly unknown[] = [
  undefined, null, 5, true, {}, new ArrayBuffer(4), new Uint16Array(2), new DataView(new ArrayBuffer(4)),
  ['ok', 5], [['nested']], Symbol('data'), () => 'data',
];
for (const data of BAD_DATA) {
  const shown = Array.isArray(data) ? JSON.stringify(data) : String(data);
  inMemory(`data that is ${shown} is a TypeError, and costs no id and no byte`, async (storage) => {
    const log = await storage.open();
    const before = log.stats();
    const expected = { name: 'TypeError', message: /must be a Uint8Array or a string, not / };
    await assert.rejects(log.append(wrong(data)), expected);
    assert.equal(log.stats().nextId, before.nextId);
    assert.equal(log.stats().flushedBytes + log.stats().pendingBytes, before.flushedBytes);
    const writer = await log.beginEntry();
    await writer.writeChunk('before');
    await assert.rejects(writer.writeChunk(wrong(data)), { name: 'TypeError' });
    const chunk = await writer.beginChunk(3);
    await assert.rejects(chunk.write(wrong(data)), { name: 'TypeError' });
    await chunk.write('abc');
    await chunk.finish();
    assert.equal(await writer.commit(), 1);
    assert.deepEqual(await (await storage.crash()).contents(), [{ id: 1, chunks: ['before', 'abc'] }]);
  });
}

const BAD_LENGTHS = [
  [-1, RangeError], [1.5, RangeError], [NaN, RangeError], [Infinity, RangeError],
  ['10', TypeError], [null, TypeError], [10n, TypeError],
] as const;
for (const [length, type] of BAD_LENGTHS) {
  inMemory(`a chunk of ${String(length)} bytes is a ${type.name}, and the entry goes on`, async (storage) => {
    const log = await storage.open();
    const writer = await log.beginEntry();
    await assert.rejects(writer.beginChunk(wrong<number>(length)), (error) => {
      assert.equal(error?.constructor, type);
      assert.ok((error as Error).message.includes(String(length)));
      return true;
    });
    await writer.writeChunk('fine');
    await writer.commit();
    assert.deepEqual(await (await storage.crash()).contents(), [{ id: 1, chunks: ['fine'] }]);
  });
}

inMemory('a chunk longer than the format can state is WAL_TOO_LARGE before anything is written', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  for (const length of [2 ** 32, 2 ** 40]) {
    const expected = { name: 'WalError', code: 'WAL_TOO_LARGE', message: new RegExp(`${length}`) };
    await assert.rejects(writer.beginChunk(length), expected);
  }
  // A chunk of the greatest length can be begun; nothing is allocated for it.
  const chunk = await writer.beginChunk(2 ** 32 - 1);
  assert.equal(chunk.length, 2 ** 32 - 1);
  await writer.rollback();
  await log.append('fine');
  assert.deepEqual(await (await storage.crash()).contents(), [{ id: 2, chunks: ['fine'] }]);
});

inMemory('more bytes than a chunk has room for are a RangeError, and none of them is written', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(5);
  await chunk.write('abc');
  await assert.rejects(chunk.write('def'), { name: 'RangeError', message: /room for 2 more bytes, not 3/ });
  await chunk.write('de');
  await assert.rejects(chunk.write('f'), { name: 'RangeError', message: /room for 0 more bytes, not 1/ });
  await chunk.finish();
  await assert.rejects(chunk.finish(), { name: 'TypeError', message: /finished/ });
  await assert.rejects(chunk.write('x'), { name: 'TypeError', message: /finished/ });
  await writer.commit();
  assert.deepEqual(await (await storage.crash()).contents(), [{ id: 1, chunks: ['abcde'] }]);
});

inMemory('a second chunk while one is unfinished is a TypeError, and the first goes on', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(5);
  await assert.rejects(writer.beginChunk(3), { name: 'TypeError', message: /not finished/ });
  await assert.rejects(writer.writeChunk('x'), { name: 'TypeError', message: /not finished/ });
  await assert.rejects(writer.commit(), { name: 'TypeError', message: /not finished/ });
  await chunk.write('first');
  await chunk.finish();
  await writer.writeChunk('second');
  await writer.commit();
  assert.deepEqual(await (await storage.crash()).contents(), [{ id: 1, chunks: ['first', 'second'] }]);
});

inMemory('two writes to one chunk at once are a TypeError, as is finishing it meanwhile', async (storage) => {
  const options = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60_000, maxPendingBytes: 4096 };
  const log = await storage.open({ options });
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(20_000);
  const first = chunk.write(pattern(20_000));
  await assert.rejects(chunk.write('x'), { name: 'TypeError', message: /await the call before/ });
  await assert.rejects(chunk.finish(), { name: 'TypeError', message: /await the call before/ });
  await first;
  await chunk.finish();
  await writer.commit();
  assert.equal((await (await storage.crash()).contents(options)).length, 1);
});

inMemory('an entry is committed once: all else afterwards is a TypeError, and it stays committed', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  await writer.writeChunk('data');
  const committed = writer.commit();
  const calls = [
    () => writer.commit(), () => writer.writeChunk('x'), () => writer.beginChunk(1), () => writer.rollback(),
  ];
  for (const late of calls) {
    await assert.rejects(late(), { name: 'TypeError', message: /entry 1 has been committed/ });
  }
  await committed;
  await writer[Symbol.asyncDispose]();
  assert.deepEqual(await (await storage.crash()).contents(), [{ id: 1, chunks: ['data'] }]);
});

inMemory('nothing can be written to an entry that was rolled back; the next is untouched', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(5);
  await chunk.write('ab');
  await writer.rollback();
  const next = await log.beginEntry();
  const calls = [
    () => writer.commit(), () => writer.writeChunk('x'), () => writer.beginChunk(1), () => chunk.write('cd'),
  ];
  for (const late of calls) {
    await assert.rejects(late(), { name: 'TypeError', message: /entry 1 has been rolled back/ });
  }
  await assert.rejects(chunk.finish(), (error) => error instanceof TypeError || error instanceof RangeError);
  await next.writeChunk('mine');
  await next.commit();
  assert.deepEqual(await (await storage.crash()).contents(), [{ id: 2, chunks: ['mine'] }]);
});

inMemory('a signal that is none is a TypeError, and takes no place in line', async (storage) => {
  const log = await storage.open();
  const beginning = log.beginEntry({ signal: wrong<AbortSignal>('stop') });
  await assert.rejects(beginning, { name: 'TypeError', message: /signal .* not "stop"/ });
  assert.equal((await log.append('next')).id, 1);
});

inMemory('a position that is none, or comes from another log, is refused', async (storage) => {
  const log = await storage.open();
  await log.append('here');
  for (const position of [undefined, null, 62, { segmentId: 1, offset: 62 }, new LogPosition(1, 62).serialize()]) {
    const reading = log.readAt(wrong<LogPosition>(position));
    await assert.rejects(reading, { name: 'TypeError', message: /must be a LogPosition, not / });
  }
  const other = new Storage(storage.fileManager, '/other');
  const foreign = await other.open();
  await foreign.append('x'.repeat(55));
  const { chunks: [{ position }] } = await foreign.append('there');
  await assert.rejects(log.readAt(position), { name: 'WalError', code: 'WAL_POSITION_GONE', message: /segment 1/ });
  await log.append('y'.repeat(150));
  await assert.rejects(log.readAt(position), { name: 'WalError', code: 'WAL_CORRUPT', message: /another log/ });
  await other.shutDown();
});

test('a position of anything but two safe integers is refused, and so are bytes that hold none', () => {
  for (const [segmentId, offset] of [[-1, 0], [0, -1], [1.5, 0], [0, 2 ** 53], [NaN, 0]]) {
    assert.throws(() => new LogPosition(segmentId, offset), { name: 'RangeError', message: /must be an integer/ });
  }
  assert.throws(() => new LogPosition(wrong<number>('1'), 2), { name: 'RangeError', message: /segmentId .* not "1"/ });
  assert.throws(() => LogPosition.deserialize(wrong<Uint8Array>('x')), { name: 'TypeError', message: /not "x"/ });
  assert.throws(() => LogPosition.deserialize(new Uint8Array(15)), { name: 'RangeError', message: /16 bytes, not 15/ });
  assert.throws(() => LogPosition.deserialize(new Uint8Array(17)), { name: 'RangeError', message: /not 17/ });
  assert.throws(() => LogPosition.deserialize(new Uint8Array(16).fill(0xff)), { name: 'RangeError' });
});

inMemory('reading into something that is no bytes is a TypeError, and the reader goes on', async (storage) => {
  const log = await storage.open();
  const { chunks: [{ position }] } = await log.append('data');
  const reader = await log.readAt(position);
  for (const target of [undefined, 'x', 5, [], new ArrayBuffer(4)]) {
    const reading = reader.read(wrong<Uint8Array>(target));
    await assert.rejects(reading, { name: 'TypeError', message: /target must be a Uint8Array, not / });
  }
  assert.equal(Buffer.from(await reader.readAll()).toString(), 'data');
  await reader.close();
});

inMemory('what recover and checkpointTo return besides promises is of no matter', async (storage) => {
  const manager = new RecordingManager();
  const odd: LogManager = { recover: () => wrong(42), checkpointTo: () => wrong('fine') };
  const log = await storage.open({ manager: odd });
  await log.append('one');
  await (await storage.crash()).open({ manager: odd });
  await checkpointAll(log);
  assert.deepEqual(manager.recovered, []);
});

inMemory('an onRecoveryProgress that throws fails the opening with what it threw, not as an error of the disk', async (storage) => {
  await (await storage.open()).append('one');
  const crashed = await storage.crash();
  const cause = new Error('mine');
  const onRecoveryProgress = () => {
    throw cause;
  };
  await assert.rejects(crashed.open({ options: { onRecoveryProgress } }), { name: 'WalError', code: 'WAL_LOG_MANAGER_FAILED', cause });
  assert.deepEqual(await crashed.contents(), [{ id: 1, chunks: ['one'] }]);
});

inMemory('a misspelt option is a TypeError that names it, and nothing is done without it', async (storage) => {
  const expected = (name: string) => ({ name: 'TypeError', message: new RegExp(`no option "${name}"`) });
  const open = (options: object) => storage.open({ options });
  await assert.rejects(open({ preallocatebytes: 8192 }), expected('preallocatebytes'));
  await assert.rejects(open({ onDamage: () => undefined }), expected('onDamage'));
  await assert.rejects(storage.fileManager.list(storage.directory), { code: 'ENOENT' });
  const log = await storage.open();
  const options = wrong<CommitOptions>({ durabel: false });
  await assert.rejects(log.append('one', options), expected('durabel'));
  await assert.rejects(log.appendBatch(['one'], options), expected('durabel'));
  const reading = wrong<WalOptions>({ fileManager: storage.fileManager, buffer: 1 });
  await assert.rejects(WriteAheadLog.openReadOnly(storage.directory, reading), expected('buffer'));
  assert.equal(log.stats().nextId, 1);
});
