/** Reads of whole chunks by their positions: what they wait for, what they refuse, and what may happen meanwhile. */
import assert from 'node:assert/strict';
import {
  LogPosition, LogVoid, WalError, WriteAheadLog, type FileHandle, type FileManager, type OpenOptions,
} from '../../src/index.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled,
  pattern, quiet, text, until,
} from '../tools/helpers.js';

const ROOMY = { preallocateBytes: 4 * 1024 * 1024, checkpointAfterBytes: 3 * 1024 * 1024 };
/** Around the lengths up to which a chunk comes with its header, in one read. */
const LENGTHS = [0, 1, 255, 2047, 2048, 2052, 2053, 4095, 4096, 4097, 4101, 4102, 10_000, 1_000_000];

const hasCode = (code: string) => ({ name: 'WalError', code });

/** What a read answers: the code of its error, or the data. */
function answer(read: () => Uint8Array): string | Uint8Array {
  try {
    return read();
  } catch (error) {
    if (error instanceof WalError) return error.code;
    throw error;
  }
}

/** A FileManager that can only do what its contract asks for. */
function withoutOptions(inner: FileManager): FileManager {
  return {
    createDirectory: (directory) => inner.createDirectory(directory),
    list: (directory) => inner.list(directory),
    rename: (from, to) => inner.rename(from, to),
    remove: (path) => inner.remove(path),
    syncDirectory: (directory) => inner.syncDirectory(directory),
    lock: (directory, onCompromised) => inner.lock(directory, onCompromised),
    async open(path: string, options: OpenOptions): Promise<FileHandle> {
      const file = await inner.open(path, options);
      return {
        durableWrites: false,
        read: (target, position) => file.read(target, position),
        write: (parts, position) => file.write(parts, position),
        sync: () => file.sync(),
        truncate: (length) => file.truncate(length),
        size: () => file.size(),
        close: () => file.close(),
      };
    },
  };
}

forEachFileManager('a chunk of some length is not read as it was written', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const entries = await log.appendBatch(LENGTHS.map((length, i) => pattern(length, i)));
  const positions = entries.map(({ chunks: [{ position }] }) => position);
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  for (const [name, source] of Object.entries({ log, reader })) {
    const together = await source.readMany(positions);
    for (const [i, position] of positions.entries()) {
      const what = `${LENGTHS[i]} bytes, ${name}`;
      assert.ok(pattern(LENGTHS[i], i).equals(source.readSync(position)), what);
      assert.ok(pattern(LENGTHS[i], i).equals(await source.read(position)), what);
      assert.ok(pattern(LENGTHS[i], i).equals(together[i]), what);
    }
  }
  await reader.close();
});

inMemory('a small chunk takes more than one read, or a large one more than two', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await quiet(faulty);
  for (const [length, reads] of [[256, 1], [4096, 1], [4097, 2], [1_000_000, 2]]) {
    const { chunks: [{ position }] } = await log.append(pattern(length));
    const before = faulty.calls.length;
    log.readSync(position);
    assert.equal(faulty.calls.length - before, reads, `${length} bytes, readSync`);
    await log.read(position);
    assert.equal(faulty.calls.length - before, 2 * reads, `${length} bytes, read`);
  }
});

inMemory('what one readSync has returned changes with a later one', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  for (const length of [100, 2048, 4096, 9000]) {
    const [one, two] = await log.appendBatch([pattern(length, 1), pattern(length, 2)]);
    const first = log.readSync(one.chunks[0].position);
    const second = log.readSync(two.chunks[0].position);
    assert.ok(pattern(length, 1).equals(first), `${length} bytes`);
    second.fill(0);
    assert.ok(pattern(length, 2).equals(log.readSync(two.chunks[0].position)));
    assert.ok(pattern(length, 1).equals(first));
  }
});

forEachFileManager('readSync shows an entry before it is durable', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const writer = await log.beginEntry();
  const { position } = await writer.writeChunk('wait for me');
  const refused = { ...hasCode('WAL_NOT_DURABLE'), segmentId: 1, offset: position.offset };
  assert.throws(() => log.readSync(position), refused, 'not committed');
  const committing = writer.commit();
  assert.throws(() => log.readSync(position), refused, 'not written');
  await until(() => gate.arrivals > 0);
  assert.throws(() => log.readSync(position), refused, 'written, and not synced');
  gate.open();
  await committing;
  assert.equal(text(log.readSync(position)), 'wait for me');
});

