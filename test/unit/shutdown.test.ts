/** How a log ends. */
import assert from 'node:assert/strict';
import { LogPosition, type WriteAheadLog } from '../../src/index.js';
import { Gate, systemError, type FileCall } from '../tools/faulty-file-manager.js';
import {
  fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled, pattern, ready, RecordingManager, Storage,
  TestEnvironment, turns, until,
} from '../tools/helpers.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { SimulatedFileManager } from '../support/simulated-file-manager.js';

const ROOMY = {
  preallocateBytes: 256 * 1024, checkpointAfterBytes: 200 * 1024, bufferBytes: 4096, maxPendingBytes: 8192,
};
const closed = { name: 'WalError', code: 'WAL_CLOSED' };

async function assertClosed(log: WriteAheadLog): Promise<void> {
  await assert.rejects(log.append('late'), closed);
  await assert.rejects(log.beginEntry(), closed);
  await assert.rejects(log.checkpointActive(), closed);
  await assert.rejects(log.readAt(new LogPosition(1, 62)), closed);
}

forEachFileManager('commits in flight, gathered or in line at a shutdown all become durable', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const appends = [log.append(pattern(3000))];
  await until(() => gate.arrivals === 1);
  for (let i = 0; i < 20; i++) appends.push(log.append(pattern(3000, i)));
  await turns();
  assert.ok(log.stats().waitingWriters > 10);
  const ended = log.shutdown();
  await assertClosed(log);
  assert.equal(await isSettled(ended), false);
  gate.open();
  await ended;
  const ids = (await Promise.all(appends)).map(({ id }) => id);
  assert.deepEqual((await base.contents(ROOMY)).map(({ id }) => id), ids);
  await assertClosed(log);
});

forEachFileManager('an append too large to be pending at once is given up by a shutdown, but a later small one is not', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const large = 'x'.repeat(30_000);
  // The first is being written when the shutdown comes, the others are in line.
  const outcomes = [log.append(large), log.append('small'), log.append(large), log.appendBatch(['x', large])];
  await until(() => gate.arrivals === 1);
  const ended = log.shutdown();
  gate.open();
  await ended;
  await Promise.all(outcomes);
  assert.deepEqual((await base.contents(ROOMY)).map(({ id, chunks }) => [id, chunks[0].length]), [
    [1, 30_000], [2, 5], [3, 30_000], [4, 1], [5, 30_000],
  ]);
});

forEachFileManager('whoever waits for the writing place at a shutdown is turned away', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const writer = await log.beginEntry();
  const outcomes = Promise.allSettled([log.beginEntry(), log.checkpointActive(), log.append('in line')]);
  await log.shutdown();
  const codes = (await outcomes).map((outcome) => (
    outcome.status === 'fulfilled' ? 'fulfilled' : (outcome.reason as { code?: string }).code
  ));
  assert.deepEqual(codes, ['WAL_CLOSED', 'WAL_CLOSED', 'fulfilled']);
  await assert.rejects(writer.writeChunk('late'), closed);
  await writer.rollback();
});

forEachFileManager('shutting down twice, or ten times at once, is the same as once', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('one');
  await Promise.all(Array.from({ length: 10 }, () => log.shutdown()));
  await log.shutdown();
  assert.equal(faulty.of('release').length, 1);
  assert.equal(faulty.openHandles, 0);
});

forEachFileManager('an entry open at a shutdown is rolled back, and its id is not given again', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  await log.append('kept');
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(50_000);
  await chunk.write(pattern(20_000));
  await log.shutdown();
  await assert.rejects(chunk.write(pattern(1000)), closed);
  await assert.rejects(writer.commit(), closed);
  await writer.rollback();
  await writer[Symbol.asyncDispose]();
  const manager = new RecordingManager();
  const again = await storage.open({ manager, options: ROOMY });
  assert.deepEqual(manager.recovered, [{ id: 1, chunks: ['kept'] }]);
  assert.equal((await again.append('next')).id, 3);
});

