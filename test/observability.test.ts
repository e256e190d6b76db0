import assert from 'node:assert/strict';
import { channel, tracingChannel } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import type { WriteAheadLog } from '../src/index.js';
import { fillSegment, HoardingManager, inMemory, forEachFileManager, pattern, turns, until } from './helpers.js';

/** Everything that is published on a tracing channel while `use` runs, as `stage` and context. */
async function traces(name: string, use: () => Promise<unknown>): Promise<{ stage: string; context: object }[]> {
  const seen: { stage: string; context: object }[] = [];
  const note = (stage: string) => (context: object) => void seen.push({ stage, context: { ...context } });
  const subscribers = {
    start: note('start'), end: note('end'), asyncStart: note('asyncStart'), asyncEnd: note('asyncEnd'), error: note('error'),
  };
  const traced = tracingChannel<object, object>(name);
  traced.subscribe(subscribers);
  try {
    await use();
  } finally {
    traced.unsubscribe(subscribers);
  }
  return seen;
}

inMemory('a trace tells nothing of a commit, or more of it than its ids and places', async (storage) => {
  const log = await storage.open();
  const secret = 'do not tell';
  const seen = await traces('segmented-wal:commit', async () => {
    await log.append(secret);
    await log.appendBatch([secret, [secret, secret]]);
    const writer = await log.beginEntry();
    await writer.writeChunk(secret);
    await writer.commit();
  });
  assert.deepEqual(seen.map(({ stage }) => stage), Array(3).fill(['start', 'end', 'asyncStart', 'asyncEnd']).flat());
  const results = seen.filter(({ stage }) => stage === 'asyncEnd').map(({ context }) => (context as { result: unknown }).result);
  assert.equal((results[0] as { id: number }).id, 1);
  assert.equal(results[2], 4);
  const text = inspect(seen, { depth: Infinity });
  assert.ok(!text.includes(secret) && !text.includes(Buffer.from(secret).toString('hex', 0, 4)), text);
});

inMemory('a trace leaves out a flush, or does not say that it failed', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const seen = await traces('segmented-wal:flush', async () => {
    await Promise.all([log.append('one'), log.append('two')]);
    faulty.before = ({ operation }) => {
      if (operation === 'write') throw Object.assign(new Error('EIO'), { code: 'EIO' });
    };
    await assert.rejects(log.append('three'), { code: 'WAL_FAILED' });
  });
  const [{ context }] = seen;
  const { entries, bytes, isDurable, segmentId } = context as Record<string, unknown>;
  assert.deepEqual({ entries, isDurable, segmentId }, { entries: 2, isDurable: true, segmentId: 1 });
  assert.ok((bytes as number) > 40);
  assert.equal(seen.filter(({ stage }) => stage === 'start').length, 2);
  assert.equal(seen.filter(({ stage }) => stage === 'error').length, 1);
});

inMemory('a trace leaves out an opening or a checkpoint', async (storage) => {
  let log: WriteAheadLog | undefined;
  const openings = await traces('segmented-wal:recover', async () => {
    log = await storage.open();
  });
  assert.deepEqual(openings.map(({ stage }) => stage), ['start', 'end', 'asyncStart', 'asyncEnd']);
  const checkpoints = await traces('segmented-wal:checkpoint', async () => {
    const ids = await fillSegment(log as WriteAheadLog);
    await until(() => log?.stats().segmentsToCheckpoint === 0 && log.stats().segmentsRecycled > 0);
    assert.ok(ids.length > 0);
  });
  assert.equal((checkpoints[0].context as { segmentId: number }).segmentId, 1);
});

inMemory('an event is heard by those who have the log, but not by those who have only its channel', async (storage) => {
  const log = await storage.open();
  const messages: unknown[] = [];
  const note = (message: unknown): void => void messages.push(message);
  channel('segmented-wal:segment').subscribe(note);
  try {
    await fillSegment(log);
    await turns();
  } finally {
    channel('segmented-wal:segment').unsubscribe(note);
  }
  assert.equal(messages.length, 1);
  const { directory, segmentId } = messages[0] as { directory: string; segmentId: number };
  assert.equal(segmentId, log.stats().segments.at(-1)?.segmentId);
  assert.ok(directory.length > 0);
});

forEachFileManager('stats() counts flushes without their time, or takes a commit to be faster than its flush', async (storage) => {
  const log = await storage.open({ options: { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60_000 } });
  for (let i = 0; i < 20; i++) await Promise.all([log.append(pattern(100)), log.append(pattern(100))]);
  const { flushes, flushLatency, commitLatency } = log.stats();
  assert.ok(flushes > 0);
  assert.equal(flushLatency.count, flushes);
  assert.ok(commitLatency.max >= flushLatency.min);
});

inMemory('stats() does not say why a segment is still there', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const { chunks: [{ position }] } = await log.append('to be read');
  await fillSegment(log);
  const states = () => log.stats().segments.map(({ state, readers, heldBy }) => ({ state, readers, heldBy }));
  const active = { state: 'active', readers: 0, heldBy: [] };
  assert.deepEqual(states(), [{ state: 'closed', readers: 0, heldBy: [] }, active]);
  assert.ok(log.stats().bytesToCheckpoint > 0);
  const hold = await log.hold('replica');
  const reader = await log.readAt(position);
  manager.letGo();
  await until(() => log.stats().segmentsToCheckpoint === 0);
  assert.deepEqual(states(), [{ state: 'held', readers: 1, heldBy: ['replica'] }, active]);
  await hold.release();
  await until(() => log.stats().segments[0].state === 'read');
  assert.deepEqual(states(), [{ state: 'read', readers: 1, heldBy: [] }, active]);
  assert.equal(log.stats().readers, 1);
  await reader.close();
  await until(() => log.stats().segments.length === 1);
});
