/** Random reads: what they wait for, what they pin, and what they refuse. */
import assert from 'node:assert/strict';
import type { ChunkReader, LogPosition, WriteAheadLog } from '../../src/index.js';
import {
  checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, pattern, RecordingManager, text,
  turns, until,
} from '../tools/helpers.js';

const ROOMY = { preallocateBytes: 2 * 1024 * 1024, checkpointAfterBytes: 1024 * 1024, bufferBytes: 4096 };
const gone = { name: 'WalError', code: 'WAL_POSITION_GONE' };
const corrupt = { name: 'WalError', code: 'WAL_CORRUPT' };

async function readAll(log: WriteAheadLog, position: LogPosition): Promise<string> {
  const reader = await log.readAt(position);
  try {
    return text(await reader.readAll());
  } finally {
    await reader.close();
  }
}

async function collect(reader: ChunkReader): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of reader) pieces.push(piece);
  return Buffer.concat(pieces);
}

forEachFileManager('a chunk is read in pieces of any size; its checksum is known at its end', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const data = pattern(700_000);
  const { chunks: [{ position, crc }] } = await log.append(data);
  assert.notEqual(crc, 0);
  for (const size of [1000, 16_384, 65_536, 700_000, 1_000_000]) {
    const reader = await log.readAt(position);
    assert.equal(reader.length, data.length);
    const found: Buffer[] = [];
    while (reader.bytesRemaining > 0) {
      const remaining = reader.bytesRemaining;
      await assert.rejects(reader.crcIsValid(), RangeError);
      const target = Buffer.alloc(size);
      const count = await reader.read(target);
      assert.equal(count, Math.min(size, remaining));
      assert.equal(reader.bytesRemaining, remaining - count);
      found.push(target.subarray(0, count));
    }
    assert.equal(await reader.read(Buffer.alloc(10)), 0);
    assert.equal(await reader.crcIsValid(), true);
    assert.ok(Buffer.concat(found).equals(data));
    await reader.close();
  }
  assert.ok((await collect(await log.readAt(position))).equals(data));
  const half = await log.readAt(position);
  await half.read(Buffer.alloc(300_000));
  assert.ok(Buffer.from(await half.readAll()).equals(data.subarray(300_000)));
  await half.close();
});

forEachFileManager('a reader pins its segment: what it reads stays as it was until it lets go', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const { chunks: [{ position }] } = await log.append(pattern(1000));
  const [first, second] = [await log.readAt(position), await log.readAt(position)];
  await first.read(Buffer.alloc(10));
  for (let i = 0; i < 8; i++) await fillSegment(log);
  await checkpointed(log);
  const reused = (): boolean => faulty.of('rename').some(({ name }) => name === 'wal-1-cp');
  assert.ok(log.stats().segmentsRecycled >= 3, 'other files have been recycled');
  assert.equal(reused(), false);
  assert.ok(Buffer.from(await first.readAll()).equals(pattern(1000).subarray(10)));
  await first.close();
  await first.close();
  for (let i = 0; i < 4; i++) await fillSegment(log);
  assert.equal(reused(), false, 'closing one reader twice does not count for the other');
  assert.ok((await collect(second)).equals(pattern(1000)), 'the end of the iteration closes the reader');
  while (!reused() && !faulty.of('remove').some(({ name }) => name === 'wal-1-cp')) await fillSegment(log);
});

forEachFileManager('breaking off an iteration, or leaving a scope, lets go of the segment too', async (storage) => {
  const log = await storage.open();
  const { chunks: [{ position }] } = await log.append(pattern(1500));
  const iterator = (await log.readAt(position))[Symbol.asyncIterator]();
  assert.equal((await iterator.next()).done, false);
  await iterator.return?.();
  await (await log.readAt(position))[Symbol.asyncDispose]();
  const recycled = log.stats().segmentsRecycled;
  await log.checkpointActive();
  await until(() => log.stats().segmentsRecycled > recycled);
});