forEachFileManager('a log opened and shut down again and again neither grows nor forgets', async (storage) => {
  const log = await storage.open();
  const { id } = await log.append('only');
  await log.shutdown();
  const size = async (): Promise<number> => (
    [...(await storage.files()).values()].reduce((sum, bytes) => sum + bytes.length, 0)
  );
  let before = 0;
  for (let i = 0; i < 150; i++) {
    assert.equal((await storage.contents()).length, 1, `opening ${i}`);
    if (i === 3) before = await size();
  }
  assert.equal(await size(), before);
  const again = await storage.open();
  assert.equal((await again.append('next')).id, id + 1);
});

forEachFileManager('a running checkpoint is waited for, and those behind it are left for later', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const ids = [...await fillSegment(log), ...await fillSegment(log)];
  await until(() => log.stats().segmentsToCheckpoint === 2);
  const ended = log.shutdown();
  assert.equal(await isSettled(ended), false);
  manager.letGo();
  await ended;
  assert.equal(manager.checkpoints.length, 1);
  const next = new RecordingManager();
  await storage.open({ manager: next });
  const handedOver = manager.checkpoints[0].entries.map(({ id }) => id);
  assert.deepEqual([...handedOver, ...next.recoveredIds], ids);
});

inMemory('a checkpoint that waits to be tried again keeps no shutdown waiting', async (storage) => {
  const environment = new TestEnvironment();
  const manager = new RecordingManager();
  manager.onCheckpoint = () => {
    throw new Error('no storage');
  };
  const log = await storage.open({ manager, environment });
  await log.append('one');
  await log.checkpointActive();
  await until(() => environment.pauses.length === 1);
  await log.shutdown();
  environment.fire();
  await turns();
  assert.equal(environment.pauses.length, 1);
  assert.deepEqual((await storage.contents()), [{ id: 1, chunks: ['one'] }]);
});

forEachFileManager('a failed log can be shut down: no more is written, and all is closed', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('safe');
  await ready(log);
  faulty.before = ({ operation }) => {
    if (operation === 'sync') throw systemError('EIO');
  };
  const writer = await log.beginEntry();
  await writer.writeChunk('open');
  await assert.rejects(Promise.all([writer.commit(), log.append('lost')]), { code: 'WAL_FAILED' });
  const writes = faulty.of('write').length;
  await log.shutdown();
  assert.equal(faulty.of('write').length, writes);
  assert.equal(faulty.openHandles, 0);
  await assert.rejects(log.append('late'), { name: 'WalError' });
  faulty.before = () => undefined;
  assert.equal((await base.contents())[0].id, 1);
});

forEachFileManager('a lost lock fails the log at once: nothing is written, renamed or removed', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new HoardingManager() });
  await log.append('safe');
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'write' && name === 'wal-1' ? gate.pass() : undefined);
  const inFlight = log.append('in flight').then(() => 'resolved', (error: { code?: string }) => error.code);
  await until(() => gate.arrivals === 1);
  const cause = new Error('somebody else has it');
  faulty.compromise(cause);
  assert.equal(await inFlight, 'WAL_FAILED');
  await assert.rejects(log.append('late'), { code: 'WAL_FAILED', cause });
  const calls = faulty.calls.length;
  const ended = log.shutdown();
  assert.equal(await isSettled(ended), false, 'no file is closed under a write');
  gate.open();
  await ended;
  const changes = ['write', 'rename', 'remove', 'truncate'];
  const changing = faulty.calls.slice(calls).filter(({ operation }) => changes.includes(operation));
  assert.deepEqual(changing, []);
  assert.equal(faulty.openHandles, 0);
});

/** Whether a call changes what another owner of the directory may rely on. Under this name nobody looks for anything. */
function isChange({ operation, name }: FileCall): boolean {
  if (operation === 'write') return name !== 'wal-tail-new';
  return ['rename', 'remove', 'truncate'].includes(operation);
}

