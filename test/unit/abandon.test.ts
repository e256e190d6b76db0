/** Entries that the LogManager has given up are gone once the log is open: nothing shows them again. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { deferred } from '../../src/base/async.js';
import { WriteAheadLog } from '../../src/index.js';
import { ChoosingManager, FORMATS, inFormat1 } from '../tools/abandoning.js';
import { systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, forEachFileManager, inMemory, isSettled, RecordingManager, until, type Storage,
} from '../tools/helpers.js';
import { KeepingManager, readIds } from '../tools/iterating.js';

async function readOnlyIds({ fileManager, directory }: Storage): Promise<number[]> {
  const reader = await WriteAheadLog.openReadOnly(directory, { fileManager });
  const ids: number[] = [];
  for await (const { id } of reader) ids.push(id);
  await reader.close();
  return ids;
}

/** The name of the second segment's file. */
async function secondName(storage: Storage): Promise<string> {
  return (await storage.liveNames()).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))[1];
}

const CHOICES = ['aaaa', 'arrr', 'aarr', 'rarr', 'raar', 'arar', 'rara', 'rrra', 'aaar'];

for (const [format, make] of Object.entries(FORMATS)) {
  for (const choice of CHOICES) {
    const define = choice === 'rara' ? forEachFileManager : inMemory;
    define(`what was abandoned of ${choice} in format ${format} is never shown again`, async (storage) => {
      const layout = await make(storage);
      const wanted = layout.filter((_, i) => choice[i] === 'r').flat();
      const manager = new ChoosingManager(choice);
      const log = await storage.open({ manager });
      assert.deepEqual(manager.recoveredIds, wanted);
      assert.deepEqual(await readIds(log), wanted);
      assert.deepEqual(await readOnlyIds(await storage.crash()), wanted);
      const after = new KeepingManager();
      await (await (await storage.crash()).open({ manager: after })).shutdown();
      assert.deepEqual(after.recoveredIds, wanted);

      const { id } = await log.append('new');
      assert.ok(id > (layout.flat().at(-1) ?? 0), 'ids go on above those that were abandoned');
      await log.shutdown();
      // More openings, with more segments, before anything is checkpointed.
      for (const more of [id + 1, id + 2]) {
        const again = await storage.open({ manager: new KeepingManager() });
        await again.append('more');
        await again.checkpointActive();
        assert.deepEqual(await readIds(again), [...wanted, ...Array.from({ length: more - id + 1 }, (_, i) => id + i)]);
        await again.shutdown();
      }
      const last = new RecordingManager();
      const emptied = await storage.open({ manager: last });
      await checkpointAll(emptied);
      await until(() => emptied.stats().segments.length === 1);
      assert.deepEqual(last.checkpoints.flatMap(({ entries }) => entries.map((entry) => entry.id)), last.recoveredIds);
      await emptied.shutdown();
      assert.deepEqual(await storage.contents(), []);
    });
  }
}

forEachFileManager('what was abandoned is not shown to those who hold it either', async (storage) => {
  const layout = await inFormat1(storage);
  const keeping = await storage.open({ manager: new KeepingManager() });
  await keeping.hold('reader', { from: 1 });
  await keeping.shutdown();
  const manager = new ChoosingManager('rarr');
  const log = await storage.open({ manager });
  assert.deepEqual(await readIds(log, { from: 1 }), manager.recoveredIds);
  await log.shutdown();
  const checkpointing = await storage.open();
  await checkpointAll(checkpointing);
  assert.deepEqual(await readIds(checkpointing, { from: 1 }), manager.recoveredIds);
  await checkpointing.shutdown();
  const again = await storage.open();
  assert.deepEqual(await readIds(again, { from: 1 }), manager.recoveredIds);
  await again.truncateAfter(layout[3].at(-1) ?? 0);
  await (await again.hold('reader')).release();
  await until(() => again.stats().segments.length === 1);
});

for (const choice of ['rarr', 'rara', 'aarr', 'rrra']) {
  inMemory(`a log of which ${choice} was abandoned can be truncated anywhere`, async (storage) => {
    const layout = await inFormat1(storage);
    await (await storage.open({ manager: new ChoosingManager(choice) })).shutdown();
    const wanted = layout.filter((_, i) => choice[i] === 'r').flat();
    for (const id of layout.flat()) {
      const copy = await storage.crash();
      const log = await copy.open({ manager: new KeepingManager() });
      if (id < wanted[0] - 1) {
        await assert.rejects(log.truncateAfter(id), { code: 'WAL_POSITION_GONE' });
        continue;
      }
      await log.truncateAfter(id);
      const left = wanted.filter((other) => other <= id);
      assert.deepEqual(await readIds(log), left);
      const added = (await log.append('new')).id;
      assert.deepEqual(await readOnlyIds(await copy.crash()), [...left, added]);
      await log.shutdown();
      const after = new KeepingManager();
      await copy.open({ manager: after });
      assert.deepEqual(after.recoveredIds, [...left, added]);
    }
  });
}