forEachFileManager('a position is gone once its segment is checkpointed, not before', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const { chunks: [{ position }] } = await log.append('short-lived');
  await log.checkpointActive();
  await log.append('next');
  assert.equal(await readAll(log, position), 'short-lived');
  manager.letGo();
  await checkpointed(log);
  await turns();
  await assert.rejects(log.readAt(position), { ...gone, segmentId: 1, offset: position.offset });
});

forEachFileManager('a position that one opening, or recovery, handed out is good in the next', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const written = new Map<string, LogPosition>();
  for (let i = 0; i < 30; i++) {
    const { chunks: [{ position }] } = await log.append(`entry ${i} ${'x'.repeat(200)}`);
    written.set(`entry ${i} ${'x'.repeat(200)}`, position);
    if (i % 10 === 9) await log.checkpointActive();
  }
  const crashed = await storage.crash();
  const shown = new Map<string, LogPosition>();
  const reader = new HoardingManager();
  reader.onRecover = async (entry) => {
    for await (const chunk of entry) shown.set(text(await chunk.readAll()), chunk.position);
  };
  const reopened = await crashed.open({ manager: reader });
  assert.ok(reopened.recovery.segments >= 3);
  assert.deepEqual(shown, written);
  for (const [data, position] of written) assert.equal(await readAll(reopened, position), data);
  manager.letGo();
  reader.letGo();
});

forEachFileManager('nothing is read where nothing was committed', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const { chunks: [{ position }] } = await log.append('only entry');
  const { LogPosition: Position } = await import('../../src/index.js');
  const at = (offset: number, segmentId = 1) => log.readAt(new Position(segmentId, offset));
  await assert.rejects(at(position.offset, 2), gone);
  await assert.rejects(at(position.offset, 0), gone);
  await assert.rejects(at(position.offset + 1000), gone);
  await assert.rejects(at(0), gone);
  await assert.rejects(at(position.offset - 9), corrupt, 'the entry record');
  await assert.rejects(at(position.offset + 1), corrupt, 'the length');
  const end = position.offset + 9 + 'only entry'.length;
  await assert.rejects(at(end), corrupt, 'the end record');
  await assert.rejects(at(end + 5), gone, 'the tail');
});

inMemory('bytes of a payload that look like a chunk do not pass for a valid one', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const payload = Buffer.alloc(100, 7);
  payload.set([2, 10, 0, 0, 0], 0);
  payload.set([2, 0xff, 0xff, 0xff, 0xff], 30);
  const { chunks: [{ position }] } = await log.append(payload);
  const { LogPosition: Position } = await import('../../src/index.js');
  const reader = await log.readAt(new Position(1, position.offset + 5));
  assert.equal(reader.length, 10);
  await assert.rejects(reader.readAll(), corrupt);
  await reader.close();
  await assert.rejects(log.readAt(new Position(1, position.offset + 5 + 30)), corrupt);
});

inMemory('a read that waits for an entry hears when that is rolled back, or the log shut down', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  for (const end of ['roll back', 'shut down']) {
    const writer = await log.beginEntry();
    const { position } = await writer.writeChunk('never');
    const reading = log.readAt(position).then(() => 'read', (error: { code?: string }) => error.code);
    await turns();
    if (end === 'roll back') await writer.rollback();
    else await log.shutdown();
    assert.equal(await reading, 'WAL_POSITION_GONE');
  }
});

