/** What is asked of the log as a whole: its checkpoint, and whether it may be there. */
import assert from 'node:assert/strict';
import { deferred } from '../../src/base/async.js';
import {
  fillSegment, forEachFileManager, inMemory, isSettled, RecordingManager, TestEnvironment, until,
} from '../tools/helpers.js';

forEachFileManager('checkpoint() resolves before all that was written has been checkpointed', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await log.checkpoint();
  const ids = [...await fillSegment(log), ...await fillSegment(log)];
  ids.push((await log.append('the last')).id);
  await log.checkpoint();
  assert.deepEqual(manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id)), ids);
  assert.equal(log.stats().segmentsToCheckpoint, 0);
  await Promise.all([log.append('one'), log.checkpoint(), log.append('two'), log.checkpoint()]);
  await log.checkpoint();
  assert.equal(manager.checkpoints.at(-1)?.lastId, (ids.at(-1) ?? 0) + 2);
});

inMemory('checkpoint() waits for ever for one that fails, or that will not come', async (storage) => {
  const environment = new TestEnvironment();
  const manager = new RecordingManager();
  let fails = true;
  manager.onCheckpoint = () => {
    if (fails) throw new Error('no storage');
  };
  const log = await storage.open({ manager, environment });
  log.on('checkpointFailed', () => undefined);
  await log.append('one');
  await assert.rejects(log.checkpoint(), { code: 'WAL_LOG_MANAGER_FAILED' });
  fails = false;
  // Without the pause of the retry, which never ends here.
  await log.checkpoint();
  assert.equal(manager.checkpoints.length, 1);

  const [reached, gate] = [deferred(), deferred()];
  manager.onCheckpoint = () => {
    reached.resolve();
    return gate.promise;
  };
  await log.append('two');
  const waiting = log.checkpoint();
  await reached.promise;
  assert.equal(await isSettled(waiting), false);
  const closing = log.shutdown();
  await assert.rejects(waiting, { code: 'WAL_CLOSED' });
  await assert.rejects(log.checkpoint(), { code: 'WAL_CLOSED' });
  gate.resolve();
  await closing;
});

inMemory('checkpoint() waits for entries that are dropped in the meantime', async (storage) => {
  const manager = new RecordingManager();
  const [reached, gate] = [deferred(), deferred()];
  manager.onCheckpoint = () => {
    reached.resolve();
    return gate.promise;
  };
  const log = await storage.open({ manager });
  await log.append('one');
  await log.append('two');
  const waiting = log.checkpoint();
  await reached.promise;
  await log.truncateBefore(3);
  await waiting;
  gate.resolve();
});

forEachFileManager('a log is created where there must be one, or opened where there must be none', async (storage) => {
  const missing = storage.open({ options: { mustExist: true } });
  await assert.rejects(missing, { code: 'WAL_NOT_FOUND' });
  await assert.rejects(storage.fileManager.list(storage.directory), { code: 'ENOENT' });
  await storage.fileManager.createDirectory(storage.directory);
  await storage.put('notes.txt', Buffer.from('no log'));
  await assert.rejects(storage.open({ options: { mustExist: true } }), { code: 'WAL_NOT_FOUND' });
  const log = await storage.open({ options: { mustBeNew: true } });
  await log.append('hello');
  await log.shutdown();
  const before = await storage.files();
  await assert.rejects(storage.open({ options: { mustBeNew: true } }), { code: 'WAL_EXISTS' });
  assert.deepEqual(await storage.files(), before);
  const again = await storage.open({ options: { mustExist: true } });
  assert.equal(again.durableId, 1);
  await assert.rejects(storage.open({ options: { mustExist: true, mustBeNew: true } }), RangeError);
  await assert.rejects(storage.open({ options: { mustExist: 'yes' as never } }), TypeError);
});

inMemory('two who want a new log get the same', async (storage) => {
  const open = (): Promise<unknown> => storage.open({ options: { mustBeNew: true } });
  const results = await Promise.allSettled([open(), open(), open()]);
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const result of results) {
    if (result.status === 'rejected') assert.match((result.reason as { code: string }).code, /^WAL_(LOCKED|EXISTS)$/);
  }
});

inMemory('an entry reads as other text or JSON than it was written', async (storage) => {
  const log = await storage.open();
  await log.appendBatch([['{"grü', 'n": [1', ', 2]}'], '', 'no JSON', Buffer.from('ü').subarray(0, 1)]);
  const texts: string[] = [];
  const values: unknown[] = [];
  for await (const entry of log.entries()) {
    texts.push(await entry.text());
    values.push(await entry.json().catch((error: Error) => error.name));
  }
  assert.deepEqual(texts, ['{"grün": [1, 2]}', '', 'no JSON', '\ufffd']);
  assert.deepEqual(values, [{ grün: [1, 2] }, 'SyntaxError', 'SyntaxError', 'SyntaxError']);
  // A character that two chunks share.
  const [first, second] = [Buffer.from('ü').subarray(0, 1), Buffer.from('ü').subarray(1)];
  const { id } = await log.append([first, second]);
  for await (const entry of log.entries({ from: id })) assert.equal(await entry.text(), 'ü');
  await until(() => log.durableId === id);
});
