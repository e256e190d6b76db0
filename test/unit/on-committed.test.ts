/** `onCommitted`: what is called in the order of the ids, whatever the promises of the callers do. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type CommittedEntry, type SyncMode, type WalOptions } from '../../src/index.js';
import { forEachFileManager, inMemory, isSettled, RecordingManager, until, type Storage } from '../tools/helpers.js';
import { systemError } from '../tools/faulty-file-manager.js';

const ROOMY: WalOptions = { preallocateBytes: 1 << 24, checkpointAfterBytes: 1 << 23, bufferBytes: 4096, maxPendingBytes: 65_536 };

/** What happened, in its order: `+id` is a call of onCommitted, `id` a promise that has resolved. */
type Events = string[];

/** Commits in every way there is, at the same time. */
async function commitInEveryWay(storage: Storage, options: WalOptions): Promise<Events> {
  const log = await storage.open({ options: { ...ROOMY, ...options } });
  const events: Events = [];
  const one = { onCommitted: ({ id }: CommittedEntry): unknown => events.push(`+${id}`) };
  const many = {
    onCommitted: (entries: readonly CommittedEntry[]): unknown => entries.map(({ id }) => events.push(`+${id}`)),
  };
  const running: Promise<unknown>[] = [];
  const note = (promise: Promise<{ readonly id: number } | readonly CommittedEntry[]>): void => {
    running.push(promise.then((result) => {
      for (const { id } of Array.isArray(result) ? result as CommittedEntry[] : [result as CommittedEntry]) events.push(`${id}`);
    }));
  };
  for (let round = 0; round < 2; round++) {
    note(log.append('large'.repeat(60_000), one));
    note(log.append('not durable', { durable: false, ...one }));
    note(log.append(['two', 'chunks'], { durable: true, ...one }));
    note(log.appendBatch(['a', 'batch'], { durable: false, ...many }));
    note(log.appendBatch(['a', 'large batch'.repeat(20_000)], many));
    note((async () => {
      await using writer = await log.beginEntry();
      await writer.writeChunk('in pieces');
      const id = await writer.commit({ durable: round % 2 === 0, onCommitted: (given) => events.push(`+${given}`) });
      return { id };
    })());
    note(log.append(Array.from({ length: 4200 }, () => 'chunk'), one));
    note(log.append('last', one));
    if (round === 0) await log.append('alone');
  }
  await Promise.all(running);
  await log.shutdown();
  return events;
}

for (const sync of ['commit', 'interval', 'manual'] as const satisfies SyncMode[]) {
  for (const blockingFlush of [false, true]) {
    const define = blockingFlush ? forEachFileManager : inMemory;
    define(`what is applied is applied in another order than it is recovered: ${sync}, ${blockingFlush ? 'blocking' : 'not blocking'}`, async (storage) => {
      const events = await commitInEveryWay(storage, { sync, blockingFlush });
      const called = events.filter((event) => event.startsWith('+')).map(Number);
      assert.equal(called.length, 2 * 10);
      assert.deepEqual(called, [...called].sort((a, b) => a - b));
      for (const id of called) assert.ok(events.indexOf(`+${id}`) < events.indexOf(`${id}`), `${id} resolved first`);
      const recovered = new RecordingManager();
      await storage.open({ manager: recovered, options: ROOMY });
      assert.deepEqual(recovered.recoveredIds.filter((id) => called.includes(id)), called);
    });
  }
}

inMemory('a promise resolves before what its entry, or an earlier one, is to be applied by', async (storage) => {
  const log = await storage.open();
  const state = new Map<string, number>();
  const set = (key: string, value: number): Promise<unknown> => log.append(key, { onCommitted: () => state.set(key, value) });
  const seen: unknown[] = [];
  // With a subscriber, promises take another way.
  const listener = (): void => undefined;
  subscribe('tracing:segmented-wal:commit:start', listener);
  const traced = set('a', 1).then(() => seen.push([...state]));
  unsubscribe('tracing:segmented-wal:commit:start', listener);
  await Promise.all([traced, set('b', 2).then(() => seen.push([...state])), set('a', 3)]);
  assert.deepEqual(seen, [[['a', 3], ['b', 2]], [['a', 3], ['b', 2]]]);
});

