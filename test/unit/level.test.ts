/** The level of the examples, beside what abstract-level's own suite looks at: what it owes to its log. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WalLevel, type WalLevelOptions } from '../../examples/level.js';
import { MemoryFileManager, type FileManager, type WalOptions } from '../../src/index.js';
import { Random } from '../support/random.js';
import { inMemory, SMALL, withTemporaryDirectory } from '../tools/helpers.js';
import { KilledEngineRounds } from '../tools/killed-engine-rounds.js';

const BINARY = { keyEncoding: 'buffer', valueEncoding: 'buffer' };
const ROOMY: WalOptions = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 48 * 1024 };

async function open<K = string, V = string>(
  { fileManager, directory }: { fileManager: FileManager; directory: string }, { log, ...options }: WalLevelOptions<K, V> = {},
): Promise<WalLevel<K, V>> {
  const level = new WalLevel<K, V>(directory, { ...options, log: { ...SMALL, ...log, fileManager } });
  await level.open();
  return level;
}

inMemory('of many puts of one key, another one is read before it is closed than after it is opened', async (storage) => {
  const level = await open(storage, { log: ROOMY });
  // The long one takes another way into the log.
  const values = Array.from({ length: 30 }, (_, i) => (i === 20 ? 'x'.repeat(20_000) : `value ${i}`));
  await Promise.all(values.map((value) => level.put('key', value)));
  assert.equal(await level.get('key'), 'value 29');
  await level.close();
  await level.open();
  assert.equal(await level.get('key'), 'value 29');
  await level.close();
});

inMemory('a key is out of order because its text is not compared as the bytes it is stored as', async (storage) => {
  // UTF-16 has the last two the other way round.
  const keys = ['', 'a', 'é', '\uffff', '\u{10000}'];
  const level = await open(storage);
  await level.batch(keys.toReversed().map((key) => ({ type: 'put', key, value: key })));
  for (const again of [false, true]) {
    if (again) await level.close().then(() => level.open());
    assert.deepEqual(await level.keys().all(), keys);
    assert.deepEqual(await level.keys({ gte: 'é', reverse: true }).all(), keys.slice(2).toReversed());
  }
  await level.close();
});

inMemory('a level changes with a buffer that was put, or that it has handed out', async (storage) => {
  const level = await open<Buffer, Buffer>(storage, BINARY);
  const [key, value] = [Buffer.from('key'), Buffer.from('value')];
  const put = level.put(key, value);
  key.fill('?');
  value.fill('?');
  await put;
  (await level.get(Buffer.from('key')))?.fill('!');
  for (const [gotten, got] of await level.iterator().all()) {
    gotten.fill('!');
    got.fill('!');
  }
  for (const again of [false, true]) {
    if (again) await level.close().then(() => level.open());
    const pairs = await level.iterator().all();
    assert.deepEqual(pairs.map((pair) => pair.map(String)), [['key', 'value']]);
  }
  await level.close();
});

inMemory('a change can be read before it is durable', async (storage) => {
  const { storage: faulty, faulty: files } = storage.withFaults();
  const level = await open(faulty);
  await level.put('key', 'old');
  const seen: (string | undefined)[] = [];
  files.before = async ({ operation }) => void (operation === 'write' && seen.push(level.getSync('key')));
  await level.put('key', 'new');
  assert.deepEqual(seen, ['old']);
  assert.equal(level.getSync('key'), 'new');
  await level.close();
});

inMemory('a change that has failed is read, or others are accepted after it', async (storage) => {
  const { storage: faulty, faulty: files } = storage.withFaults();
  const level = await open(faulty);
  await level.put('key', 'old');
  files.before = async ({ operation }) => {
    if (operation === 'write' || operation === 'sync') throw Object.assign(new Error('broken'), { code: 'EIO' });
  };
  await assert.rejects(level.put('key', 'new'), { code: 'WAL_FAILED' });
  await assert.rejects(level.del('key'), { code: 'WAL_FAILED' });
  assert.equal(await level.get('key'), 'old');
  files.before = async () => undefined;
  await level.close();
});

inMemory('a batch is more than one entry, so that a crash can leave a part of it', async (storage) => {
  const level = await open(storage);
  await level.put('a', '1');
  await level.batch(Array.from({ length: 10 }, (_, i) => ({ type: 'put', key: `key ${i}`, value: 'value' })));
  await level.clear();
  assert.equal(level.log.durableId, 3);
  await level.close();
});

inMemory('a clear deletes what is put after it was called, or keeps what it was not to delete', async (storage) => {
  const level = await open(storage);
  await level.batch(['a', 'b', 'c', 'd', 'e'].map((key) => ({ type: 'put', key, value: key })));
  await Promise.all([level.clear({ gt: 'a', lte: 'd', limit: 2, reverse: true }), level.put('cc', 'new')]);
  assert.deepEqual(await level.keys().all(), ['a', 'b', 'cc', 'e']);
  await level.close();
});

inMemory('an iterator or a snapshot sees a change made after it, or one that was checkpointed meanwhile', async (storage) => {
  const level = await open(storage);
  await level.batch(['a', 'b', 'c'].map((key) => ({ type: 'put', key, value: 'old' })));
  const iterator = level.iterator();
  const snapshot = level.snapshot();
  assert.deepEqual(await iterator.next(), ['a', 'old']);
  await level.batch([{ type: 'put', key: 'b', value: 'new' }, { type: 'del', key: 'c' }, { type: 'put', key: 'd', value: '' }]);
  await level.log.checkpoint();
  assert.deepEqual(await iterator.all(), [['b', 'old'], ['c', 'old']]);
  assert.deepEqual(await level.keys({ snapshot }).all(), ['a', 'b', 'c']);
  assert.equal(await level.get('b', { snapshot }), 'old');
  await snapshot.close();
  await level.close();
});

inMemory('nothing is in the snapshot after a checkpoint, or is replayed beside it', async (storage) => {
  const level = await open(storage);
  await level.batch([{ type: 'put', key: 'a', value: '1' }, { type: 'put', key: 'b', value: '2' }]);
  await level.del('a');
  await level.log.checkpoint();
  await level.close();
  await level.open();
  assert.equal(level.log.recovery.entries, 0);
  assert.deepEqual(await level.iterator().all(), [['b', '2']]);
  await level.close();
});

inMemory('every segment takes a snapshot of its own, although one includes them all', async (storage) => {
  const { storage: faulty, faulty: files } = storage.withFaults();
  const level = await open(faulty, { log: { checkpointAfterBytes: 300 } });
  let letGo = (): void => undefined;
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  let saved = 0;
  files.before = async ({ operation, name }) => {
    if (operation !== 'open' || !name.endsWith('.new')) return;
    saved++;
    // The first one waits, while segments are filled.
    await gate;
  };
  let puts = 0;
  while (level.log.stats().segmentsToCheckpoint < 5) await level.put(`key ${puts++}`, 'x'.repeat(100));
  letGo();
  await level.log.checkpoint();
  assert.equal(saved, 2);
  await level.close();
  await level.open();
  assert.equal((await level.keys().all()).length, puts);
  await level.close();
});

inMemory('a level does not say why it cannot be opened in the codes and words that levels have for that', async (storage) => {
  const whyNot = async (options?: WalLevelOptions<string, string>): Promise<{ code?: string; message: string }> => {
    const error = await open(storage, options).then(() => assert.fail('it was opened'), (error: Error) => error);
    assert.equal((error as { code?: string }).code, 'LEVEL_DATABASE_NOT_OPEN');
    return error.cause as Error;
  };
  assert.match((await whyNot({ createIfMissing: false })).message, /does not exist/);
  const level = await open(storage);
  await level.put('key', 'value');
  assert.equal((await whyNot()).code, 'LEVEL_LOCKED');
  await level.close();
  assert.match((await whyNot({ errorIfExists: true })).message, /exists already/);
  const [name] = await storage.liveNames();
  await storage.damage(name, 50);
  await storage.put('wal-1000', Buffer.from('no segment'));
  assert.equal((await whyNot()).code, 'LEVEL_CORRUPTION');
});

inMemory('the log of something else is taken for that of a level', async (storage) => {
  const log = await storage.open();
  await log.append('no change');
  await log.shutdown();
  const error = await open(storage).then(() => assert.fail('it was opened'), (error: Error) => error);
  assert.match(String((error.cause as Error).message), /not the log of a level/);
});

const word = fc.constantFrom('', 'a', 'ab', 'b', '\0', '\xff', '\xff\xff', '\u{10000}', 'x'.repeat(300));
const bytes = word.map((text) => Buffer.from(text, 'latin1'));
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), key: bytes, value: bytes }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('del' as const), key: bytes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), gte: bytes, lt: bytes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('checkpoint' as const, 'reopen' as const) }) },
);

test('a level holds or yields something else than a sorted Map, whatever is put, deleted, checkpointed and reopened', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
    const storage = { fileManager: new MemoryFileManager(), directory: '/level' };
    const level = await open<Buffer, Buffer>(storage, { ...BINARY, log: { checkpointAfterBytes: 200 } });
    const model = new Map<string, string>();
    for (const step of steps) {
      if (step.do === 'put') {
        model.set(step.key.toString('latin1'), step.value.toString('latin1'));
        await level.put(step.key, step.value);
      } else if (step.do === 'del') {
        model.delete(step.key.toString('latin1'));
        await level.del(step.key);
      } else if (step.do === 'clear') {
        const [gte, lt] = [step.gte.toString('latin1'), step.lt.toString('latin1')];
        for (const key of model.keys()) if (key >= gte && key < lt) model.delete(key);
        await level.clear({ gte: step.gte, lt: step.lt });
      } else if (step.do === 'checkpoint') await level.log.checkpoint();
      else await level.close().then(() => level.open());
      const pairs = (await level.iterator().all()).map((pair) => pair.map((bytes) => bytes.toString('latin1')));
      assert.deepEqual(pairs, [...model].sort(([a], [b]) => (a < b ? -1 : 1)));
    }
    await level.close();
  }), { numRuns: 50 });
});

test('a level that is killed under load loses a batch it has acknowledged, or keeps a part of one', async () => {
  await withTemporaryDirectory(async (directory) => {
    const rounds = new KilledEngineRounds('level', directory, new Random(1));
    for (let round = 0; round < 3; round++) await rounds.run();
    assert.ok(rounds.checkpoints > 0);
  });
});
