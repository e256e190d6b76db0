/** What a commit waits for: `sync: 'commit' | 'interval' | 'manual'`, `{ durable }` and `sync()`. */
import assert from 'node:assert/strict';
import { WriteAheadLog, type CommitOptions, type FileManager } from '../../src/index.js';
import { Gate, systemError, type FaultyFileManager } from '../tools/faulty-file-manager.js';
import { fillSegment, forEachFileManager, inMemory, isSettled, ready, SMALL, TestEnvironment, turns } from '../tools/helpers.js';
import { KeepingManager, range, readIds } from '../tools/iterating.js';
import { crashTest } from '../support/index.js';

/** Holds back every sync of a segment that is written to. */
function holdSyncs(faulty: FaultyFileManager): Gate {
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && /^wal-\d+$/.test(name) ? gate.pass() : undefined);
  return gate;
}

const LAZY = ['interval', 'manual'] as const;

for (const sync of LAZY) {
  forEachFileManager(`with sync '${sync}' a commit resolves though the disk does not sync, and nobody is shown it`, async (base) => {
    const { storage, faulty } = base.withFaults();
    const log = await storage.open({ options: { sync }, environment: new TestEnvironment() });
    const gate = holdSyncs(faulty);
    assert.equal((await log.append('one')).id, 1);
    const writer = await log.beginEntry();
    await writer.writeChunk('two');
    assert.equal(await writer.commit(), 2);
    assert.deepEqual((await log.appendBatch(['three', 'four'])).map(({ id }) => id), [3, 4]);
    assert.equal(gate.arrivals, 0, 'no sync was asked for');
    assert.equal(log.durableId, 0);
    assert.ok(log.stats().unsyncedBytes > 0);
    assert.deepEqual(await readIds(log), []);
    assert.equal((await (await base.crash()).contents()).length, 4, 'a process that is killed loses none of them');
    gate.open();
    await log.sync();
    assert.equal(log.durableId, 4);
    assert.equal(log.stats().unsyncedBytes, 0);
    assert.deepEqual(await readIds(log), [1, 2, 3, 4]);
  });

  forEachFileManager(`with sync '${sync}' a commit that asks for it is durable, and all before it`, async (base) => {
    const { storage, faulty } = base.withFaults();
    const log = await storage.open({ options: { sync }, environment: new TestEnvironment() });
    await log.append('one');
    const gate = holdSyncs(faulty);
    const durable = log.append('two', { durable: true });
    assert.equal(await isSettled(durable), false);
    gate.open();
    await durable;
    assert.ok(log.durableId >= 2);
  });
}

forEachFileManager('a commit that need not be durable resolves though the disk does not sync, and is durable with the next', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = holdSyncs(faulty);
  for (let id = 1; id <= 5; id++) assert.equal((await log.append('lazy', { durable: false })).id, id);
  assert.equal(log.durableId, 0);
  const durable = log.append('durable');
  assert.equal(await isSettled(durable), false);
  gate.open();
  assert.equal((await durable).id, 6);
  assert.equal(log.durableId, 6);
});

inMemory('sync waits for what was committed before it, in line or not, and for nothing else', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  await log.sync();
  const gate = holdSyncs(faulty);
  await log.append('one');
  const synced = log.sync();
  assert.equal(await isSettled(synced), false);
  gate.open();
  await synced;
  assert.equal(log.durableId, 1);
  const syncs = faulty.of('sync').length;
  await Promise.all([log.sync(), log.sync()]);
  assert.equal(faulty.of('sync').length, syncs, 'there was nothing to sync');
});

inMemory('sync does not wait for an entry that is open, nor make it durable', async (base) => {
  const { storage } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  await log.append('one');
  const writer = await log.beginEntry();
  await writer.writeChunk('two');
  await log.sync();
  assert.equal(log.durableId, 1);
  await writer.commit();
  assert.equal(log.durableId, 1);
});

inMemory('sync behind a change of segments covers the segment before as well', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  await ready(log);
  const gate = holdSyncs(faulty);
  let hasChanged = false;
  const changed = new Promise<void>((resolve) => log.once('segment', () => {
    hasChanged = true;
    resolve();
  }));
  // The first that goes into the next segment waits until this one is synced.
  while (!hasChanged) await Promise.race([changed, log.append('x'.repeat(300))]);
  const last = log.stats().nextId - 1;
  const synced = log.sync();
  assert.equal(await isSettled(synced), false);
  assert.equal(log.durableId, 0);
  gate.open();
  await synced;
  assert.equal(log.durableId, last);
});

forEachFileManager('a closed segment is durable before the next one says so', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  const order: string[] = [];
  faulty.after = ({ operation, name }) => {
    if (/^wal-\d+$/.test(name) && (operation === 'sync' || operation === 'write')) order.push(`${operation} ${name}`);
  };
  await fillSegment(log);
  const { chunks: [{ position }] } = await log.append('behind', { durable: true });
  const next = `wal-${position.segmentId}`;
  const firstWrite = order.indexOf(`write ${next}`);
  assert.ok(firstWrite > 0);
  assert.equal(order[firstWrite - 1], 'sync wal-1');
});

forEachFileManager('a shutdown makes everything durable that was committed', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  await log.append('one');
  const gate = holdSyncs(faulty);
  const shutdown = log.shutdown();
  assert.equal(await isSettled(shutdown), false);
  gate.open();
  await shutdown;
  assert.equal(faulty.calls.findLast(({ operation, name }) => name === 'wal-1' && operation !== 'close')?.operation, 'sync');
  assert.deepEqual((await base.contents()).map(({ id }) => id), [1]);
});

