/** What cuts, holds, checkpoints and rollbacks could do to each other when they meet, or when the storage fails in between. */
import assert from 'node:assert/strict';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, fillSegment, forEachFileManager, inMemory, isCheckpointed, RecordingManager, TestEnvironment,
  turns, until,
} from '../tools/helpers.js';
import { KeepingManager, range, readIds } from '../tools/iterating.js';

inMemory('a hold is promised entries whose segment is already on its way out', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  faulty.before = ({ operation, to }) => (operation === 'rename' && to?.endsWith('1-cp') ? gate.pass() : undefined);
  const ids = await fillSegment(log);
  await until(() => gate.arrivals > 0);
  await assert.rejects(log.hold('late', { from: 1 }), { code: 'WAL_POSITION_GONE' });
  const hold = await log.hold('late');
  gate.open();
  const { id } = await log.append('held');
  await checkpointAll(log);
  assert.ok(hold.from > 1 && hold.from <= id);
  assert.deepEqual(await readIds(log, { from: hold.from }), range(hold.from, id).filter((each) => ids.includes(each) || each === id));
});

forEachFileManager('a cut takes damage for the end of a segment, and drops entries that were to stay', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const places = [];
  for (let i = 0; i < 5; i++) places.push((await log.append('x'.repeat(100))).chunks[0].position);
  await storage.damage('wal-1', places[2].offset + 50);
  await assert.rejects(log.truncateAfter(4), { code: 'WAL_CORRUPT' });
  await storage.damage('wal-1', places[2].offset + 50);
  assert.deepEqual(await readIds(log), [1, 2, 3, 4, 5]);
  await log.truncateAfter(4);
  assert.deepEqual(await readIds(log), [1, 2, 3, 4]);
});

inMemory('a segment that was cut off but kept its name makes the log look damaged later', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new RecordingManager();
  manager.onCheckpoint = () => { throw new Error('not now'); };
  const environment = new TestEnvironment();
  const log = await storage.open({ manager, environment });
  for (let i = 0; i < 4; i++) await fillSegment(log);
  const dropped = (await storage.liveNames()).slice(1, 3);
  faulty.before = ({ operation, name }) => {
    if (operation === 'rename' && dropped.includes(name)) throw systemError('EIO');
  };
  await log.truncateAfter(1);
  faulty.before = () => undefined;
  manager.onCheckpoint = () => undefined;
  const kept = [];
  for (let i = 0; i < 2; i++) kept.push(...await fillSegment(log));
  await until(() => (environment.fire(), isCheckpointed(log)));
  const crashed = await storage.crash();
  const again = new RecordingManager();
  await crashed.open({ manager: again });
  const checkpointed = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
  assert.deepEqual([...checkpointed, ...again.recoveredIds], [1, ...kept]);
});

inMemory('a cut that fails leaves a next segment that cannot be written', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  const gate = new Gate();
  faulty.before = ({ operation, to }) => (operation === 'rename' && /^wal-\d+$/.test(to ?? '') ? gate.pass() : undefined);
  while (gate.arrivals === 0) {
    await log.append('x'.repeat(300));
    await turns();
  }
  const cut = log.truncateAfter(1);
  await turns();
  faulty.before = ({ operation, to }) => {
    if (operation === 'rename' && to?.endsWith('-cp')) throw systemError('EIO');
  };
  gate.open();
  await assert.rejects(cut, { code: 'WAL_IO' });
  faulty.before = () => undefined;
  await fillSegment(log);
  assert.deepEqual(await readIds(log), range(1, log.durableId));
});

forEachFileManager('a rollback takes away the length of the chunk that was committed before it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { preallocateBytes: 65536, checkpointAfterBytes: 32768 } });
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'write' && name === 'wal-1' ? gate.pass() : undefined);
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk();
  // With its header on the way to the disk, its length can only be written behind it.
  await chunk.write('x'.repeat(8192));
  await until(() => gate.arrivals > 0);
  await chunk.finish();
  const committed = writer.commit();
  const next = await log.beginEntry();
  await next.rollback();
  gate.open();
  await committed;
  assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), [1]);
});