inMemory('readSync shows a commit that need not be durable before it is', async (base) => {
  const { storage } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  const { chunks: [{ position }] } = await log.append('only the operating system has it');
  assert.throws(() => log.readSync(position), hasCode('WAL_NOT_DURABLE'));
  await log.sync();
  assert.equal(text(log.readSync(position)), 'only the operating system has it');
});

forEachFileManager('readSync answers for an entry that was rolled back, checkpointed or truncated', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const writer = await log.beginEntry();
  const { position: rolledBack } = await writer.writeChunk('rolled back');
  await writer.rollback();
  assert.throws(() => log.readSync(rolledBack), hasCode('WAL_POSITION_GONE'));
  const [kept, cut] = await log.appendBatch(['kept', 'truncated']);
  await log.truncateAfter(kept.id);
  assert.throws(() => log.readSync(cut.chunks[0].position), hasCode('WAL_POSITION_GONE'));
  await log.append('in its place');
  assert.throws(() => log.readSync(cut.chunks[0].position), hasCode('WAL_POSITION_GONE'));
  const { position } = kept.chunks[0];
  assert.equal(text(log.readSync(position)), 'kept');
  manager.letGo();
  await checkpointAll(log);
  const gone = { ...hasCode('WAL_POSITION_GONE'), segmentId: 1, offset: position.offset };
  await until(() => log.stats().segments.length === 1);
  assert.throws(() => log.readSync(position), gone);
});

forEachFileManager('readSync takes anything for a position, or damaged bytes for a chunk', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  for (const wrong of [undefined, null, 1, 'x', {}, { segmentId: 1, offset: 62 }]) {
    assert.throws(() => log.readSync(wrong as LogPosition), { name: 'TypeError', message: /must be a LogPosition/ });
  }
  const entries = await log.appendBatch([100, 4096, 9000].map((length) => pattern(length)));
  const [{ chunks: [{ position }] }] = entries;
  const within = new LogPosition(1, position.offset + 1);
  assert.throws(() => log.readSync(within), { ...hasCode('WAL_CORRUPT'), offset: within.offset });
  assert.throws(() => log.readSync(new LogPosition(1, 0)), hasCode('WAL_POSITION_GONE'));
  assert.throws(() => log.readSync(new LogPosition(9, 62)), hasCode('WAL_POSITION_GONE'));
  assert.throws(() => log.readSync(new LogPosition(1, 1_000_000)), hasCode('WAL_POSITION_GONE'));
  for (const { chunks: [chunk] } of entries) {
    const { offset } = chunk.position;
    // Its length, its data, and its checksum.
    for (const at of [offset + 1, offset + 5, offset + 4 + chunk.length, offset + 5 + chunk.length]) {
      await storage.damage('wal-1', at);
      assert.throws(() => log.readSync(chunk.position), { ...hasCode('WAL_CORRUPT'), segmentId: 1, offset });
      await storage.damage('wal-1', at);
    }
    assert.equal(log.readSync(chunk.position).length, chunk.length);
  }
});

forEachFileManager('a log that has failed or was shut down answers readSync as if it were open', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const { chunks: [durable] } = await log.append('durable');
  const writer = await log.beginEntry();
  const pending = await writer.writeChunk('never durable');
  faulty.before = ({ operation }) => {
    if (operation === 'sync') throw systemError('EIO');
  };
  await assert.rejects(writer.commit(), hasCode('WAL_FAILED'));
  assert.equal(text(log.readSync(durable.position)), 'durable');
  assert.throws(() => log.readSync(pending.position), hasCode('WAL_FAILED'));
  const shutdown = log.shutdown();
  assert.throws(() => log.readSync(durable.position), hasCode('WAL_CLOSED'));
  await shutdown;
  assert.throws(() => log.readSync(durable.position), hasCode('WAL_CLOSED'));
});

inMemory('a failed or a short read on the calling thread is taken for the end of a chunk', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  const { chunks: [{ position }] } = await log.append(pattern(9000));
  faulty.shortenRead = ({ length = 0 }) => Math.ceil(length / 3);
  assert.ok(pattern(9000).equals(log.readSync(position)));
  faulty.before = ({ operation }) => {
    if (operation === 'readBlocking') throw systemError('EIO');
  };
  assert.throws(() => log.readSync(position), { ...hasCode('WAL_IO'), segmentId: 1, offset: position.offset });
});