forEachFileManager('a chunk that was damaged on the disk since does not pass for whole', async (storage) => {
  for (const length of [100, 500_000]) {
    const log = await storage.open({ options: ROOMY });
    const { chunks: [{ position }] } = await log.append(pattern(length));
    await storage.damage(`wal-${position.segmentId}`, position.offset + 5 + length - 1);
    const expected = { ...corrupt, segmentId: position.segmentId, offset: position.offset };
    const whole = await log.readAt(position);
    await assert.rejects(whole.readAll(), expected);
    await whole.close();
    await assert.rejects(collect(await log.readAt(position)), expected);
    const pieces = await log.readAt(position);
    await pieces.read(Buffer.alloc(length));
    assert.equal(await pieces.crcIsValid(), false);
    await pieces.close();
    await log.shutdown();
    for (const name of (await storage.files()).keys()) await storage.remove(name);
  }
});

forEachFileManager('a reader that outlives the log hears that its position is gone', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const { chunks: [{ position }] } = await log.append(pattern(100_000));
  const reader = await log.readAt(position);
  await reader.read(Buffer.alloc(50_000));
  await log.shutdown();
  await assert.rejects(reader.read(Buffer.alloc(50_000)), gone);
  await reader.close();
  await assert.rejects(log.readAt(position), { code: 'WAL_CLOSED' });
});

inMemory('a closed reader reads no more', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const { chunks: [{ position }] } = await log.append('data');
  const reader = await log.readAt(position);
  await reader.close();
  await assert.rejects(reader.read(Buffer.alloc(4)), TypeError);
  await assert.rejects(reader.readAll(), TypeError);
  await assert.rejects(reader.crcIsValid(), TypeError);
  await assert.rejects(collect(reader), TypeError);
});

inMemory('an entry of a recovery can be read chunk by chunk, in pieces or as a whole', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  await log.append(['small', '', pattern(300_000)]);
  const manager = new RecordingManager();
  const found: Buffer[] = [];
  manager.onRecover = async (entry) => {
    for await (const chunk of entry) {
      const pieces: Uint8Array[] = [];
      for await (const piece of chunk) pieces.push(piece);
      assert.equal(Buffer.concat(pieces).length, chunk.length);
      assert.ok(Buffer.concat(pieces).equals(await chunk.readAll()));
      found.push(Buffer.concat(pieces));
    }
    assert.deepEqual((await entry.readAllChunks()).map((chunk) => Buffer.from(chunk)), found);
  };
  await (await storage.crash()).open({ manager, options: ROOMY });
  assert.deepEqual(found.map(({ length }) => length), [5, 0, 300_000]);
});

forEachFileManager('a second read at once takes nothing of the first, and does not pass for damage', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const data = pattern(100_000);
  const { chunks: [{ position }] } = await log.append(data);
  const reader = await log.readAt(position);
  const expected = { name: 'TypeError', message: /await the call before/ };
  const target = Buffer.alloc(60_000);
  const reading = reader.read(target);
  await assert.rejects(reader.read(Buffer.alloc(60_000)), expected);
  await assert.rejects(reader.readAll(), expected);
  await assert.rejects(reader.crcIsValid(), expected);
  assert.equal(await reading, 60_000);
  assert.ok(target.equals(data.subarray(0, 60_000)));
  const rest = reader.readAll();
  await assert.rejects(reader.readAll(), expected);
  assert.ok(Buffer.from(await rest).equals(data.subarray(60_000)));
  assert.equal(await reader.crcIsValid(), true);
  await reader.close();

  const other = await log.readAt(position);
  const first = other[Symbol.asyncIterator]().next();
  await assert.rejects(other.readAll(), expected);
  await assert.rejects(other[Symbol.asyncIterator]().next(), expected);
  assert.ok(data.subarray(0, 100_000).equals((await first).value ?? Buffer.alloc(0)));
  await other.close();
});

forEachFileManager('a reader that is closed lets go of its segment only when the read under way has ended', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const { chunks: [{ position }] } = await log.append(pattern(100_000));
  const reader = await log.readAt(position);
  const reading = reader.readAll();
  await reader.close();
  assert.equal(log.stats().segments[0].readers, 1);
  assert.ok(pattern(100_000).equals(await reading));
  assert.equal(log.stats().segments[0].readers, 0);
});