inMemory('the link that ends a log is not written before what it vouches for is durable', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  await log.append('one');
  const before = faulty.calls.length;
  await log.shutdown();
  const operations = faulty.calls.slice(before).filter(({ name }) => name === 'wal-1').map(({ operation }) => operation);
  assert.deepEqual(operations.slice(0, 3), ['sync', 'write', 'sync']);
});

inMemory('with sync \'interval\' everything is durable when the interval is over, and no timer runs without need', async (base) => {
  const { storage } = base.withFaults();
  const environment = new TestEnvironment();
  const log = await storage.open({ environment, options: { sync: 'interval', syncIntervalMs: 20 } });
  assert.deepEqual(environment.pauses, []);
  await log.append('one');
  await log.append('two');
  assert.deepEqual(environment.pauses, [20], 'one timer for both');
  const durable = log.waitForDurable(2);
  assert.equal(await isSettled(durable), false);
  environment.fire();
  await durable;
  await turns();
  assert.deepEqual(environment.pauses, [20]);
  await log.append('three');
  assert.deepEqual(environment.pauses, [20, 20]);
  await log.append('four', { durable: true });
  assert.equal(log.durableId, 4);
  environment.fire();
  await turns();
  assert.deepEqual(environment.pauses, [20, 20], 'what is durable needs no timer');
});

inMemory('a sync that fails behind resolved commits fails the log, and is not tried again', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  await log.append('one');
  const failed = new Promise((resolve) => log.once('failed', resolve));
  let syncs = 0;
  faulty.before = ({ operation }) => {
    if (operation !== 'sync') return;
    syncs++;
    throw systemError('EIO');
  };
  await assert.rejects(log.sync(), { name: 'WalError', code: 'WAL_FAILED' });
  await failed;
  await assert.rejects(log.sync(), { code: 'WAL_FAILED' });
  await assert.rejects(log.append('two', { durable: false }), { code: 'WAL_FAILED' });
  assert.equal(log.durableId, 0);
  await log.shutdown();
  assert.equal(syncs, 1);
});

inMemory('readAt makes an entry durable that nobody has synced, and waits for it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  const { chunks: [{ position }] } = await log.append('one');
  const gate = holdSyncs(faulty);
  const reading = log.readAt(position);
  assert.equal(await isSettled(reading), false);
  gate.open();
  const reader = await reading;
  assert.equal(String(Buffer.from(await reader.readAll())), 'one');
  await reader.close();
});

inMemory('options that make no sense are refused', async (storage) => {
  const open = (options: object) => storage.open({ options: options });
  await assert.rejects(open({ sync: 'always' }), RangeError);
  await assert.rejects(open({ sync: true }), RangeError);
  await assert.rejects(open({ syncIntervalMs: 0 }), RangeError);
  await assert.rejects(open({ syncIntervalMs: 60_001 }), RangeError);
  await assert.rejects(open({ syncIntervalMs: '5' }), TypeError);
  const log = await storage.open();
  for (const options of [1, null, 'durable', { durable: 1 }, { durable: null }]) {
    await assert.rejects(log.append('one', options as CommitOptions), TypeError);
    await assert.rejects(log.appendBatch(['one'], options as CommitOptions), TypeError);
    const writer = await log.beginEntry();
    await assert.rejects(writer.commit(options as CommitOptions), TypeError);
    await writer.rollback();
  }
  await log.shutdown();
  await assert.rejects(log.sync(), { code: 'WAL_CLOSED' });
});

/** A log whose changes are durable because it was synced, or shut down, after many commits that were not. */
for (const end of ['sync', 'shutdown'] as const) {
  inMemory(`${end} behind commits that were not durable keeps all of them, whenever the power fails`, async () => {
    const open = async (fileManager: FileManager, directory: string) => {
      const manager = new KeepingManager();
      const options = { ...SMALL, checkpointAfterBytes: 1024, fileManager, sync: 'manual' } as const;
      const log = await WriteAheadLog.recover(directory, manager, options);
      return { log, fileManager, directory, values: manager.recovered.map(({ chunks: [data] }) => data) };
    };
    await crashTest<Awaited<ReturnType<typeof open>>>({
      open,
      async change(store, number) {
        // What an earlier change that was interrupted has left is begun again.
        const done = store.values.length;
        for (let i = done; i < 3 * (number + 1); i++) {
          await store.log.append(`${i} ${'x'.repeat(100)}`);
          store.values.push(`${i} ${'x'.repeat(100)}`);
        }
        if (end === 'sync') return store.log.sync();
        await store.log.shutdown();
        Object.assign(store, await open(store.fileManager, store.directory));
      },
      count({ values }) {
        assert.deepEqual(values, range(0, values.length - 1).map((i) => `${i} ${'x'.repeat(100)}`));
        return Math.floor(values.length / 3);
      },
    }, { changes: 4, seeds: [0, 3], choicesPerMoment: 5 });
  });
}

inMemory('sync behind an append for which there is no next segment does not fail with it, and syncs what was committed', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  faulty.before = ({ operation, name }) => {
    if (operation === 'write' && name.endsWith('-cp')) throw systemError('ENOSPC');
  };
  await log.append(Buffer.alloc(5000));
  const [refused, synced] = [log.append('fits not'), log.sync()];
  await assert.rejects(refused, { code: 'WAL_NO_SPACE' });
  await synced;
  assert.equal(log.durableId, 1);
});
