/**
 * What went wrong in other brokers and has no test elsewhere here. For lagging readers, slow consumers and expired
 * messages see topics-space; for leases, poison messages and cursors topics-delivery.
 */
import assert from 'node:assert/strict';
import { FaultyFileManager, systemError } from '../tools/faulty-file-manager.js';
import { forEachFileManager, inMemory, Storage, turns, until } from '../tools/helpers.js';
import { checkpointed, contents, drain, fill, openTopics, textOf } from '../tools/topics-tools.js';

/** The runs there are. */
async function runsIn(storage: Storage): Promise<string[]> {
  return [...(await storage.files()).keys()].filter((name) => name.startsWith('topics-run-')).sort();
}

/** Topics of which everything is in one run: three of them, with three messages each. */
async function inOneRun(storage: Storage): Promise<string> {
  const topics = await openTopics(storage);
  for (const name of ['a', 'b', 'c']) {
    await topics.topic(name).group('g');
    for (let i = 0; i < 3; i++) await topics.topic(name).publish(`${name} ${i}`);
  }
  await checkpointed(topics);
  await topics.close();
  const runs = await runsIn(storage);
  assert.equal(runs.length, 1);
  return runs[0];
}

forEachFileManager('what is trimmed stays with its group as a pending message that points to nothing', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  const ids: number[] = [];
  for (let i = 0; i < 6; i++) ids.push(await topics.topic('t').publish(`${i}`));
  const taken = await group.take({ max: 3 });
  const dropped: unknown[] = [];
  topics.on('dropped', (report) => dropped.push(report));
  await topics.topic('t').truncateBefore(ids[4]);
  await turns();
  assert.deepEqual(dropped, [{ topic: 't', from: ids[0], to: ids[4] - 1, groups: ['g'] }]);
  assert.deepEqual({ messages: group.lag.messages, inFlight: group.lag.inFlight }, { messages: 2, inFlight: 0 });
  for (const message of taken) await assert.rejects(message.ack(), { code: 'TOPICS_LEASE_LOST' });
  assert.deepEqual(await drain(group), ['4', '5']);
  await topics.close();
});

forEachFileManager('a publish is acknowledged that a crash takes back', async (storage) => {
  const topics = await openTopics(storage);
  await topics.topic('t').publish('acknowledged');
  const after = await storage.crash();
  const again = await openTopics(after);
  assert.deepEqual(await contents(again, 't'), ['acknowledged']);
  await again.close();
});

inMemory('an error of a sync is dropped, and what follows is acknowledged', async (base) => {
  const faulty = new FaultyFileManager(base.fileManager);
  const topics = await openTopics(new Storage(faulty, base.directory));
  await topics.topic('t').publish('before');
  faulty.before = ({ operation }) => {
    if (operation === 'write' || operation === 'sync') throw systemError('EIO');
  };
  await assert.rejects(topics.topic('t').publish('failed'), { code: 'WAL_FAILED' });
  faulty.before = () => undefined;
  await assert.rejects(topics.topic('t').publish('later'), { code: 'WAL_FAILED' });
  await assert.rejects(topics.topic('t').group('g'), { code: 'WAL_FAILED' });
  await topics.close();
  const again = await openTopics(base);
  const [first] = await contents(again, 't');
  assert.equal(first, 'before');
  await again.close();
});

for (const what of ['wal-', 'topics-state', 'topics-run-']) {
  inMemory(`ids begin at 1 again because ${what}… cannot be opened`, async (base) => {
    const run = await inOneRun(base);
    const faulty = new FaultyFileManager(base.fileManager);
    faulty.before = ({ operation, name }) => {
      if (operation === 'open' && name.startsWith(what) && !name.endsWith('-cp')) throw systemError('EACCES');
    };
    await assert.rejects(openTopics(new Storage(faulty, base.directory)), { code: 'WAL_IO' });
    const again = await openTopics(base);
    assert.deepEqual(await contents(again, 'b'), ['b 0', 'b 1', 'b 2']);
    assert.deepEqual(await runsIn(base), [run]);
    await again.close();
  });
}

