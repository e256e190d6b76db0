/** Topics, their groups, and what a restart finds of them. */
import assert from 'node:assert/strict';
import { MemoryFileManager } from '../../src/index.js';
import type { Message } from '../../src/topics/index.js';
import { forEachFileManager, isSettled, turns, until } from '../tools/helpers.js';
import { checkpointed, contents, drain, fill, openTopics, textOf } from '../tools/topics-tools.js';

forEachFileManager('what is published is lost, changed or out of order when it is read', async (storage) => {
  const topics = await openTopics(storage);
  const topic = topics.topic('a');
  const ids = [
    await topic.publish('one'),
    await topic.publish(['two', new Uint8Array([51]), ''], { key: 'k' }),
    await topics.topic('b').publish('other'),
    await topic.publish([]),
  ];
  assert.deepEqual(ids, [...ids].sort((a, b) => a - b));
  const read: Message[] = [];
  for await (const message of topic.read()) read.push(message);
  assert.deepEqual(read.map(({ id }) => id), [ids[0], ids[1], ids[3]]);
  assert.deepEqual(read.map(textOf), ['one', 'two|3|', '']);
  assert.deepEqual(read.map(({ key, attempt, topic: name }) => [key, attempt, name]), [
    [undefined, 0, 'a'], ['k', 0, 'a'], [undefined, 0, 'a'],
  ]);
  assert.deepEqual(read.map(({ chunks }) => chunks.length), [1, 3, 0]);
  assert.deepEqual([...topics.names()].sort(), ['a', 'b']);
  assert.deepEqual([...topics.names('b')], ['b']);
  assert.ok(Math.abs(read[0].time.getTime() - Date.now()) < 60_000);
  const { firstId, lastId, messages } = topic.stats();
  assert.deepEqual({ firstId, lastId, messages }, { firstId: ids[0], lastId: ids[3], messages: 3 });
  await topics.close();
});

forEachFileManager('a group is not handed each message once, or again after it was acknowledged and all was reopened', async (storage) => {
  let topics = await openTopics(storage);
  const topic = topics.topic('jobs');
  let group = await topic.group('workers');
  for (const data of ['a', 'b', 'c', 'd']) await topic.publish(data);
  const [a, b] = await group.take({ max: 2 });
  const [c] = await group.take({ max: 1 });
  assert.deepEqual([a, b, c].map(textOf), ['a', 'b', 'c']);
  assert.deepEqual([a, b, c].map(({ attempt }) => attempt), [1, 1, 1]);
  await b.ack();
  await c.ack();
  assert.equal(group.lag.messages, 2);
  assert.equal(group.lag.inFlight, 1);
  await topics.close();

  topics = await openTopics(storage);
  group = await topics.topic('jobs').group('workers');
  assert.equal(group.lag.messages, 2);
  assert.deepEqual(await drain(group), ['a', 'd']);
  await topics.close();

  topics = await openTopics(storage);
  group = await topics.topic('jobs').group('workers');
  assert.equal(group.lag.messages, 0);
  assert.deepEqual(await group.take({ max: 10, waitMs: 0 }), []);
  await topics.close();
});

forEachFileManager('messages are lost or come twice when their segments are checkpointed', async (storage) => {
  let topics = await openTopics(storage);
  const kept: string[] = [];
  const slow = await topics.topic('slow').group('g');
  const busy = await topics.topic('busy').group('g');
  for (let round = 0; round < 5; round++) {
    kept.push(...await fill(topics, 'slow', `slow ${round}`));
    const expected = await fill(topics, 'busy', `busy ${round}`);
    assert.deepEqual(await drain(busy), expected);
  }
  await checkpointed(topics);
  assert.deepEqual(await contents(topics, 'slow'), kept);
  assert.equal(slow.lag.messages, kept.length);
  assert.deepEqual(await drain(slow, 30), kept.slice(0, 30));
  await topics.close();

  topics = await openTopics(storage);
  const again = await topics.topic('slow').group('g');
  assert.equal(again.lag.messages, kept.length - 30);
  kept.push(...await fill(topics, 'slow', 'after'));
  assert.deepEqual(await drain(again), kept.slice(30));
  await checkpointed(topics);
  assert.equal(topics.stats().runs, 0, 'what nobody wants is kept');
  assert.equal(topics.topic('slow').stats().messages, 0);
  await topics.close();

  topics = await openTopics(storage);
  assert.deepEqual(await contents(topics, 'slow'), []);
  assert.equal((await topics.topic('slow').group('g')).lag.messages, 0);
  await topics.close();
});

forEachFileManager('a commit does a part of what it says, or an acknowledgement in it does not count', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('in').group('g');
  for (const data of ['1', '2', '3']) await topics.topic('in').publish(data);
  const messages = await group.take({ max: 3 });
  const ids = await topics.commit({
    publish: [{ topic: 'out', data: 'result 1' }, { topic: 'out', data: 'result 2', key: 'k' }, { topic: 'audit', data: 'x' }],
    ack: messages.slice(0, 2),
  });
  assert.equal(ids.length, 3);
  assert.deepEqual(await contents(topics, 'out'), ['result 1', 'result 2']);
  assert.deepEqual(await contents(topics, 'audit'), ['x']);
  assert.equal(group.lag.messages, 1);
  await assert.rejects(topics.commit({ publish: [{ topic: 'out', data: 'twice' }], ack: [messages[0]] }), {
    code: 'TOPICS_ALREADY_ACKNOWLEDGED',
  });
  assert.deepEqual(await contents(topics, 'out'), ['result 1', 'result 2']);
  await messages[2].ack();
  await assert.rejects(messages[2].ack(), { code: 'TOPICS_ALREADY_ACKNOWLEDGED' });
  assert.deepEqual(await topics.commit({}), []);
  await topics.close();
});

