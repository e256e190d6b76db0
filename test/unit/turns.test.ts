import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TurnBudget } from '../../src/base/turns.js';
import { decodeHeader, MAX_HEADER_LENGTH, type SegmentHeader } from '../../src/format/segment-format.js';
import { WriteAheadLog, type LogManager, type WalError } from '../../src/index.js';
import { provenEnd } from '../../src/segment/proof.js';
import { Segment } from '../../src/segment/segment.js';
import { systemError } from '../tools/faulty-file-manager.js';
import { forEachFileManager, inMemory, until, type Storage } from '../tools/helpers.js';
import { KeepingManager } from '../tools/iterating.js';
import { TurnMeter } from '../tools/turn-meter.js';

/** Handles `count` items of `bytes` bytes. Returns the most that one turn of the event loop had to handle. */
async function handle(count: number, bytes: number): Promise<TurnMeter> {
  const meter = new TurnMeter();
  const turn = new TurnBudget();
  for (let i = 0; i < count; i++) {
    meter.hit();
    if (turn.spend(bytes)) await turn.nextTurn();
  }
  meter.stop();
  return meter;
}

test('a long loop over small items in memory lets the event loop turn after every thousand or so', async () => {
  const { most, turns } = await handle(20_000, 16);
  assert.ok(most <= 1024, `${most} items in one turn`);
  assert.ok(turns >= 15, `${turns} turns`);
});

test('large items fill a turn by their bytes, small work is done within one', async () => {
  assert.ok((await handle(40, 1024 * 1024)).most <= 4);
  assert.equal((await handle(900, 16)).turns, 0);
});

/** Entries so small that one block holds all of them. */
const MANY = 20_000;
const LARGE = { preallocateBytes: 4 * 1024 * 1024, checkpointAfterBytes: 3 * 1024 * 1024, bufferBytes: 1024 * 1024 };

async function writeMany(storage: Storage): Promise<WriteAheadLog> {
  const log = await storage.open({ manager: new KeepingManager(), options: LARGE });
  log.on('checkpointFailed', () => undefined);
  await log.appendBatch(Array.from({ length: MANY }, () => 'x'));
  return log;
}

/** How many of `MANY` entries `read` hands over in one turn of the event loop at most. */
async function mostPerTurn(read: (hit: () => void) => Promise<unknown>): Promise<number> {
  const meter = new TurnMeter();
  let count = 0;
  await read(() => {
    count++;
    meter.hit();
  });
  meter.stop();
  assert.equal(count, MANY);
  return meter.most;
}

async function hitEach(entries: AsyncIterable<unknown>, hit: () => void): Promise<void> {
  for await (const _ of entries) hit();
}

forEachFileManager('a recovery of many small entries does not hold the event loop', async (storage) => {
  const log = await writeMany(storage);
  await log.shutdown();
  const most = await mostPerTurn(async (hit) => {
    const manager = new KeepingManager();
    manager.recover = async () => hit();
    await storage.open({ manager, options: LARGE });
  });
  assert.ok(most <= 1024, `${most} entries in one turn`);
});

forEachFileManager('an iteration that awaits nothing else does not hold the event loop', async (storage) => {
  const log = await writeMany(storage);
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  for (const entries of [log.entries(), log.entries({ from: 1, follow: false }), reader.entries()]) {
    const most = await mostPerTurn((hit) => hitEach(entries, hit));
    assert.ok(most <= 1024, `${most} entries in one turn`);
  }
  await reader.close();
});

inMemory('opening a reader walks over many small entries without holding the event loop', async (storage) => {
  await writeMany(storage);
  const meter = new TurnMeter();
  const reader = await WriteAheadLog.openReadOnly(storage.directory, {
    fileManager: storage.fileManager, bufferBytes: 16 * 1024 * 1024,
  });
  meter.stop();
  assert.equal(reader.lastId, MANY);
  // The reads take 16 of them.
  assert.ok(meter.turns >= 16 + Math.floor(MANY / 1024), `${meter.turns} turns`);
  await reader.close();
});

