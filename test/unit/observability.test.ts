import assert from 'node:assert/strict';
import { channel, tracingChannel } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import type { LogPosition, WriteAheadLog } from '../../src/index.js';
import {
  checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, TestEnvironment, turns, until,
} from '../tools/helpers.js';

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
  await checkpointed(log);
  assert.deepEqual(states(), [{ state: 'held', readers: 1, heldBy: ['replica'] }, active]);
  await hold.release();
  await until(() => log.stats().segments[0].state === 'read');
  assert.deepEqual(states(), [{ state: 'read', readers: 1, heldBy: [] }, active]);
  assert.equal(log.stats().readers, 1);
  await reader.close();
  await until(() => log.stats().segments.length === 1);
});

inMemory('commitLatency counts the pause before a commit, or what waits for a sync and is no commit', async (base) => {
  const { storage, faulty } = base.withFaults();
  const environment = new TestEnvironment();
  const log = await storage.open({ environment });
  // A sync of the segment takes 100 ns, and nothing else any time. The least that is counted is 1 ns.
  faulty.before = ({ operation, name }) => {
    if (operation === 'sync' && name === 'wal-1') environment.time += 0.0001;
  };
  const before = log.stats();
  before.commitLatency.reset();
  before.flushLatency.reset();
  await Promise.all([log.append('one'), log.append('two')]);
  for (const wait of [() => log.sync(), (position: LogPosition) => log.readAt(position)]) {
    const { chunks: [{ position }] } = await log.append('need not be durable', { durable: false });
    const reader = await wait(position);
    environment.time += 3_600_000;
    await log.append('much later');
    await reader?.close();
  }
  const { commitLatency, flushLatency, flushes } = log.stats();
  for (const { count, min, max } of [commitLatency, flushLatency]) {
    assert.deepEqual({ count, min, max }, { count: 5, min: 1, max: 100 });
  }
  assert.equal(flushes, before.flushes + 5);
});

inMemory('latencies leave out the flushes before they are first asked for, or some of those once there are many', async (base) => {
  const { storage, faulty } = base.withFaults();
  const environment = new TestEnvironment();
  faulty.before = ({ operation, name }) => {
    if (operation === 'sync' && name === 'wal-1') environment.time += 0.0001;
  };
  for (const count of [1, 100]) {
    const log = await storage.open({ environment });
    for (let i = 0; i < count; i++) await log.append('entry');
    const { commitLatency, flushLatency, flushes } = log.stats();
    assert.ok(flushes >= count);
    assert.deepEqual([commitLatency, flushLatency].map((latency) => [latency.count, latency.max]), Array(2).fill([flushes, 100]));
    await log.shutdown();
  }
});

forEachFileManager('a trace leaves out a flush because it blocks', async (storage) => {
  const log = await storage.open({ options: { blockingFlush: true } });
  const seen = await traces('segmented-wal:flush', async () => {
    for (let i = 0; i < 3; i++) await log.append('entry');
  });
  const begun = seen.filter(({ stage }) => stage === 'start').map(({ context }) => context as Record<string, unknown>);
  assert.deepEqual(begun.map(({ entries, isDurable }) => ({ entries, isDurable })), Array(3).fill({ entries: 1, isDurable: true }));
});
