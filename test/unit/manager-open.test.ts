/** `LogManager.open`: when it is called, and what its answer spares. */
import assert from 'node:assert/strict';
import { WriteAheadLog, type EntryId } from '../../src/index.js';
import { deferred } from '../../src/base/async.js';
import {
  checkpointAll, fillSegment, forEachFileManager, inMemory, RecordingManager, type Storage,
} from '../tools/helpers.js';

/** Says that everything up to `storedId` is stored. */
class StoringManager extends RecordingManager {
  readonly calls: string[] = [];

  constructor(public storedId: EntryId | undefined) {
    super();
    this.onSegment = () => {
      this.calls.push('shouldRecoverSegment');
      return 'recover';
    };
    this.onRecover = ({ id }) => void this.calls.push(`recover ${id}`);
    this.onCheckpoint = (lastId) => void this.calls.push(`checkpointTo ${lastId}`);
  }

  async open(): Promise<EntryId | void> {
    this.calls.push('open');
    await Promise.resolve();
    return this.storedId;
  }
}

async function write(storage: Storage, count: number): Promise<void> {
  const log = await storage.open();
  for (let i = 1; i <= count; i++) await log.append(`entry ${i}`);
  await log.shutdown();
}

forEachFileManager('entries that are stored already are handed over again, or later ones are not', async (storage) => {
  await write(storage, 5);
  const manager = new StoringManager(3);
  const log = await storage.open({ manager });
  assert.deepEqual(manager.calls, ['open', 'shouldRecoverSegment', 'recover 4', 'recover 5']);
  assert.equal(log.recovery.entries, 2);
  await log.append('entry 6');
  await checkpointAll(log);
  assert.deepEqual(manager.checkpoints.map(({ lastId, entries }) => [lastId, entries.map(({ id }) => id)]), [[6, [4, 5, 6]]]);
  assert.equal(log.durableId, 6);
});

forEachFileManager('a segment that is stored as a whole is handed over again, or keeps its file', async (storage) => {
  const first = await storage.open({ manager: new StoringManager(undefined) });
  const ids: number[] = [];
  for (let i = 0; i < 3; i++) ids.push(...await fillSegment(first));
  await first.shutdown();
  const copy = await storage.crash();
  const manager = new StoringManager(ids.at(-1));
  const log = await copy.open({ manager });
  await checkpointAll(log);
  assert.deepEqual(manager.checkpoints, []);
  assert.deepEqual(manager.recovered, []);
  assert.equal((await copy.liveNames()).length, 1);
  assert.equal((await log.append('next')).id, (ids.at(-1) ?? 0) + 1);
});

inMemory('open is called when another process may own the directory, or twice', async (storage) => {
  const manager = new StoringManager(undefined);
  const log = await storage.open({ manager });
  const other = new StoringManager(undefined);
  await assert.rejects(storage.open({ manager: other }), { code: 'WAL_LOCKED' });
  assert.deepEqual(other.calls, []);
  const [reached, gate] = [deferred(), deferred()];
  await log.shutdown();
  other.open = async () => {
    reached.resolve();
    await gate.promise;
  };
  const opening = storage.open({ manager: other });
  await reached.promise;
  await assert.rejects(storage.open({ manager }), { code: 'WAL_LOCKED' });
  gate.resolve();
  await opening;
  assert.deepEqual(manager.calls, ['open']);
});

inMemory('an id that is stored is given to another entry, when the log has lost its own', async (storage) => {
  await write(storage, 3);
  for (const manager of [new StoringManager(10), new StoringManager(10)]) {
    const log = await storage.open({ manager });
    assert.equal(log.durableId, 10);
    assert.deepEqual(manager.recovered, []);
    await log.shutdown();
  }
  const log = await storage.open({ manager: new StoringManager(10) });
  assert.equal((await log.append('eleven')).id, 11);
  await log.shutdown();
  const empty = await storage.crash();
  for (const name of (await empty.files()).keys()) await empty.remove(name);
  const manager = new StoringManager(11);
  const again = await empty.open({ manager });
  assert.equal((await again.append('twelve')).id, 12);
  await again.shutdown();
  assert.deepEqual((await empty.contents()).map(({ id }) => id), [12]);
});

inMemory('an entry that is stored is dropped, and its id given to one that is then not checkpointed', async (storage) => {
  await write(storage, 5);
  const manager = new StoringManager(3);
  const log = await storage.open({ manager });
  await assert.rejects(log.truncateAfter(2), { code: 'WAL_POSITION_GONE' });
  await log.truncateAfter(3);
  assert.equal((await log.append('in the place of the fourth')).id, 4);
  await checkpointAll(log);
  assert.deepEqual(manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id)), [4]);
});

inMemory('an answer of open that is no id opens the log, or its error leaves the directory locked', async (storage) => {
  await write(storage, 2);
  const before = await storage.files();
  const failure = new Error('the storage is damaged');
  const wrong = [() => '3', () => -1, () => 1.5, () => null, () => Promise.reject(failure), () => {
    throw failure;
  }];
  for (const open of wrong) {
    const manager = Object.assign(new RecordingManager(), { open: open as () => number });
    await assert.rejects(storage.open({ manager }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'WAL_LOG_MANAGER_FAILED');
      assert.match(error.message, /the LogManager's open failed/);
      return true;
    });
    assert.deepEqual(manager.recovered, []);
  }
  assert.deepEqual(await storage.files(), before);
  await assert.rejects(
    WriteAheadLog.recover(storage.directory, { open: 3, recover() {}, checkpointTo() {} } as never, { fileManager: storage.fileManager }),
    TypeError,
  );
  assert.equal((await storage.contents()).length, 2);
});