forEachFileManager('one damaged index hides the messages of a whole file', async (storage) => {
  const run = await inOneRun(storage);
  const whole = await storage.get(run);
  // The magic at the end, its checksum, where it begins, and the entry of a topic in it.
  for (const fromEnd of [1, 6, 20, 40, 150]) {
    await storage.put(run, whole);
    await storage.damage(run, whole.length - fromEnd);
    const topics = await openTopics(storage);
    for (const name of ['a', 'b', 'c']) {
      assert.deepEqual(await contents(topics, name), [0, 1, 2].map((i) => `${name} ${i}`), `${fromEnd}`);
      assert.equal(topics.topic(name).stats().messages, 3);
    }
    await topics.close();
  }
});

forEachFileManager('a damaged index stays as it is, and is read from the messages at every opening', async (storage) => {
  const run = await inOneRun(storage);
  await storage.damage(run, (await storage.get(run)).length - 1);
  let topics = await openTopics(storage);
  await fill(topics, 'other', 'x');
  await checkpointed(topics);
  await until(() => topics.stats().runs === 1);
  await topics.close();
  assert.ok(!(await runsIn(storage)).includes(run));
  topics = await openTopics(storage);
  assert.deepEqual(await drain(await topics.topic('b').group('g')), ['b 0', 'b 1', 'b 2']);
  await topics.close();
});

forEachFileManager('messages are passed over in a run whose index and messages are damaged', async (storage) => {
  const run = await inOneRun(storage);
  const whole = await storage.get(run);
  const damages: number[][] = [[whole.length - 1, whole.indexOf('b 1')], [whole.length - 1, 21], [3], [14]];
  for (const places of damages) {
    await storage.put(run, whole);
    for (const at of places) await storage.damage(run, at);
    const message = new RegExp(`^${run} is damaged at offset \\d+, .*: put it back from a backup`);
    await assert.rejects(openTopics(storage), { code: 'WAL_CORRUPT', message });
  }
  await storage.put(run, whole.subarray(0, whole.length - 30));
  await assert.rejects(openTopics(storage), { code: 'WAL_CORRUPT' });
  await storage.put(run, whole);
  await (await openTopics(storage)).close();
});

forEachFileManager('one damaged message keeps all runs from being merged, whose number grows without end', async (storage) => {
  const run = await inOneRun(storage);
  await storage.damage(run, (await storage.get(run)).indexOf('b 1'));
  const topics = await openTopics(storage);
  await topics.topic('kept').group('g');
  const sent: string[] = [];
  for (let i = 0; i < 12; i++) {
    sent.push(...await fill(topics, 'kept', `${i}`));
    await checkpointed(topics);
  }
  await until(() => topics.stats().runs < 6);
  assert.ok((await runsIn(storage)).includes(run));
  assert.deepEqual(await drain(await topics.topic('kept').group('g')), sent);
  assert.deepEqual(await contents(topics, 'c'), ['c 0', 'c 1', 'c 2']);
  await topics.close();
});

inMemory('the way past a damaged message is not told, or leads past others', async (storage) => {
  const run = await inOneRun(storage);
  await storage.damage(run, (await storage.get(run)).indexOf('b 1'));
  const topics = await openTopics(storage);
  const topic = topics.topic('b');
  const group = await topic.group('g');
  const last = await topic.publish('b 3');
  const isTold = (error: Error & { code: string }): boolean => {
    assert.match(error.message, / of "b" after \d+ and up to \d+ cannot be read; truncateBefore\(\d+\), or seek/);
    return error.code === 'WAL_CORRUPT';
  };
  const lost: Error[] = [];
  await assert.rejects(drain(group), (error: Error & { code: string }) => {
    lost.push(error);
    return isTold(error);
  });
  await assert.rejects(contents(topics, 'b'), isTold);
  const to = Number(/truncateBefore\((\d+)\)/.exec(lost[0].message)?.[1]);
  assert.ok(to <= last);
  await group.seek(to);
  const [message] = await group.take({ max: 1 });
  assert.equal(textOf(message), 'b 3');
  await topics.close();
});
