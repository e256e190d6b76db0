/** What topics are told that makes no sense. */
import assert from 'node:assert/strict';
import { LogVoid, MemoryFileManager, WriteAheadLog } from '../../src/index.js';
import { Group, Message, Topic, Topics, TopicsError } from '../../src/topics/index.js';
import { forEachFileManager, inMemory, Storage } from '../tools/helpers.js';
import { contents, drain, openTopics, textOf } from '../tools/topics-tools.js';

const LONG = 'x'.repeat(256);
const HALF = '\ud800';

inMemory('a name that is none passes, or is taken for another', async (storage) => {
  const topics = await openTopics(storage);
  for (const name of ['', LONG, HALF, 'ü'.repeat(128)]) {
    assert.throws(() => topics.topic(name), RangeError, JSON.stringify(name));
    await assert.rejects(topics.topic('t').group(name), RangeError);
    await assert.rejects(topics.commit({ publish: [{ topic: name, data: 'x' }] }), RangeError);
  }
  for (const name of [undefined, null, 7, {}, Buffer.from('t')]) {
    assert.throws(() => topics.topic(name as string), TypeError);
    await assert.rejects(topics.topic('t').group(name as string), TypeError);
  }
  assert.deepEqual([...topics.names()], []);
  for (const name of ['x'.repeat(255), 'ü'.repeat(127), '__proto__', ' ', 'a/b\0c']) {
    await topics.topic(name).publish(name);
    assert.deepEqual(await contents(topics, name), [name]);
  }
  await topics.close();
});

inMemory('data, keys or options that are none are written, or do harm to what is written beside them', async (storage) => {
  const topics = await openTopics(storage);
  const topic = topics.topic('t');
  for (const data of [undefined, null, 7, {}, [7], ['x', undefined]]) {
    await assert.rejects(topic.publish(data as string), TypeError);
    await assert.rejects(topics.commit({ publish: [{ topic: 't', data: 'good' }, { topic: 't', data: data as string }] }), TypeError);
  }
  for (const key of [7, null, {}]) await assert.rejects(topic.publish('x', { key: key as unknown as string }), TypeError);
  await assert.rejects(topic.publish('x', { key: HALF }), RangeError);
  await assert.rejects(topic.publish('x', { durabel: true } as object), /there is no option "durabel"/);
  await assert.rejects(topic.publish('x', { signal: {} as AbortSignal }), TypeError);
  await assert.rejects(topics.commit(undefined as never), TypeError);
  await assert.rejects(topics.commit({ publish: [{ topic: 't', data: 'x', kee: 'k' } as never] }), TypeError);
  await assert.rejects(topics.commit({ ack: [{} as Message] }), TypeError);
  await topic.publish('there');
  assert.deepEqual(await contents(topics, 't'), ['there']);
  await topics.close();
});

inMemory('options of groups, of takes and of topics that make no sense are heeded in some way', async (storage) => {
  const topics = await openTopics(storage);
  const topic = topics.topic('t');
  const bad: object[] = [
    { leaseMs: 0 }, { leaseMs: 1.5 }, { leaseMs: 2 ** 31 }, { maxInFlight: 0 }, { maxAttempts: 0 }, { order: 'any' },
    { cursor: 'eager' }, { deadLetter: '' }, { from: -1 }, { from: new Date(NaN) }, { from: 0.5 },
  ];
  for (const options of bad) await assert.rejects(topic.group('g', options), RangeError, JSON.stringify(options));
  for (const options of [{ leaseMs: '1' }, { from: 'last' }, { lease: 1 }, null, 7]) {
    await assert.rejects(topic.group('g', options as object), TypeError, JSON.stringify(options));
  }
  await assert.rejects(topics.topic('x'.repeat(254)).group('g', { maxAttempts: 1 }), RangeError);
  const group = await topic.group('g');
  for (const options of [{ max: 0 }, { max: 1, maxBytes: 0 }, { max: 1, waitMs: -1 }]) {
    await assert.rejects(group.take(options), RangeError);
  }
  await assert.rejects(group.take({} as never), TypeError);
  await assert.rejects(group.take({ max: 1, wait: 1 } as never), TypeError);
  assert.throws(() => group.messages({ max: 1 } as never), TypeError);
  const rules: object[] = [{ until: 'never' }, { ms: 0 }, { bytes: -1 }, { whenFull: 'panic' }];
  for (const retain of rules) assert.throws(() => topics.topic('r', retain), RangeError, JSON.stringify(retain));
  assert.throws(() => topics.topic('r', { days: 1 } as object), TypeError);
  await topics.close();
  for (const options of [{ keepSegments: -1 }, { keepSegments: 1001 }]) await assert.rejects(openTopics(storage, options), RangeError);
  for (const options of [{ versionInfo: Buffer.from('x') }, { keep: 1 }, { retain: 7 }]) {
    await assert.rejects(openTopics(storage, options as object), TypeError, JSON.stringify(options));
  }
});