inMemory('a FileManager that cannot read on the calling thread makes readSync fail without a word', async (storage) => {
  const log = await storage.open({ options: { fileManager: withoutOptions(storage.fileManager) } });
  const { chunks: [{ position }] } = await log.append('hello');
  assert.throws(() => log.readSync(position), { name: 'TypeError', message: /cannot read on the calling thread/ });
  assert.equal(text(await (await log.readAt(position)).readAll()), 'hello');
});

/** Where a chunk stands, and what it holds. */
interface Written {
  readonly position: LogPosition;
  readonly data: Buffer;
}

/** Answers that are neither the chunk nor that it is gone. */
function wrongAnswers(written: readonly Written[], read: (position: LogPosition) => Uint8Array): string[] {
  return written.flatMap(({ position, data }) => {
    const found = answer(() => read(position));
    if (typeof found === 'string') return found === 'WAL_POSITION_GONE' || found === 'WAL_CLOSED' ? [] : [found];
    return data.equals(found) ? [] : [`${found.length} other bytes`];
  });
}

forEachFileManager('a segment whose file is being used again is read on the calling thread', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: LogVoid });
  const outside = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  const written: Written[] = [];
  let seen = outside;
  const wrong: string[] = [];
  // Whatever the log is doing with its files: before each call, and when it has taken effect.
  const look = (): void => {
    wrong.push(...wrongAnswers(written, (position) => log.readSync(position)));
    wrong.push(...wrongAnswers(written, (position) => seen.readSync(position)));
  };
  faulty.before = ({ operation }) => (operation === 'readBlocking' ? undefined : look());
  faulty.after = faulty.before;
  for (let round = 0; round < 30; round++) {
    const data = pattern(700, round);
    const { chunks: [{ position }] } = await log.append(data);
    written.push({ position, data });
    assert.ok(data.equals(log.readSync(position)));
    if (round % 9 === 0) {
      // Its segments get old: their files are used again under it.
      seen = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
    }
  }
  await checkpointed(log);
  assert.ok(log.stats().segmentsRecycled >= 3, 'files have been recycled');
  assert.equal(answer(() => log.readSync(written[0].position)), 'WAL_POSITION_GONE');
  assert.equal(answer(() => outside.readSync(written[0].position)), 'WAL_POSITION_GONE');
  await log.shutdown();
  assert.deepEqual(wrong, []);
});

forEachFileManager('entries that are being truncated are read as others, or those before them are lost', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const written: Written[] = [];
  for (let i = 0; i < 12; i++) {
    const data = pattern(500, i);
    written.push({ data, position: (await log.append(data)).chunks[0].position });
  }
  const wrong: string[] = [];
  let isKept = true;
  faulty.before = ({ operation }) => {
    if (operation === 'readBlocking') return;
    wrong.push(...wrongAnswers(written, (position) => log.readSync(position)));
    for (const { position, data } of written.slice(0, isKept ? 4 : 0)) {
      if (!data.equals(log.readSync(position))) wrong.push('lost');
    }
  };
  faulty.after = faulty.before;
  await log.truncateAfter(4);
  for (const { position } of written.slice(4)) {
    assert.equal(answer(() => log.readSync(position)), 'WAL_POSITION_GONE');
  }
  await fillSegment(log);
  isKept = false;
  manager.letGo();
  await log.shutdown();
  assert.deepEqual(wrong, []);
});

forEachFileManager('a read-only log answers from a file that another process has used again', async (storage) => {
  const log = await storage.open({ manager: LogVoid });
  const { chunks: [{ position }] } = await log.append(pattern(500));
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  assert.ok(pattern(500).equals(reader.readSync(position)));
  const later = await log.append('later');
  assert.throws(() => reader.readSync(later.chunks[0].position), hasCode('WAL_POSITION_GONE'), 'not seen yet');
  await reader.refresh();
  assert.equal(text(reader.readSync(later.chunks[0].position)), 'later');
  // Its file has got another segment's name.
  for (let names = ['wal-1']; names.some((name) => /^wal-1(-cp)?$/.test(name));) {
    await fillSegment(log);
    await checkpointed(log);
    names = await storage.fileManager.list(storage.directory);
  }
  assert.throws(() => reader.readSync(position), hasCode('WAL_POSITION_GONE'));
  await reader.close();
  assert.throws(() => reader.readSync(position), hasCode('WAL_CLOSED'));
});