for (const hasCopy of [false, true]) {
  const what = hasCopy ? 'a copy of its tail' : 'a tail to be written again';
  forEachFileManager(`an opening that loses its lock begins no change any more, for a log with ${what}`, async (base) => {
    const hoarding = new HoardingManager();
    const log = await base.open({ manager: hoarding });
    await fillSegment(log);
    await log.append('tail');
    const left = await base.crash();
    hoarding.letGo();
    // A file's second name, and a segment that was prepared and not begun.
    await left.put('wal-500-cp', await left.get('wal-1'));
    await left.put('wal-999', Buffer.alloc(4096));
    if (hasCopy) {
      const { storage, faulty } = left.withFaults();
      faulty.before = ({ operation }) => {
        if (operation === 'remove') throw systemError('EIO');
      };
      await assert.rejects(storage.open(), { code: 'WAL_IO' });
    }
    let isReached = true;
    for (let moment = 0; isReached; moment++) {
      const { storage, faulty } = (await left.crash()).withFaults();
      let [count, calls] = [0, Infinity];
      const pass = (): void => {
        if (count++ !== moment) return;
        faulty.compromise(new Error('somebody else has it'));
        calls = faulty.calls.length;
      };
      // Not while a block is read, which is written then: the lock can as well be lost behind the last look at it.
      const passed = ['list', 'write', 'sync', 'syncDirectory', 'rename', 'remove'];
      faulty.before = ({ operation }) => {
        if (passed.includes(operation)) pass();
      };
      const manager = new HoardingManager();
      manager.onSegment = () => {
        pass();
        return 'recover';
      };
      const outcome = await storage.open({ manager }).then(() => 'opened', (error: { code?: string }) => error.code);
      isReached = count > moment;
      assert.equal(outcome, isReached ? 'WAL_FAILED' : 'opened');
      assert.deepEqual(faulty.calls.slice(calls).filter(isChange), []);
      manager.letGo();
    }
  });
}

/** A process has ended before the entry that fills its segment was written; the next segment was prepared meanwhile. */
async function preparedTooEarly(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const { storage, faulty } = new Storage(new SimulatedFileManager(disk), '/log').withFaults();
  const log = await storage.open({ manager: new HoardingManager() });
  await log.append(pattern(1800));
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'write' && name === 'wal-1' ? gate.pass() : undefined);
  void log.append(pattern(300));
  await until(() => disk.paths().includes('/log/wal-3'));
  return disk.crashPoint().processDeath(() => true);
}

inMemory('an opening that lost its lock takes no segment from the next owner of the directory', async () => {
  const disk = await preparedTooEarly();
  const { storage, faulty } = new Storage(new SimulatedFileManager(disk), '/log').withFaults();
  const manager = new RecordingManager();
  const acknowledged: number[] = [];
  manager.onSegment = async (): Promise<'recover'> => {
    faulty.compromise(new Error('somebody else has it'));
    disk.locks.clear();
    const next = await new Storage(new SimulatedFileManager(disk), '/log').open({ manager: new HoardingManager() });
    acknowledged.push(...await fillSegment(next), (await next.append('in the successor')).id);
    return 'recover';
  };
  await assert.rejects(storage.open({ manager }), { code: 'WAL_FAILED' });

  const after = new SimulatedFileManager(disk.crashPoint().processDeath(() => true));
  const found = await new Storage(after, '/log').contents();
  assert.deepEqual(found.map(({ id }) => id).filter((id) => acknowledged.includes(id)), acknowledged);
});

forEachFileManager('leaving the scope of a log shuts it down', async (storage) => {
  const log = await storage.open();
  await log.append('one');
  await log[Symbol.asyncDispose]();
  await assertClosed(log);
  assert.equal((await storage.contents()).length, 1);
});