inMemory('a topic, a group or a place that does not exist is found', async (storage) => {
  const topics = await openTopics(storage);
  const unknown = { name: 'TopicsError', code: 'TOPICS_UNKNOWN_TOPIC', topic: 'none' };
  const none = topics.topic('none');
  assert.deepEqual(none.stats(), { firstId: 0, lastId: 0, messages: 0, bytes: 0 });
  assert.throws(() => none.read(), unknown);
  await assert.rejects(none.truncateBefore(1), unknown);
  await assert.rejects(none.delete(), unknown);
  await assert.rejects(none.group('g', { from: 1000 }), { code: 'TOPICS_OUT_OF_RANGE' });
  assert.deepEqual([...topics.names()], []);

  const group = await topics.topic('t').group('g');
  const id = await topics.topic('t').publish('x');
  const future = { code: 'TOPICS_OUT_OF_RANGE', topic: 't', id: id + 1000 };
  await assert.rejects(group.seek(id + 1000), future);
  await assert.rejects(topics.topic('t').group('h', { from: id + 1000 }), future);
  await assert.rejects(topics.topic('t').truncateBefore(id + 1000), future);
  await assert.rejects(topics.topic('t').read({ from: id + 1000 }).next(), future);
  assert.deepEqual(await drain(group), ['x']);
  await group.delete();
  await assert.rejects(group.take({ max: 1 }), { code: 'TOPICS_UNKNOWN_GROUP', topic: 't', group: 'g' });
  await assert.rejects(group.seek(1), { code: 'TOPICS_UNKNOWN_GROUP' });
  const again = await topics.topic('t').group('g');
  assert.deepEqual(await drain(again), ['x']);
  await topics.close();
});

inMemory('a message that was only read can be acknowledged', async (storage) => {
  const topics = await openTopics(storage);
  await topics.topic('t').publish('x');
  for await (const message of topics.topic('t').read()) {
    await assert.rejects(message.ack(), TypeError);
    await assert.rejects(message.nack(), TypeError);
    assert.throws(() => message.extend(1), TypeError);
    await assert.rejects(topics.commit({ ack: [message] }), TypeError);
  }
  await topics.close();
});

inMemory('an acknowledgement in a commit counts although another one in it did not', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  for (const data of ['a', 'b']) await topics.topic('t').publish(data);
  const [a, b] = await group.take({ max: 2 });
  await b.ack();
  await assert.rejects(topics.commit({ publish: [{ topic: 'out', data: 'x' }], ack: [a, b] }), {
    code: 'TOPICS_ALREADY_ACKNOWLEDGED',
  });
  await assert.rejects(topics.commit({ ack: [a, a] }), TopicsError);
  assert.deepEqual([...topics.names()], ['t']);
  assert.equal(group.lag.messages, 1);
  await topics.commit({ ack: [a] });
  assert.equal(group.lag.messages, 0);
  await topics.close();
});

