import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KeyValueStore, type KeyValueStoreOptions } from '../../examples/key-value-store.js';
import { LogVoid, MemoryFileManager, WriteAheadLog, type FileManager } from '../../src/index.js';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint } from '../support/crash-point.js';
import { Random } from '../support/random.js';
import { Scheduler } from '../support/scheduler.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { applies, faultAtCall, SimulatedFileManager, type Call, type Fault } from '../support/simulated-file-manager.js';

const DIRECTORY = '/store';
/** So small that a few values fill a segment. */
const OPTIONS: KeyValueStoreOptions = {
  preallocateBytes: 4096, checkpointAfterBytes: 600, bufferBytes: 4096, maxPendingBytes: 8192,
};

function open(fileManager: FileManager): Promise<KeyValueStore> {
  return KeyValueStore.open(DIRECTORY, { ...OPTIONS, fileManager });
}

async function contentOf(store: KeyValueStore): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for (const key of store.keys()) content.set(key, Buffer.from((await store.get(key)) ?? []).toString());
  return content;
}

async function assertHolds(store: KeyValueStore, expected: ReadonlyMap<string, string>): Promise<void> {
  const content = await contentOf(store);
  assert.deepEqual(sorted(content), sorted(expected));
  assert.equal(store.size, expected.size);
}

function sorted(map: ReadonlyMap<string, string>): [string, string][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

type Step =
  | { readonly do: 'set'; readonly key: string; readonly value: string }
  | { readonly do: 'delete'; readonly key: string }
  | { readonly do: 'checkpoint' }
  | { readonly do: 'reopen' };

describe('a store that nothing befalls', () => {
  const key = fc.oneof(fc.constantFrom('', 'a', 'b', 'c', 'ключ', '🔑'), fc.string({ unit: 'grapheme', maxLength: 4 }));
  const value = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.integer({ min: 0, max: 3000 }).map((length) => 'x'.repeat(length)),
  );
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('set' as const), key, value }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
    { weight: 1, arbitrary: fc.constant({ do: 'checkpoint' as const }) },
    { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
  );

  test('holds what a Map would hold, whatever is set, deleted, checkpointed and reopened in between', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const fileManager = new MemoryFileManager();
      const model = new Map<string, string>();
      let store = await open(fileManager);
      for (const step of steps) {
        if (step.do === 'set') {
          await store.set(step.key, step.value);
          model.set(step.key, step.value);
        } else if (step.do === 'delete') {
          assert.equal(await store.delete(step.key), model.delete(step.key));
        } else if (step.do === 'checkpoint') {
          await store.checkpoint();
        } else {
          await store.close();
          store = await open(fileManager);
        }
        await assertHolds(store, model);
      }
      await store.close();
      await assertHolds(await open(fileManager), model);
    }), { numRuns: 60 });
  });

  test('keeps the last of many concurrent changes of one key', async () => {
    const fileManager = new MemoryFileManager();
    const store = await KeyValueStore.open(DIRECTORY, { fileManager, bufferBytes: 4096, maxPendingBytes: 8192 });
    // The large one takes another way through the log, and is heard of later than those behind it.
    const values = Array.from({ length: 60 }, (_, i) => (i === 40 ? 'y'.repeat(10_000) : `value ${i}`));
    await Promise.all(values.map((value) => store.set('key', value)));
    await assertHolds(store, new Map([['key', 'value 59']]));
    await store.close();
    await assertHolds(await open(fileManager), new Map([['key', 'value 59']]));
  });

  test('has nothing left in the log after a checkpoint, and all of it in the snapshot', async () => {
    const fileManager = new MemoryFileManager();
    const store = await open(fileManager);
    for (let i = 0; i < 50; i++) await store.set(`key ${i}`, `value ${i}`);
    await store.delete('key 7');
    await store.checkpoint();
    assert.equal(store.stats().checkpointedId, 51);
    await store.close();
    const reopened = await open(fileManager);
    assert.equal(reopened.stats().recovery.entries, 0);
    assert.equal(reopened.size, 49);
    assert.equal(await reopened.get('key 7'), undefined);
  });
});

