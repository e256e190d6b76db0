/** Ids are safe integers: above the last of them one could not be told from the next. */
import assert from 'node:assert/strict';
import { encodeHeader, encodeLink, LINK_LENGTH } from '../../src/format/segment-format.js';
import { forEachFileManager, ready, RecordingManager, type Storage } from '../tools/helpers.js';

const LAST_ID = Number.MAX_SAFE_INTEGER - 1;
const outOfRange = { name: 'WalError', code: 'WAL_OUT_OF_RANGE' };

/** A log that has given out all ids but the last three. */
async function nearTheEnd(storage: Storage): Promise<void> {
  const segmentId = LAST_ID - 2;
  const header = encodeHeader(segmentId, Buffer.alloc(8, 1), new Uint8Array());
  const bytes = Buffer.alloc(4096);
  bytes.set(header);
  const link = { previousSegmentId: 0, previousEnd: 0, previousChain: 0, lastId: segmentId - 1 };
  encodeLink(bytes, header.length, header.readUInt32LE(header.length - 4), header.length, link, 1);
  assert.ok(header.length + LINK_LENGTH < bytes.length);
  await storage.put(`wal-${segmentId}`, bytes);
}

async function idsIn(storage: Storage): Promise<number[]> {
  const manager = new RecordingManager();
  const log = await (await storage.crash()).open({ manager });
  await log.shutdown();
  return manager.recoveredIds;
}

forEachFileManager('the last id is given again and again', async (storage) => {
  await nearTheEnd(storage);
  const log = await storage.open();
  assert.equal((await log.append('one')).id, LAST_ID - 2);
  await assert.rejects(log.appendBatch(['two', 'three', 'one too many']), outOfRange);
  const batch = await log.appendBatch(['two', 'three']);
  assert.deepEqual(batch.map(({ id }) => id), [LAST_ID - 1, LAST_ID]);
  for (let i = 0; i < 3; i++) {
    await assert.rejects(log.append('late'), outOfRange);
    await assert.rejects(log.appendBatch(['late', 'too late']), outOfRange);
    await assert.rejects(log.append(['late', Buffer.alloc(2 * 1024 * 1024)]), outOfRange);
    await assert.rejects(log.beginEntry(), outOfRange);
  }
  assert.equal(log.durableId, LAST_ID);
  assert.deepEqual(await idsIn(storage), [LAST_ID - 2, LAST_ID - 1, LAST_ID]);
  await log.shutdown();
  assert.deepEqual(await idsIn(storage), [LAST_ID - 2, LAST_ID - 1, LAST_ID]);
});

forEachFileManager('an entry in pieces, or a log without ids in a new segment, goes beyond the last id', async (storage) => {
  await nearTheEnd(storage);
  let log = await storage.open();
  await ready(log);
  for (const id of [LAST_ID - 2, LAST_ID - 1, LAST_ID]) {
    const writer = await log.beginEntry();
    await writer.writeChunk('x');
    assert.equal(await writer.commit(), id);
  }
  await log.checkpointActive();
  await assert.rejects(log.append('late'), outOfRange);
  await log.checkpointActive();
  await assert.rejects(log.truncateAfter(LAST_ID - 3).then(() => log.append('late')));
  await log.shutdown();
  log = await storage.open();
  assert.equal(log.stats().nextId, LAST_ID + 1);
  await assert.rejects(log.append('late'), outOfRange);
});