inMemory('what onCommitted throws is heard of by another caller, or by nobody, or undoes the entry', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const failure = new Error('cannot be applied');
  const applied: number[] = [];
  const throwing = (): never => {
    throw failure;
  };
  const results = await Promise.allSettled([
    log.append('one', { onCommitted: ({ id }) => applied.push(id) }),
    log.append('two', { onCommitted: throwing }),
    log.appendBatch(['three', 'four'], { onCommitted: throwing }),
    log.append('x'.repeat(1 << 21), { onCommitted: throwing }),
    log.append('six', { durable: false, onCommitted: ({ id }) => applied.push(id) }),
  ]);
  const writer = await log.beginEntry();
  await assert.rejects(writer.commit({ onCommitted: throwing }), (error) => error === failure);
  assert.deepEqual(results.map((result) => (result.status === 'rejected' ? result.reason as unknown : 'fine')), [
    'fine', failure, failure, failure, 'fine',
  ]);
  assert.deepEqual(applied, [1, 6]);
  await log.append('eight');
  await log.shutdown();
  assert.deepEqual((await storage.contents(ROOMY)).map(({ id }) => id), [1, 2, 3, 4, 5, 6, 7, 8]);
});

inMemory('something is applied that was never committed', async (storage) => {
  const { storage: failing, faulty } = storage.withFaults();
  const log = await failing.open();
  const applied: string[] = [];
  const apply = (what: string) => ({ onCommitted: () => applied.push(what) });
  const writer = await log.beginEntry();
  await writer.writeChunk('rolled back');
  await writer.rollback();
  await assert.rejects(log.append(['fine', 7] as never, apply('no data')), TypeError);
  await assert.rejects(log.append('data', { onCommitted: 'no function' } as never), TypeError);
  await assert.rejects(log.append('data', { onComitted: () => applied.push('typo') } as never), TypeError);
  await log.append('fine', apply('fine'));
  faulty.before = ({ operation }) => {
    if (operation === 'write' || operation === 'sync') throw systemError('EIO');
  };
  await assert.rejects(log.append('failed', apply('failed')), { code: 'WAL_FAILED' });
  await assert.rejects(log.append('later', apply('later')), { code: 'WAL_FAILED' });
  await assert.rejects(log.appendBatch(['later'], apply('later')), { code: 'WAL_FAILED' });
  assert.deepEqual(applied, ['fine']);
  assert.deepEqual(await log.shutdown().catch(() => undefined), undefined);
});

inMemory('onCommitted is called before the entry is durable, or cannot use the log', async (storage) => {
  const log = await storage.open();
  const order: string[] = [];
  let inner: Promise<CommittedEntry> | undefined;
  const outer = log.append('outer', {
    onCommitted: ({ id, chunks }) => {
      order.push(`${id} of ${log.durableId}: ${Buffer.from(log.readSync(chunks[0].position)).toString()}`);
      inner = log.append('inner', { onCommitted: (entry) => order.push(`${entry.id} of ${log.durableId}`) });
    },
  });
  const beside = log.append('beside', { onCommitted: ({ id }) => order.push(`${id} of ${log.durableId}`) });
  await Promise.all([outer, beside]);
  await inner;
  assert.deepEqual(order, ['1 of 2: outer', '2 of 2', '3 of 3']);
});

inMemory('what was applied in order is lost when a segment changes in between', async (storage) => {
  const log = await storage.open();
  const applied: number[] = [];
  const running = Array.from({ length: 40 }, () => log.append('x'.repeat(700), { onCommitted: ({ id }) => applied.push(id) }));
  await Promise.all(running);
  await until(() => applied.length === 40);
  assert.deepEqual(applied, Array.from({ length: 40 }, (_, i) => i + 1));
  assert.ok(log.stats().segments.length > 1 || log.stats().segmentsRecycled > 0);
  assert.equal(await isSettled(log.shutdown()), true);
});

forEachFileManager('a segment is checkpointed before onCommitted was called for an entry in it', async (storage) => {
  let committedId = 0;
  const tooEarly: number[] = [];
  const manager = new RecordingManager();
  manager.onCheckpoint = (lastId) => void (lastId > committedId && tooEarly.push(lastId));
  const log = await storage.open({ manager });
  const onCommitted = ({ id }: { id: number }): void => void (committedId = id);
  for (let i = 0; i < 20; i++) {
    const data = Array.from({ length: 10 }, (_, j) => 'x'.repeat(j === 5 ? 5000 : 150));
    await Promise.all(data.map((each) => log.append(each, { onCommitted })));
  }
  await log.checkpoint();
  assert.deepEqual(tooEarly, []);
  assert.ok(manager.checkpoints.length > 10, `${manager.checkpoints.length} checkpoints`);
});