forEachFileManager('a checkpoint of many small entries does not hold the event loop', async (storage) => {
  let entriesOf!: (hit: () => void) => Promise<void>;
  let finish!: () => void;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const manager: LogManager = {
    recover: () => undefined,
    checkpointTo: (_lastId, entries) => {
      entriesOf = (hit) => hitEach(entries, hit);
      return finished;
    },
  };
  const log = await storage.open({ manager, options: LARGE });
  await log.appendBatch(Array.from({ length: MANY }, () => 'x'));
  await log.checkpointActive();
  await until(() => entriesOf !== undefined);
  const most = await mostPerTurn((hit) => entriesOf(hit));
  finish();
  assert.ok(most <= 1024, `${most} entries in one turn`);
});

forEachFileManager('bytes that all look like records are searched for proof in more than one turn', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: LARGE });
  // Each word could be a mark, so every one of them is checksummed.
  const words = Buffer.alloc(2 * 1024 * 1024);
  for (let at = 0; at < words.length; at += 8) words[at] = 4;
  const { chunks: [{ position }] } = await log.append(words);
  await log.shutdown();
  const file = await storage.fileManager.open(`${storage.directory}/wal-1`, { access: 'read' });
  const start = (await storage.get('wal-1')).subarray(0, MAX_HEADER_LENGTH);
  const header = decodeHeader(start) as SegmentHeader;
  const segment = new Segment(header, 1, 'wal-1', file);
  const meter = new TurnMeter();
  const proven = await provenEnd(segment, position.offset, 16 * 1024 * 1024);
  meter.stop();
  await file.close();
  assert.ok(proven >= position.offset + words.length, 'the link of the shutdown is found');
  assert.ok(meter.turns >= 8, `${meter.turns} turns for one block`);
});

/** Appends `MANY` entries that share a flush, and notes what their callers are told, in its order. */
function appendMany(log: WriteAheadLog, told: unknown[], hit: () => void): Promise<unknown> {
  return Promise.all(Array.from({ length: MANY }, async (_, i) => {
    // Both kinds of waiters, and what is to be applied, take their turns together.
    const onCommitted = (): unknown => told.push('called');
    const { id } = await log.append('x', { durable: i % 2 === 0, onCommitted });
    hit();
    told.push(id);
  }));
}

forEachFileManager('very many appends that share a flush are acknowledged in one turn of the event loop', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: LARGE });
  log.on('checkpointFailed', () => undefined);
  const told: unknown[] = [];
  const meter = new TurnMeter();
  let last: Promise<unknown> | undefined;
  const appends = appendMany(log, told, () => {
    meter.hit();
    // Its flush is short, and durable before all of them have been told.
    last ??= log.append('last').then(({ id }) => told.push(id));
  });
  await until(() => last !== undefined);
  // It ends only after everyone has been told.
  await log.shutdown();
  meter.stop();
  assert.deepEqual(told.filter((what) => what !== 'called'), Array.from({ length: MANY + 1 }, (_, i) => i + 1));
  assert.equal(told.length, 2 * MANY + 1);
  assert.ok(meter.most <= 5000, `${meter.most} appends in one turn`);
  await appends;
});

inMemory('a log that fails while appends are acknowledged forgets those it has not told yet', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options: LARGE });
  let isArmed = false;
  faulty.before = ({ operation }) => {
    if (isArmed && operation === 'write') throw systemError('EIO');
  };
  const told: unknown[] = [];
  const appends = appendMany(log, told, () => {
    if (isArmed) return;
    isArmed = true;
    void log.append('fails').catch((error: WalError) => told.push(error.code));
  });
  await until(() => told.includes('WAL_FAILED'));
  await log.shutdown();
  assert.equal(told.length, 2 * MANY + 1);
  await appends;
});