forEachFileManager('a read-only log whose file is cut back takes a chunk for damaged', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager() });
  const { chunks: [{ position }] } = await log.append(pattern(500));
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  await log.shutdown();
  await storage.put('wal-1', (await storage.get('wal-1')).subarray(0, 200));
  assert.throws(() => reader.readSync(position), hasCode('WAL_POSITION_GONE'));
  await reader.close();
});

forEachFileManager('read and readMany do not wait until an entry is durable, or for ever', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  const { chunks: [{ position }] } = await log.append('nobody has synced it');
  assert.equal(text(await log.read(position)), 'nobody has synced it');
  assert.equal(log.durableId, 1);
  const { chunks: [next] } = await log.append('nor this');
  assert.deepEqual((await log.readMany([next.position, position])).map(text), ['nor this', 'nobody has synced it']);
  assert.equal(log.durableId, 2);

  const writer = await log.beginEntry();
  const { position: open } = await writer.writeChunk('rolled back');
  const waiting = [log.read(open), log.readMany([position, open])];
  assert.equal(await isSettled(Promise.race(waiting)), false);
  await Promise.all([...waiting.map((read) => assert.rejects(read, hasCode('WAL_POSITION_GONE'))), writer.rollback()]);

  const doomed = await log.beginEntry();
  const { position: lost } = await doomed.writeChunk('never durable');
  faulty.before = ({ operation }) => {
    if (operation === 'sync') throw systemError('EIO');
  };
  const failing = [log.read(lost), log.readMany([lost])].map((read) => assert.rejects(read, hasCode('WAL_FAILED')));
  await Promise.all([...failing, assert.rejects(doomed.commit({ durable: true }), hasCode('WAL_FAILED'))]);
  assert.equal(log.stats().readers, 0);
});

forEachFileManager('a read that is given up waits on, or keeps its segment for ever', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const { chunks: [{ position }] } = await log.append('durable');
  const reason = new Error('given up');
  for (const read of [
    (signal: AbortSignal) => log.read(position, { signal }),
    (signal: AbortSignal) => log.readMany([position], { signal }),
  ]) {
    await assert.rejects(read(AbortSignal.abort(reason)), reason);
    const gate = new Gate();
    faulty.before = ({ operation }) => (operation === 'read' ? gate.pass() : undefined);
    const controller = new AbortController();
    const reading = read(controller.signal);
    await until(() => gate.arrivals === 1);
    controller.abort(reason);
    await assert.rejects(reading, reason);
    assert.equal(log.stats().readers, 1, 'a file is not used again while it is being read');
    gate.open();
    await until(() => log.stats().readers === 0);
    await read(new AbortController().signal);
  }
  faulty.before = () => undefined;
  const writer = await log.beginEntry();
  const { position: open } = await writer.writeChunk('not committed');
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = [log.read(open, { signal }), log.readMany([open], { signal })];
  assert.equal(await isSettled(Promise.race(waiting)), false);
  assert.equal(log.stats().readers, 2);
  controller.abort(reason);
  for (const read of waiting) await assert.rejects(read, reason);
  assert.equal(log.stats().readers, 0);
  await writer.commit();
});

forEachFileManager('a segment is used again while a chunk of it is being read', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: LogVoid });
  const entries = await log.appendBatch([pattern(500, 1), pattern(500, 2), pattern(20_000, 3)]);
  const positions = entries.map(({ chunks: [{ position }] }) => position);
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'read' && name === 'wal-1' ? gate.pass() : undefined);
  const reading = Promise.all([...positions.map((position) => log.read(position)), log.readMany(positions)]);
  await until(() => gate.arrivals === 4);
  await log.checkpointActive();
  await until(() => log.stats().segments[0].state === 'read');
  await assert.rejects(log.read(positions[0]), hasCode('WAL_POSITION_GONE'));
  await fillSegment(log);
  assert.equal(log.stats().segments[0].readers, 4);
  gate.open();
  const expected = [pattern(500, 1), pattern(500, 2), pattern(20_000, 3)];
  assert.deepEqual((await reading).flat().map(text), [...expected, ...expected].map(text));
  await until(() => log.stats().segments[0].segmentId > 1);
  assert.equal(log.stats().readers, 0);
});