forEachFileManager('a consumer that waits is not handed what is published, or a loop does not end at a close', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  const seen: string[] = [];
  const loop = (async () => {
    for await (const message of group.messages()) {
      seen.push(textOf(message));
      await message.ack();
    }
  })();
  const followed: string[] = [];
  const following = (async () => {
    for await (const message of topics.topic('t').read({ follow: true })) followed.push(textOf(message));
  })();
  for (let i = 0; i < 50; i++) await topics.topic('t').publish(`${i}`);
  await until(() => seen.length === 50 && followed.length === 50);
  assert.deepEqual(seen, followed);
  assert.deepEqual(seen, Array.from({ length: 50 }, (_, i) => `${i}`));
  assert.equal(await isSettled(loop), false);
  await topics.close();
  await loop;
  await following;
});

forEachFileManager('two loops over one group are handed the same message, or not every one', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  const seen: string[][] = [[], []];
  const loops = seen.map(async (mine) => {
    for await (const message of group.messages()) {
      mine.push(textOf(message));
      await message.ack();
    }
  });
  await Promise.all(Array.from({ length: 200 }, (_, i) => topics.topic('t').publish(`${i}`)));
  await until(() => seen.flat().length === 200);
  assert.equal(new Set(seen.flat()).size, 200);
  assert.ok(seen.every((mine) => mine.length > 0));
  await topics.close();
  await Promise.all(loops);
});

forEachFileManager('two groups of a topic take messages from one another', async (storage) => {
  const topics = await openTopics(storage);
  const [one, two] = [await topics.topic('t').group('one'), await topics.topic('t').group('two')];
  const sent = [...await fill(topics, 't', 'first'), ...await fill(topics, 't', 'second')];
  for (const data of ['x', 'y']) {
    await topics.topic('t').publish(data);
    sent.push(data);
  }
  assert.deepEqual(await drain(one), sent);
  await checkpointed(topics);
  assert.deepEqual(await drain(two), sent);
  const late = await topics.topic('t').group('late', { from: 'next' });
  await topics.topic('t').publish('news');
  for (const group of [one, two, late]) assert.deepEqual(await drain(group), ['news']);
  await topics.close();
});

forEachFileManager('a message is handed out before it is durable', async (storage) => {
  // In memory everything is as durable as it will ever be.
  if (storage.fileManager instanceof MemoryFileManager) return;
  const topics = await openTopics(storage, { sync: 'manual' });
  const group = await topics.topic('t').group('g');
  const taken = group.take({ max: 1 });
  await topics.topic('t').publish('x', { durable: false });
  assert.equal(await isSettled(taken), false);
  assert.deepEqual(await contents(topics, 't'), []);
  await topics.log.sync();
  assert.deepEqual((await taken).map(textOf), ['x']);
  await topics.close();
});

forEachFileManager('a topic that was deleted comes back, or takes what is published after it', async (storage) => {
  let topics = await openTopics(storage);
  await topics.topic('t').group('g');
  await topics.topic('t').publish('old');
  const deleted = topics.topic('t').delete();
  const id = await topics.topic('t').publish('new');
  await deleted;
  assert.deepEqual(await contents(topics, 't'), ['new']);
  await topics.close();
  topics = await openTopics(storage);
  assert.deepEqual(await contents(topics, 't'), ['new']);
  assert.equal(topics.topic('t').stats().firstId, id);
  assert.equal(topics.stats().groups, 0);
  await topics.topic('t').delete();
  await assert.rejects(topics.topic('t').delete(), { code: 'TOPICS_UNKNOWN_TOPIC' });
  await checkpointed(topics);
  await topics.close();
  topics = await openTopics(storage);
  assert.deepEqual([...topics.names()], []);
  await topics.close();
});

forEachFileManager('what was truncated is handed out or read again', async (storage) => {
  let topics = await openTopics(storage);
  const sent = await fill(topics, 't', 'a');
  const group = await topics.topic('t').group('g');
  await checkpointed(topics);
  sent.push(...await fill(topics, 't', 'b'));
  const ids: number[] = [];
  for await (const { id } of topics.topic('t').read()) ids.push(id);
  await topics.topic('t').truncateBefore(ids[3]);
  assert.deepEqual(await contents(topics, 't'), sent.slice(3));
  assert.equal(topics.topic('t').stats().firstId, ids[3]);
  await topics.close();
  topics = await openTopics(storage);
  assert.deepEqual(await drain(await topics.topic('t').group('g')), sent.slice(3));
  assert.equal(group.name, 'g');
  await topics.close();
});

forEachFileManager('a group that seeks goes to another message, or the place is lost by a restart', async (storage) => {
  let topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  const other = await topics.topic('t').group('other');
  const sent = await fill(topics, 't', 'a');
  const messages = await group.take({ max: 5 });
  await Promise.all(messages.map((message) => message.ack()));
  const [held] = await group.take({ max: 1 });
  await group.seek(messages[2].id);
  await assert.rejects(held.ack(), { code: 'TOPICS_LEASE_LOST' });
  assert.deepEqual(await drain(group, 3), sent.slice(2, 5));
  await group.seek(messages[1].id);
  assert.equal(group.lag.messages, sent.length - 1);
  await topics.close();
  topics = await openTopics(storage);
  const again = await topics.topic('t').group('g');
  assert.deepEqual(await drain(again), sent.slice(1));
  await again.seek(new Date(0));
  assert.deepEqual(await drain(again), sent);
  assert.equal(other.name, 'other');
  await turns();
  await topics.close();
});