inMemory('something is done after a close, or waits for ever', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  await topics.topic('t').publish('x');
  const [message] = await group.take({ max: 1 });
  const late = message.ack();
  await Promise.all([topics.close(), topics.close()]);
  await late;
  const closed = { code: 'WAL_CLOSED' };
  await assert.rejects(topics.topic('t').publish('y'), closed);
  await assert.rejects(topics.topic('t').group('g'), closed);
  await assert.rejects(topics.commit({ publish: [{ topic: 't', data: 'y' }] }), closed);
  await assert.rejects(group.take({ max: 1 }), closed);
  assert.throws(() => topics.topic('t').read(), closed);
  assert.deepEqual(await group.messages().next(), { done: true, value: undefined });
  const again = await openTopics(storage);
  assert.deepEqual(await drain(await again.topic('t').group('g')), []);
  await again[Symbol.asyncDispose]();
});

forEachFileManager('a log that is not one of topics is taken over, or topics are opened twice', async (storage) => {
  const log = await WriteAheadLog.recover(storage.directory, LogVoid, { fileManager: storage.fileManager });
  await log.append('mine');
  await log.shutdown();
  await assert.rejects(Topics.open(storage.directory, { fileManager: storage.fileManager }), /not a log of topics/);
  await assert.rejects(Topics.open('', {}), RangeError);
  await assert.rejects(Topics.open(7 as never, {}), TypeError);
  assert.equal((await storage.contents()).map(({ chunks }) => chunks[0]).join(), 'mine');
});

inMemory('topics are open twice in one directory', async (storage) => {
  const topics = await openTopics(storage);
  await assert.rejects(openTopics(storage), { code: 'WAL_LOCKED' });
  await topics.topic('t').publish('x');
  await topics.close();
  const again = await openTopics(storage);
  for await (const message of again.topic('t').read()) assert.equal(textOf(message), 'x');
  await again.close();
});

inMemory('a class that comes from another can be constructed', async () => {
  for (const Class of [Group, Message, Topic, Topics] as unknown as (new () => object)[]) {
    assert.throws(() => new Class(), /cannot be constructed/);
  }
});

inMemory('a message of other topics is acknowledged in these, where it is another', async (storage) => {
  const [topics, others] = [await openTopics(storage), await openTopics(new Storage(new MemoryFileManager(), '/other'))];
  const messages: Message[] = [];
  for (const each of [topics, others]) {
    const group = await each.topic('t').group('g');
    await each.topic('t').publish('x');
    messages.push(...await group.take({ max: 1 }));
  }
  await assert.rejects(topics.commit({ ack: messages }), { name: 'TypeError', message: /was handed out by other topics/ });
  await assert.rejects(topics.commit({ ack: [messages[0], messages[0]] }), { code: 'TOPICS_ALREADY_ACKNOWLEDGED' });
  for (const message of messages) await message.ack();
  await topics.close();
  await others.close();
});

inMemory('null passes for an option that was left out', async (storage) => {
  const none = null as never;
  await assert.rejects(openTopics(storage, { retain: none }), TypeError);
  const topics = await openTopics(storage);
  assert.throws(() => topics.topic('t', none), TypeError);
  assert.throws(() => topics.topic('t').read(none), TypeError);
  await assert.rejects(topics.topic('t').publish('x', none), TypeError);
  await assert.rejects(topics.topic('t').group('g', none), TypeError);
  await assert.rejects(topics.commit({ publish: none }), TypeError);
  await assert.rejects(topics.commit({ ack: none }), TypeError);
  await topics.close();
});

inMemory('a message that fails too often comes back in its own topic, as a new one without end', async (storage) => {
  const topics = await openTopics(storage);
  const message = /deadLetter must be another topic than "t"/;
  await assert.rejects(topics.topic('t').group('g', { maxAttempts: 1, deadLetter: 't' }), { name: 'RangeError', message });
  assert.deepEqual([...topics.names()], []);
  await topics.close();
});