describe('reads beside a checkpoint', () => {
  test('name every key, although keys move to the snapshot while somebody iterates', async () => {
    const store = await open(new MemoryFileManager());
    for (const key of ['a', 'b', 'c']) await store.set(key, `${key}1`);
    const seen: string[] = [];
    for (const key of store.keys()) {
      seen.push(key);
      await store.set('d', 'new');
      await store.checkpoint();
    }
    assert.deepEqual(seen.sort(), ['a', 'b', 'c']);
  });

  test('find each value, in the log or in the snapshot, whichever operation of the disk comes first', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const scheduler = new Scheduler(new Random(seed));
      const store = await open(new SimulatedFileManager(new SimulatedDisk(), { scheduler }));
      const keys = Array.from({ length: 20 }, (_, i) => `key ${i}`);
      for (const key of keys) await store.set(key, `${key} of ${seed}`);
      let isRunning = true;
      const checkpoint = store.checkpoint().finally(() => (isRunning = false));
      while (isRunning) {
        const values = await Promise.all(keys.map((key) => store.get(key)));
        const texts = values.map((value) => Buffer.from(value ?? []).toString());
        assert.deepEqual(texts, keys.map((key) => `${key} of ${seed}`));
      }
      await checkpoint;
      assert.equal(store.stats().checkpointedId, 20);
      await store.close();
    }
  });

  test('keep the snapshot they read from when the next one takes its place or the store is closed', async () => {
    const disk = new SimulatedDisk();
    const fileManager = new SimulatedFileManager(disk);
    const store = await open(fileManager);
    await store.set('key', 'in the first snapshot');
    await store.checkpoint();
    await store.set('other', 'in the second');
    const reading = store.get('key');
    await store.checkpoint();
    const last = store.get('other');
    await store.close();
    assert.equal(Buffer.from((await reading) ?? []).toString(), 'in the first snapshot');
    assert.equal(Buffer.from((await last) ?? []).toString(), 'in the second');
    await fileManager.scheduler.idle();
    assert.deepEqual([...fileManager.openFiles], []);
    assert.deepEqual(fileManager.breaches, []);
  });
});

/** What a store may hold after a crash: for each key, the values it can have. */
class Possible {
  readonly #values: ReadonlyMap<string, ReadonlySet<string | undefined>>;

  constructor(values: ReadonlyMap<string, ReadonlySet<string | undefined>> = new Map()) {
    this.#values = values;
  }