forEachFileManager('a read under way keeps a log from being shut down, or is cut off', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const { chunks: [{ position }] } = await log.append('in flight');
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'read' ? gate.pass() : undefined);
  const reading = log.read(position);
  await until(() => gate.arrivals === 1);
  const shutdown = log.shutdown();
  await assert.rejects(log.read(position), hasCode('WAL_CLOSED'));
  await assert.rejects(log.readMany([position]), hasCode('WAL_CLOSED'));
  assert.equal(await isSettled(shutdown), false, 'a file is not closed while it is being read');
  gate.open();
  assert.equal(text(await reading), 'in flight');
  await shutdown;
});

forEachFileManager('readMany answers in another order than it was asked in', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager, options: ROOMY });
  const lengths = Array.from({ length: 60 }, (_, i) => (i % 7 === 3 ? 5000 : i * 20));
  const written: Written[] = [];
  for (const [i, length] of lengths.entries()) {
    written.push({ data: pattern(length, i), position: (await log.append(pattern(length, i))).chunks[0].position });
    if (i === 20 || i === 40) await log.checkpointActive();
  }
  assert.equal(log.stats().segments.length, 3);
  const orders = [
    written, [...written].reverse(), [...written, ...written], written.filter((_, i) => i % 9 === 4), written.slice(0, 1), [],
    Array.from({ length: 3000 }, (_, i) => written[(i * 37) % 60]),
  ];
  for (const order of orders) {
    const found = await log.readMany(order.map(({ position }) => position));
    assert.equal(found.length, order.length);
    for (const [i, { data }] of order.entries()) assert.ok(data.equals(found[i]), `chunk ${i} of ${order.length}`);
  }
  const [first, second] = await log.readMany([written[1].position, written[1].position]);
  first.fill(0);
  assert.ok(written[1].data.equals(second), 'two answers share memory');
  manager.letGo();
});

inMemory('neighbours do not share a read, or chunks far apart do', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  const small = await log.appendBatch(Array.from({ length: 64 }, (_, i) => pattern(256, i)));
  await log.append(pattern(300_000));
  const far = await log.append(pattern(256));
  await quiet(faulty);
  const positions = [...small, far].map(({ chunks: [{ position }] }) => position);
  const before = faulty.calls.length;
  await log.readMany([...positions].reverse());
  const reads = faulty.calls.slice(before);
  assert.deepEqual(reads.map(({ operation, position }) => [operation, position]), [
    ['read', positions[0].offset], ['read', positions[64].offset],
  ]);
  const bytes = reads.reduce((sum, { length = 0 }) => sum + length, 0);
  assert.ok(bytes < 32 * 1024, `${bytes} bytes for ${65 * 256}`);
});

forEachFileManager('readMany hides that one chunk is gone or damaged, or keeps segments for it', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  for (const wrong of [undefined, null, 1, 'x', {}, new Set()]) {
    const expected = { name: 'TypeError', message: /must be an array/ };
    await assert.rejects(log.readMany(wrong as LogPosition[]), expected);
  }
  const entries = await log.appendBatch([pattern(100), pattern(200), pattern(9000)]);
  const positions = entries.map(({ chunks: [{ position }] }) => position);
  await assert.rejects(log.readMany([positions[0], {} as LogPosition]), { name: 'TypeError', message: /positions\[1\]/ });
  await assert.rejects(log.readMany(positions, { signal: 1 as never }), TypeError);
  await assert.rejects(log.read(positions[0], { signal: 1 as never }), TypeError);
  await assert.rejects(log.read({} as LogPosition), TypeError);
  await assert.rejects(log.readMany([...positions, new LogPosition(7, 62)]), { ...hasCode('WAL_POSITION_GONE'), segmentId: 7 });
  await assert.rejects(log.readMany([...positions, new LogPosition(1, 100)]), { ...hasCode('WAL_CORRUPT'), offset: 100 });
  for (const { offset } of positions) {
    for (const at of [offset + 1, offset + 20]) {
      await storage.damage('wal-1', at);
      await assert.rejects(log.readMany(positions), { ...hasCode('WAL_CORRUPT'), offset });
      await assert.rejects(log.read(new LogPosition(1, offset)), { ...hasCode('WAL_CORRUPT'), offset });
      await storage.damage('wal-1', at);
    }
  }
  assert.equal((await log.readMany(positions)).length, 3);
  assert.equal(log.stats().readers, 0);
});