inMemory('a chunk of an entry that was abandoned cannot be read', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const { chunks: [{ position }] } = await log.append('kept');
  await log.checkpointActive();
  const given = await log.append('given up');
  await log.checkpointActive();
  await log.append('kept too');
  await log.shutdown();
  const again = await storage.open({ manager: new ChoosingManager('rar') });
  await (await again.readAt(position)).close();
  await assert.rejects(again.readAt(given.chunks[0].position), { code: 'WAL_POSITION_GONE' });
});

inMemory('an opening that fails has abandoned nothing', async (storage) => {
  const layout = await inFormat1(storage);
  const manager = new ChoosingManager('rara');
  manager.onRecover = ({ id }) => {
    if (id === layout[2][0]) throw new Error('not this one');
  };
  await assert.rejects(storage.open({ manager }), { code: 'WAL_LOG_MANAGER_FAILED' });
  assert.deepEqual(await readOnlyIds(storage), layout.flat());
});

inMemory('a segment that got the name of a spare by mistake is not taken for one that was abandoned', async (storage) => {
  await inFormat1(storage);
  const second = await secondName(storage);
  await storage.fileManager.rename(path.join(storage.directory, second), path.join(storage.directory, `${second}-cp`));
  await assert.rejects(storage.open(), { code: 'WAL_CORRUPT' });
});

inMemory('a full disk keeps no segment in the middle from being abandoned: a spare takes its place', async (storage) => {
  const layout = await inFormat1(storage);
  const wanted = [...layout[0], ...layout[2], ...layout[3]];
  assert.ok((await storage.spareNames()).length > 0, 'the log has left a spare');
  const { storage: full, faulty } = storage.withFaults();
  const copy = `${await secondName(storage)}-cp`;
  let isSpare = false;
  faulty.after = ({ operation, to }) => void (isSpare ||= operation === 'rename' && to === copy);
  faulty.before = ({ operation, name }) => {
    if (operation === 'write' && name === copy && !isSpare) throw systemError('ENOSPC');
  };
  const log = await full.open({ manager: new ChoosingManager('rarr') });
  assert.ok(isSpare);
  assert.deepEqual(await readIds(log), wanted);
  assert.deepEqual(await readOnlyIds(await storage.crash()), wanted);
  const { id } = await log.append('new');
  await log.shutdown();
  const after = new KeepingManager();
  await storage.open({ manager: after });
  assert.deepEqual(after.recoveredIds, [...wanted, id]);
});

inMemory('where there is no space to abandon a segment, nothing is lost, and the next opening can', async (storage) => {
  const layout = await inFormat1(storage);
  for (const name of await storage.spareNames()) await storage.remove(name);
  const copy = `${await secondName(storage)}-cp`;
  const { storage: full, faulty } = storage.withFaults();
  faulty.before = ({ operation, name }) => {
    if (operation === 'write' && name === copy) throw systemError('ENOSPC');
  };
  await assert.rejects(full.open({ manager: new ChoosingManager('rarr') }), { code: 'WAL_NO_SPACE' });
  assert.deepEqual(await readOnlyIds(storage), layout.flat());
  const keeping = new KeepingManager();
  await (await full.open({ manager: keeping })).shutdown();
  assert.deepEqual(keeping.recoveredIds, layout.flat());
  await (await storage.open({ manager: new ChoosingManager('rarr') })).shutdown();
  assert.deepEqual(await readOnlyIds(storage), [...layout[0], ...layout[2], ...layout[3]]);
});

inMemory('a copy that a crash left unfinished may become another segment, and is made again', async (storage) => {
  const layout = await inFormat1(storage);
  const wanted = [...layout[0], ...layout[2]];
  for (const name of await storage.spareNames()) await storage.remove(name);
  await storage.put(`${await secondName(storage)}-cp`, Buffer.from('torn'));
  // The last segment goes as well, so that the log continues in a new one, for which it needs a spare file.
  const log = await storage.open({ manager: new ChoosingManager('rara') });
  const { id } = await log.append('new');
  assert.deepEqual(await readIds(log), [...wanted, id]);
  const after = new KeepingManager();
  await (await storage.crash()).open({ manager: after });
  assert.deepEqual(after.recoveredIds, [...wanted, id]);
});

for (const choice of ['aarr', 'rarr']) {
  inMemory(`a log of which ${choice} is abandoned is not open before that is durable`, async (storage) => {
    await inFormat1(storage);
    const { storage: slow, faulty } = storage.withFaults();
    const gate = deferred();
    let hasBegun = false;
    let isWaiting = false;
    faulty.after = ({ operation }) => void (hasBegun ||= operation === 'rename' || operation === 'remove');
    faulty.before = async ({ operation }) => {
      if (operation !== 'syncDirectory' || !hasBegun) return;
      isWaiting = true;
      await gate.promise;
    };
    const opening = slow.open({ manager: new ChoosingManager(choice) });
    await until(() => isWaiting);
    assert.equal(await isSettled(opening), false);
    gate.resolve();
    await opening;
  });
}
