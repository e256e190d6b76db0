/** The fault matrix, rows 24, 25, 27, 28, 30, 31, 33 and 36: checkpoints, readers, clocks, sizes and shutdowns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lockDirectory } from '../../src/files/lock/directory-lock.js';
import { CHUNK_OVERHEAD } from '../../src/format/segment-format.js';
import type { ChunkReader, WalOptions, WriteAheadLog } from '../../src/index.js';
import { KeepingManager, openWithFaults, outcomeOf, ROOMY } from '../tools/fault-matrix-parts.js';
import { Gate } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled, pattern,
  RecordingManager, TestEnvironment, turns, until, withTemporaryDirectory,
} from '../tools/helpers.js';

// What somebody throws need not be an error, whatever its type says.
const nothing = undefined as unknown as Error;

const FAILURES: Readonly<Record<string, () => void | Promise<void>>> = {
  'throws': () => { throw new Error('thrown'); },
  'throws no error': () => { throw nothing; },
  'rejects': async () => { throw new Error('rejected'); },
  'returns a promise that rejects later': () => turns(3).then(() => Promise.reject(new Error('late'))),
};

for (const [what, fail] of Object.entries(FAILURES)) {
  inMemory(`row 24: a checkpointTo that ${what} is reported and tried again, frees nothing, and commits go on`, async (base) => {
    const environment = new TestEnvironment();
    const manager = new RecordingManager();
    manager.onCheckpoint = fail;
    const log = await base.open({ manager, environment });
    const failures: { code: string; attempt: number; retryInMs: number }[] = [];
    log.on('checkpointFailed', ({ error, attempt, retryInMs }) => failures.push({ code: error.code, attempt, retryInMs }));
    const ids = [...await fillSegment(log), ...await fillSegment(log)];
    for (let attempt = 1; attempt <= 4; attempt++) {
      await until(() => failures.length === attempt);
      ids.push((await log.append(`after attempt ${attempt}`)).id);
      environment.fire();
    }
    assert.deepEqual(failures.map(({ code, attempt }) => `${code} ${attempt}`), [1, 2, 3, 4].map((n) => `WAL_LOG_MANAGER_FAILED ${n}`));
    const pauses = failures.map(({ retryInMs }) => retryInMs);
    assert.deepEqual(pauses, [...new Set(pauses)].sort((a, b) => a - b), 'the pauses grow');
    assert.deepEqual((await (await base.crash()).contents()).map(({ id }) => id), ids, 'nothing was freed');
    manager.onCheckpoint = () => undefined;
    environment.fire();
    await checkpointed(log);
    const handedOver = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
    const left = (await (await base.crash()).contents()).map(({ id }) => id);
    assert.deepEqual([...handedOver, ...left], ids);
  });
}

forEachFileManager('row 25: a checkpointTo that never returns holds up shutdown() as documented, and nothing else', async (base) => {
  const manager = new HoardingManager();
  const log = await base.open({ manager });
  const ids: number[] = [];
  for (let i = 0; i < 4; i++) ids.push(...await fillSegment(log));
  ids.push((await log.append('and on')).id);
  const shutdown = log.shutdown();
  assert.equal(await isSettled(shutdown), false);
  assert.equal(await outcomeOf(log.append('too late')), 'WAL_CLOSED');
  await assert.rejects(base.open(), { code: 'WAL_LOCKED' });
  manager.letGo();
  await shutdown;
  // The checkpoint that was running is done; no other was begun.
  assert.equal(manager.checkpoints.length, 1);
  const handedOver = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
  assert.deepEqual([...handedOver, ...(await base.contents()).map(({ id }) => id)], ids);
});

forEachFileManager('row 27: with everything checkpointed, reopened ten times, no id is ever given again', async (base) => {
  const given: number[] = [];
  for (let round = 0; round < 10; round++) {
    const manager = new RecordingManager();
    const log = await base.open({ manager });
    assert.deepEqual(manager.recovered, []);
    const { nextId } = log.stats();
    assert.ok(nextId > Math.max(0, ...given), `${nextId} in round ${round}`);
    for (let i = 0; i < round % 3; i++) given.push((await log.append('entry')).id);
    // Every second round a rollback takes the highest id.
    if (round % 2 === 1) {
      const writer = await log.beginEntry();
      await writer.rollback();
    }
    await checkpointAll(log);
    await log.shutdown();
  }
  assert.deepEqual(given, [...new Set(given)].sort((a, b) => a - b));
  assert.ok(given.length >= 9);
});

/** Reads the next bytes, or the code of the error. */
async function readNext(reader: ChunkReader, length: number): Promise<string> {
  const target = Buffer.alloc(length);
  try {
    return target.subarray(0, await reader.read(target)).toString('hex');
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

forEachFileManager('row 28: a reader held across checkpoint, recycling and shutdown reads what was there, or that it is gone', async (base) => {
  const log = await base.open();
  const data = pattern(40_000);
  const { chunks: [{ position }] } = await log.append(data);
  const readers = await Promise.all(Array.from({ length: 3 }, () => log.readAt(position)));
  for (let i = 0; i < 6; i++) await fillSegment(log);
  await checkpointed(log);
  assert.equal(await outcomeOf(log.readAt(position)), 'WAL_POSITION_GONE', 'nobody else can read it any more');
  assert.equal(await readNext(readers[0], 39_000), data.subarray(0, 39_000).toString('hex'));
  assert.equal(Buffer.compare(await readers[1].readAll(), data), 0);
  await readers[1].close();
  await fillSegment(log);
  assert.equal(Buffer.compare(await readers[0].readAll(), data.subarray(39_000)), 0, 'one reader still holds the segment');
  await readers[0].close();
  await log.shutdown();
  const late = await readNext(readers[2], 39_000);
  assert.ok(late === 'WAL_POSITION_GONE' || late === data.subarray(0, 39_000).toString('hex'), late.slice(0, 100));
  await readers[2].close();
});

inMemory('row 28: the file that a reader holds is not used again before it lets go', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const { chunks: [{ position }] } = await log.append('held');
  const reader = await log.readAt(position);
  const uses = () => faulty.calls.filter(({ operation, name }) => ['write', 'rename', 'remove'].includes(operation) && name === 'wal-1-cp');
  for (let i = 0; i < 8; i++) await fillSegment(log);
  assert.deepEqual(uses(), []);
  await reader.close();
  // The file used last comes last in line.
  for (let i = 0; i < 8; i++) await fillSegment(log);
  assert.ok(uses().length > 0);
});

const DAY_MS = 24 * 60 * 60 * 1000;

/** Sets the system's clock while `use` runs, as far as this program can see. */
async function withClockSetBy(milliseconds: () => number, use: () => Promise<void>): Promise<void> {
  const { now } = Date;
  Date.now = () => now() + milliseconds();
  try {
    await use();
  } finally {
    Date.now = now;
  }
}

forEachFileManager('row 30: a clock set back and forward by a day changes nothing', async (base) => {
  let offset = 0;
  await withClockSetBy(() => offset, async () => {
    const ids: number[] = [];
    const manager = new RecordingManager();
    for (const days of [0, 1, -1, 1, 0]) {
      const log = await base.open({ manager });
      ids.push((await log.append('before')).id);
      offset = days * DAY_MS;
      ids.push(...await fillSegment(log), (await log.append('behind')).id);
      await assert.rejects(base.open(), { code: 'WAL_LOCKED' });
      offset = -days * DAY_MS;
      await checkpointed(log);
      await log.shutdown();
      assert.ok(log.recovery.durationMs >= 0 && log.recovery.durationMs < DAY_MS);
    }
    const handedOver = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
    assert.deepEqual([...handedOver, ...(await base.contents()).map(({ id }) => id)], ids);
  });
});

test('row 30: a heartbeat that a clock set forward makes look old is not taken from a living owner', async () => {
  await withTemporaryDirectory(async (directory) => {
    const compromised: Error[] = [];
    const lock = await lockDirectory(directory, (cause) => compromised.push(cause), null);
    for (const days of [1, -1]) {
      await withClockSetBy(() => days * DAY_MS, async () => {
        await assert.rejects(lockDirectory(directory, () => undefined, null), { code: 'WAL_LOCKED' });
        await assert.rejects(lockDirectory(directory, () => undefined), { code: 'WAL_LOCKED' });
      });
    }
    await lock.release();
    assert.deepEqual(compromised, []);
    await (await lockDirectory(directory, () => undefined, null)).release();
  });
});

forEachFileManager('row 31: a version info that changes between openings is kept by each segment as it was', async (base) => {
  const infos = ['', 'one', 'another '.repeat(30), '\u0001\u0002\u0003\u0004\u0005'].map((info) => Buffer.from(info));
  const expected: string[] = [];
  for (const versionInfo of infos) {
    const log = await base.open({ manager: new KeepingManager(), options: { versionInfo } });
    // The segment that was active goes on under the info it was begun with.
    if (expected.length === 0) expected.push(versionInfo.toString());
    await fillSegment(log);
    expected.push(versionInfo.toString());
    await log.append('in the new one');
    await log.shutdown();
  }
  const manager = new KeepingManager();
  const ids: number[] = [];
  manager.onRecover = ({ id }) => void ids.push(id);
  await base.open({ manager });
  assert.deepEqual(manager.segments.map(({ versionInfo }) => Buffer.from(versionInfo).toString()), expected);
  assert.deepEqual(ids, Array.from(ids, (_, i) => i + 1));
});

const BUFFER = 8192;
const SEGMENT = 16 * 1024;
const SIZES: WalOptions = {
  preallocateBytes: SEGMENT, checkpointAfterBytes: SEGMENT - 1, bufferBytes: BUFFER, maxPendingBytes: 4 * SEGMENT,
};
const AROUND = [512, 4096, BUFFER - CHUNK_OVERHEAD, BUFFER, SEGMENT - 200, SEGMENT, 4 * SEGMENT, 40 * SEGMENT];
const LENGTHS = [0, 1, ...AROUND.flatMap((length) => [length - 1, length, length + 1])];

async function appendEach(log: WriteAheadLog, how: string, data: Buffer): Promise<void> {
  if (how === 'append') {
    await log.append(data);
    return;
  }
  const writer = await log.beginEntry();
  if (how === 'writeChunk') await writer.writeChunk(data);
  else {
    const chunk = await writer.beginChunk(data.length);
    for (let from = 0; from < data.length; from += 5000) await chunk.write(data.subarray(from, from + 5000));
    await chunk.finish();
  }
  await writer.commit();
}

for (const how of ['append', 'writeChunk', 'beginChunk']) {
  const what = 'chunks of nothing, and around a sector, a buffer, a segment and far beyond';
  forEachFileManager(`row 33: ${what}, go through ${how} unchanged`, async (base) => {
    const log = await base.open({ manager: new KeepingManager(), options: SIZES, environment: new TestEnvironment() });
    for (const length of LENGTHS) await appendEach(log, how, pattern(length, length));
    const found: Buffer[] = [];
    const manager = new KeepingManager();
    manager.onRecover = async (entry) => void found.push(...(await entry.readAllChunks()).map((bytes) => Buffer.from(bytes)));
    await (await base.crash()).open({ manager, options: SIZES });
    assert.deepEqual(found.map(({ length }) => length), LENGTHS);
    for (const [i, length] of LENGTHS.entries()) assert.ok(found[i].equals(pattern(length, length)), `${length} bytes`);
  });
}

inMemory('row 33: a chunk of 2^32 bytes is WAL_TOO_LARGE before anything is written', async (base) => {
  const { log, faulty } = await openWithFaults(base);
  // Never touched, so that the system never has to find the memory.
  const huge = new Uint8Array(2 ** 32);
  const writes = faulty.of('write').length;
  const { nextId } = log.stats();
  assert.equal(await outcomeOf(log.append(huge)), 'WAL_TOO_LARGE');
  assert.equal(await outcomeOf(log.append(['small', huge])), 'WAL_TOO_LARGE');
  assert.equal(log.stats().nextId, nextId);
  const writer = await log.beginEntry();
  assert.equal(await outcomeOf(writer.writeChunk(huge)), 'WAL_TOO_LARGE');
  assert.equal(await outcomeOf(writer.beginChunk(2 ** 32)), 'WAL_TOO_LARGE');
  assert.equal(await outcomeOf(writer.beginChunk(2 ** 53)), 'WAL_TOO_LARGE');
  await turns();
  assert.equal(faulty.of('write').length, writes);
  await writer.writeChunk('the entry goes on');
  await writer.commit();
  assert.deepEqual((await (await base.crash()).contents(ROOMY)).map(({ chunks }) => chunks), [['the entry goes on']]);
});

forEachFileManager('row 36: a shutdown with commits in flight, asked for twice, settles each once, and then all is WAL_CLOSED', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const { chunks: [{ position }] } = await log.append('first');
  await turns();
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined);
  const settled: string[] = [];
  const watch = (what: string, promise: Promise<unknown>): Promise<void> => {
    return outcomeOf(promise).then((outcome) => void settled.push(`${what} ${outcome}`));
  };
  const watched = [watch('in flight', log.append('in flight'))];
  await until(() => gate.arrivals === 1);
  for (let i = 0; i < 5; i++) watched.push(watch('gathered', log.append(`gathered ${i}`)));
  const open = await log.beginEntry();
  await open.writeChunk('never committed');
  watched.push(watch('queued', log.append('queued')), watch('place', log.beginEntry()), watch('rotation', log.checkpointActive()));
  const shutdowns = [log.shutdown(), log.shutdown()];
  assert.equal(await isSettled(shutdowns[0]), false);
  gate.open();
  await Promise.all([...watched, ...shutdowns, log.shutdown()]);
  assert.deepEqual(settled.sort(), [
    ...Array.from({ length: 5 }, () => 'gathered resolved'), 'in flight resolved', 'place WAL_CLOSED', 'queued resolved', 'rotation WAL_CLOSED',
  ]);
  for (const use of [log.append('x'), log.beginEntry(), log.checkpointActive(), log.readAt(position)]) {
    assert.equal(await outcomeOf(use), 'WAL_CLOSED');
  }
  assert.equal(await outcomeOf(open.writeChunk('x')), 'WAL_CLOSED');
  faulty.before = () => undefined;
  const left = (await base.contents()).map(({ chunks }) => chunks.join());
  assert.deepEqual(left, ['first', 'in flight', ...Array.from({ length: 5 }, (_, i) => `gathered ${i}`), 'queued']);
});
