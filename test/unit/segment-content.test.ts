/** Which segment an entry is in is a matter of what the segments hold, and not of their names or their numbers. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { WriteAheadLog } from '../../src/index.js';
import { entryOfPredecessor, segmentOfPredecessor } from '../support/predecessor.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, fillSegment, forEachFileManager, inMemory, turns, until, type Storage,
} from '../tools/helpers.js';
import { KeepingManager, range, readIds } from '../tools/iterating.js';

/** The predecessor's log of these entries, by segment; entry `n` is the data `n`. */
async function predecessorsLog(storage: Storage, segments: Readonly<Record<number, readonly number[]>>): Promise<void> {
  for (const [id, ids] of Object.entries(segments)) {
    const entries = ids.map((entry) => entryOfPredecessor(entry, Buffer.from(`${entry}`)));
    await storage.put(`wal-${id}`, segmentOfPredecessor(entries));
  }
}

/** A log of three segments, the middle one of which has entries below its id: the name of that id was taken. */
async function behindPredecessor(storage: Storage): Promise<WriteAheadLog> {
  await predecessorsLog(storage, { 1: [1, 2], 3: [] });
  const log = await storage.open({ manager: new KeepingManager() });
  for (const id of [3, 4, 5]) assert.equal((await log.append(`${id}`)).id, id);
  await log.checkpointActive();
  for (const id of [6, 7]) assert.equal((await log.append(`${id}`)).id, id);
  return log;
}

/** The same entries, where a live segment's file has the name that the next one would get. */
async function behindRenamed(storage: Storage): Promise<WriteAheadLog> {
  let log = await storage.open({ manager: new KeepingManager() });
  for (const id of [1, 2, 3]) assert.equal((await log.append(`${id}`)).id, id);
  await log.shutdown();
  await storage.fileManager.rename(path.join(storage.directory, 'wal-1'), path.join(storage.directory, 'wal-5'));
  log = await storage.open({ manager: new KeepingManager() });
  await log.append('4');
  await log.checkpointActive();
  for (const id of [5, 6, 7]) assert.equal((await log.append(`${id}`)).id, id);
  return log;
}

const LOGS = {
  "behind the predecessor's empty segment": behindPredecessor,
  'where a live segment was renamed': behindRenamed,
};

async function readOnlyIds(storage: Storage, from?: number): Promise<number[]> {
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  const ids: number[] = [];
  for await (const { id } of reader.entries(from === undefined ? {} : { from })) ids.push(id);
  await reader.close();
  return ids;
}

async function assertHolds(storage: Storage, ids: readonly number[]): Promise<void> {
  assert.deepEqual(await readOnlyIds(storage), ids);
  const manager = new KeepingManager();
  const log = await storage.open({ manager });
  assert.deepEqual(manager.recoveredIds, ids);
  await log.shutdown();
}

for (const [where, make] of Object.entries(LOGS)) {
  for (const keep of [1, 2, 3, 4, 5, 6, 7]) {
    forEachFileManager(`truncateAfter(${keep}) drops no entry up to it ${where}`, async (storage) => {
      const log = await make(storage);
      await log.truncateAfter(keep);
      assert.deepEqual(await readIds(log), range(1, keep));
      await assertHolds(await storage.crash(), range(1, keep));
      const { id } = await log.append('new');
      await log.shutdown();
      await assertHolds(storage, [...range(1, keep), id]);
    });
  }

  forEachFileManager(`an iteration begins at the entry that was asked for ${where}`, async (storage) => {
    const log = await make(storage);
    for (const from of range(1, 7)) {
      assert.deepEqual(await readIds(log, { from }), range(from, 7));
      assert.deepEqual(await readOnlyIds(storage, from), range(from, 7));
    }
  });

  forEachFileManager(`truncateBefore(id) leaves all from the id on ${where}`, async (storage) => {
    const log = await make(storage);
    for (const id of range(1, 8)) {
      await log.truncateBefore(id);
      const ids = await readIds(log);
      assert.deepEqual(ids, range(ids[0], 7));
      assert.ok(ids[0] <= id);
      await assertHolds(await storage.crash(), ids);
    }
  });

  forEachFileManager(`a hold keeps all from its entry on ${where}`, async (storage) => {
    const log = await make(storage);
    await log.hold('reader', { from: 3 });
    await log.shutdown();
    const again = await storage.open();
    await checkpointAll(again);
    await until(() => again.stats().segments[0].state === 'held');
    assert.deepEqual(await readIds(again, { from: 3 }), range(3, 7));
  });
}

forEachFileManager("a crash right after a cut in the predecessor's segments leaves a log that opens", async (storage) => {
  await predecessorsLog(storage, { 1: [1, 2], 3: [3, 4], 5: [5] });
  const { storage: faulted, faulty } = storage.withFaults();
  const log = await faulted.open({ manager: new KeepingManager() });
  await log.append('6');
  // The files of what was cut off keep their names.
  faulty.before = ({ operation, to = '' }) => {
    if (operation === 'rename' && to.endsWith('-cp')) throw systemError('EIO');
  };
  await log.truncateAfter(1);
  await assertHolds(await storage.crash(), [1]);
});

inMemory('a hold on an entry that is being let go is refused, although an empty segment goes with it', async (storage) => {
  await predecessorsLog(storage, { 1: [1, 2], 3: [] });
  const { storage: faulted, faulty } = storage.withFaults();
  const log = await faulted.open({ manager: new KeepingManager() });
  await log.append('3');
  const gate = new Gate();
  faulty.before = async ({ operation, name }) => {
    if (operation === 'rename' && name === 'wal-1') await gate.pass();
  };
  const letGo = log.truncateBefore(3);
  await assert.rejects(log.hold('late', { from: 1 }), { code: 'WAL_POSITION_GONE' });
  gate.open();
  await letGo;
});

inMemory('a held entry cannot be cut off, although an empty segment is held with it', async (storage) => {
  await predecessorsLog(storage, { 1: [1, 2], 3: [] });
  const keeping = await storage.open({ manager: new KeepingManager() });
  await keeping.append('3');
  await keeping.hold('reader', { from: 1 });
  await keeping.shutdown();
  const log = await storage.open();
  await until(() => log.stats().segments.filter(({ state }) => state === 'held').length === 2);
  await assert.rejects(log.truncateAfter(1), { code: 'WAL_POSITION_GONE' });
  assert.deepEqual(await readIds(log), [1, 2, 3]);
});

inMemory('stats call a segment without entries one, wherever it is', async (storage) => {
  await predecessorsLog(storage, { 1: [1, 2], 3: [] });
  const log = await storage.open({ manager: new KeepingManager() });
  assert.deepEqual(log.stats().segments.map(({ lastId }) => lastId), [2, 0, 0]);
  await fillSegment(log);
  await turns();
  assert.deepEqual(log.stats().segments.slice(0, 3).map(({ lastId }) => lastId > 0), [true, false, true]);
});