  /** `key` has been changed. */
  certain(key: string, value: string | undefined): Possible {
    return new Possible(new Map(this.#values).set(key, new Set([value])));
  }

  /** `key` may have been changed. */
  perhaps(key: string, value: string | undefined): Possible {
    const before = this.#values.get(key) ?? new Set([undefined]);
    return new Possible(new Map(this.#values).set(key, new Set([...before, value])));
  }

  async assertHeldBy(store: KeyValueStore, where: string): Promise<void> {
    const content = await contentOf(store);
    for (const [key, values] of this.#values) {
      const value = content.get(key);
      assert.ok(values.has(value), `${where}: ${key} is ${value}, which is none of ${[...values].join(', ')}`);
      content.delete(key);
    }
    assert.deepEqual([...content.keys()], [], `${where}: keys that nobody has set`);
  }
}

/** Sets, deletions and checkpoints such that each kind of leftover in the directory is met. */
const WORKLOAD: readonly Step[] = [
  { do: 'set', key: 'a', value: 'a1' },
  { do: 'set', key: 'b', value: 'b1'.repeat(200) },
  { do: 'checkpoint' },
  { do: 'delete', key: 'a' },
  { do: 'set', key: 'c', value: 'c1' },
  { do: 'checkpoint' },
  { do: 'set', key: 'a', value: 'a2'.repeat(100) },
  { do: 'set', key: 'b', value: 'b2'.repeat(300) },
  { do: 'reopen' },
  { do: 'delete', key: 'c' },
  { do: 'checkpoint' },
  { do: 'set', key: 'd', value: 'd1' },
];

/** One process that carries out WORKLOAD, and what the store must hold at each moment. */
class Run {
  possible = new Possible();
  readonly #fileManager: FileManager;

  constructor(fileManager: FileManager) {
    this.#fileManager = fileManager;
  }

  /** Steps that are rejected are passed over if `mayFail`. */
  async carryOut(mayFail: boolean): Promise<void> {
    let store = await this.#attempt(open(this.#fileManager), mayFail);
    for (const step of WORKLOAD) {
      if (step.do === 'reopen' || store === undefined) {
        if (store !== undefined) await this.#attempt(store.close(), mayFail);
        store = await this.#attempt(open(this.#fileManager), mayFail);
      }
      if (store !== undefined && step.do !== 'reopen') await this.#attempt(this.#change(store, step), mayFail);
    }
    if (store !== undefined) await this.#attempt(store.close(), mayFail);
  }

  async #change(store: KeyValueStore, step: Exclude<Step, { do: 'reopen' }>): Promise<void> {
    if (step.do === 'checkpoint') return store.checkpoint();
    const value = step.do === 'set' ? step.value : undefined;
    this.possible = this.possible.perhaps(step.key, value);
    if (value !== undefined) await store.set(step.key, value);
    else await store.delete(step.key);
    this.possible = this.possible.certain(step.key, value);
  }

  async #attempt<T>(promise: Promise<T>, mayFail: boolean): Promise<T | undefined> {
    return mayFail ? promise.catch(() => undefined) : promise;
  }
}

interface Moment {
  readonly call: Call;
  readonly point: CrashPoint;
  readonly possible: Possible;
}

/** Every moment at which the workload can crash: before and after each call. */
async function momentsOf(disk: SimulatedDisk): Promise<Moment[]> {
  const moments: Moment[] = [];
  const onStep = (call: Call): void => void moments.push({ call, point: disk.crashPoint(), possible: run.possible });
  const run = new Run(new SimulatedFileManager(disk, { onStep }));
  await run.carryOut(false);
  return moments;
}

/** Opens a store as a crash has left it, and checks that it is what it must be, and can be used. */
async function assertSurvived(disk: SimulatedDisk, possible: Possible, where: string): Promise<void> {
  const fileManager = new SimulatedFileManager(disk);
  const store = await open(fileManager).catch((error: unknown) => assert.fail(`${where}: ${String(error)}`));
  await possible.assertHeldBy(store, where);
  await store.set('e', 'after the crash');
  await store.checkpoint();
  await store.close();
  const reopened = await open(fileManager);
  await possible.certain('e', 'after the crash').assertHeldBy(reopened, `${where}, reopened`);
  await reopened.close();
  assert.deepEqual(fileManager.breaches, []);
}

describe('a store whose machine crashes', () => {
  for (const mode of ['strict', 'ordered'] as const) {
    test(`loses nothing it has acknowledged, at any step of a checkpoint (${mode} disk)`, async () => {
      const moments = await momentsOf(new SimulatedDisk({ mode }));
      assert.ok(moments.filter(({ call }) => call.path.endsWith('.new')).length > 20, 'no checkpoint was met');
      const random = new Random(1);
      for (const { call, point, possible } of moments) {
        for (const fates of someCrashChoices(point, random, mode === 'strict' ? 4 : 2)) {
          const where = `call ${call.index}, ${call.kind} ${call.path}, ${fates.join(' ')}`;
          await assertSurvived(point.powerLoss(fates), possible, where);
        }
      }
    });
  }

  test('loses nothing when only the process ends, with a checkpoint durable by half', async () => {
    for (const { call, point, possible } of await momentsOf(new SimulatedDisk())) {
      const where = `call ${call.index}, ${call.kind} ${call.path}`;
      const left = point.processDeath(() => true);
      // The next process opens the store, and the power goes before it has written a thing.
      const fileManager = new SimulatedFileManager(left);
      const store = await open(fileManager);
      const shown = await contentOf(store);
      const later = left.crashPoint();
      const after = later.powerLoss(later.fragments.map(() => 'lost'));
      const last = await open(new SimulatedFileManager(after));
      await possible.assertHeldBy(last, where);
      assert.deepEqual(sorted(await contentOf(last)), sorted(shown), `${where}: something shown has gone`);
    }
  });
});

describe('a store whose disk fails', () => {
  test('does not write the same snapshot again when a segment is handed over twice', async () => {
    const disk = new SimulatedDisk();
    const isRetiring = ({ kind, path }: Call): boolean => kind === 'rename' && path.endsWith('wal-1');
    const faultAt = (call: Call): Fault | undefined => (isRetiring(call) ? 'EIO' : undefined);
    const failing = await open(new SimulatedFileManager(disk, { faultAt }));
    await failing.set('key', 'value');
    await assert.rejects(failing.checkpoint(), { code: 'WAL_IO' });
    await failing.close();
    const calls: Call[] = [];
    const store = await open(new SimulatedFileManager(disk, { onStep: (call) => calls.push(call) }));
    await store.checkpoint();
    assert.equal(store.stats().checkpointedId, 1);
    assert.ok(calls.some(isRetiring), 'the segment was not handed over');
    assert.deepEqual(calls.filter(({ path }) => path.endsWith('.new')), []);
    await assertHolds(store, new Map([['key', 'value']]));
    await store.close();
  });

  for (const fault of ['EIO', 'ENOSPC', 'short'] as const) {
    for (const isPersistent of [false, true]) {
      const when = isPersistent ? 'from any call on' : 'at any call';
      test(`loses nothing it has acknowledged: ${fault} ${when}`, async () => {
        const calls: Call[] = [];
        const onStep = (call: Call): void => void (calls[call.index] = call);
        await new Run(new SimulatedFileManager(new SimulatedDisk(), { onStep })).carryOut(false);
        for (const call of calls) if (applies(fault, call.kind)) await tryFault(call, fault, isPersistent);
      });
    }
  }
});

async function tryFault(call: Call, fault: Fault, isPersistent: boolean): Promise<void> {
  const disk = new SimulatedDisk();
  const run = new Run(new SimulatedFileManager(disk, { faultAt: faultAtCall(call.index, fault, isPersistent) }));
  await run.carryOut(true);
  const where = `${fault} at call ${call.index}, ${call.kind} ${call.path}`;
  const point = disk.crashPoint();
  await assertSurvived(point.powerLoss(point.fragments.map(() => 'lost')), run.possible, `${where}, power lost`);
  disk.locks.clear();
  await assertSurvived(disk, run.possible, where);
}

describe('what a store refuses', () => {
  test('a snapshot with any byte of it changed, or cut off anywhere', async () => {
    const fileManager = new MemoryFileManager();
    const store = await open(fileManager);
    await store.set('key', 'value');
    await store.set('other', 'other value');
    await store.checkpoint();
    await store.close();
    const file = await fileManager.open(`${DIRECTORY}/snapshot`, { access: 'write' });
    const good = Buffer.alloc(await file.size());
    await file.read(good, 0);
    for (let at = 0; at < good.length; at++) {
      await file.write([Buffer.from([good[at] ^ 0x10])], at);
      await assert.rejects(open(fileManager), /snapshot .* is damaged/, `byte ${at}`);
      await file.write([good.subarray(at, at + 1)], at);
      await file.truncate(at);
      await assert.rejects(open(fileManager), /snapshot .* is damaged/, `${at} bytes`);
      await file.write([good.subarray(at)], at);
    }
    await assertHolds(await open(fileManager), new Map([['key', 'value'], ['other', 'other value']]));
  });

  test('the log of something else', async () => {
    const fileManager = new MemoryFileManager();
    const log = await WriteAheadLog.recover(DIRECTORY, LogVoid, { ...OPTIONS, fileManager });
    await log.append('not a key and a value');
    await log.shutdown();
    const message = /not the log of a key-value store/;
    await assert.rejects(open(fileManager), { code: 'WAL_LOG_MANAGER_FAILED', message });
  });

  test('a key that would not come back as it was', async () => {
    const store = await open(new MemoryFileManager());
    await assert.rejects(store.set('\ud800', 'half a character'), TypeError);
    await assert.rejects(store.set(7 as unknown as string, 'a number'), TypeError);
    assert.equal(store.size, 0);
  });

  test('a second opening, and any use once it is closed', async () => {
    const fileManager = new MemoryFileManager();
    const store = await open(fileManager);
    await store.set('key', 'value');
    await assert.rejects(open(fileManager), { code: 'WAL_LOCKED' });
    await store.close();
    await store.close();
    await assert.rejects(store.get('key'), { code: 'WAL_CLOSED' });
    await assert.rejects(store.set('key', 'more'), { code: 'WAL_CLOSED' });
    await assert.rejects(store.checkpoint(), { code: 'WAL_CLOSED' });
    await assertHolds(await open(fileManager), new Map([['key', 'value']]));
  });
});
