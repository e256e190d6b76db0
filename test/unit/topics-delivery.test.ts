/** How groups hand out messages: leases, attempts, order, and who waits. Much of it went wrong elsewhere. */
import assert from 'node:assert/strict';
import type { Group, Message, Topics } from '../../src/topics/index.js';
import { FaultyFileManager, Gate, systemError } from '../tools/faulty-file-manager.js';
import { forEachFileManager, inMemory, isSettled, Storage, TestEnvironment, turns, until } from '../tools/helpers.js';
import { checkpointed, contents, drain, fill, openTopics, textOf } from '../tools/topics-tools.js';

/** Takes one message, which must be there. */
async function takeOne(group: Group): Promise<Message> {
  const [message] = await group.take({ max: 1 });
  return message;
}

/** Lets time pass, and what waits for it happen. */
async function pass(environment: TestEnvironment, ms: number): Promise<void> {
  environment.time += ms;
  environment.fire();
  await turns();
}

function reported<Name extends 'deadLetter' | 'leaseExpired' | 'dropped'>(topics: Topics, name: Name): object[] {
  const reports: object[] = [];
  topics.on(name, ((report: object) => reports.push(report)) as never);
  return reports;
}

inMemory('a message whose consumer is gone stays with it for ever', async (storage) => {
  const environment = new TestEnvironment();
  const topics = await openTopics(storage, {}, environment);
  const group = await topics.topic('t').group('g', { leaseMs: 1000 });
  const expired = reported(topics, 'leaseExpired');
  const id = await topics.topic('t').publish('x');
  const first = await takeOne(group);
  const again = group.take({ max: 1 });
  await pass(environment, 999);
  assert.equal(await isSettled(again), false);
  await pass(environment, 1);
  const [second] = await again;
  assert.deepEqual([second.id, second.attempt], [id, 2]);
  assert.deepEqual(expired, [{ topic: 't', group: 'g', id, attempt: 1 }]);
  // Its late acknowledgement must not count: another consumer has it.
  await assert.rejects(first.ack(), { code: 'TOPICS_LEASE_LOST', topic: 't', id });
  await assert.rejects(first.nack(), { code: 'TOPICS_LEASE_LOST' });
  assert.throws(() => first.extend(1000), { code: 'TOPICS_LEASE_LOST' });
  await second.ack();
  assert.equal(group.lag.messages, 0);
  await topics.close();
});

inMemory('a lease that is extended while the job runs ends all the same', async (storage) => {
  const environment = new TestEnvironment();
  const topics = await openTopics(storage, {}, environment);
  const group = await topics.topic('t').group('g', { leaseMs: 1000 });
  await topics.topic('t').publish('x');
  const message = await takeOne(group);
  const other = group.take({ max: 1 });
  for (let i = 0; i < 5; i++) {
    await pass(environment, 900);
    message.extend(1000);
  }
  assert.equal(await isSettled(other), false);
  await message.ack();
  await pass(environment, 10_000);
  assert.equal(await isSettled(other), false);
  await topics.close();
  await assert.rejects(other, { code: 'WAL_CLOSED' });
});

inMemory('a message that was refused comes back before its delay, or not at all', async (storage) => {
  const environment = new TestEnvironment();
  const topics = await openTopics(storage, {}, environment);
  const group = await topics.topic('t').group('g');
  for (const data of ['a', 'b']) await topics.topic('t').publish(data);
  const a = await takeOne(group);
  await a.nack({ delayMs: 500 });
  assert.equal(textOf(await takeOne(group)), 'b');
  const again = group.take({ max: 1 });
  await pass(environment, 499);
  assert.equal(await isSettled(again), false);
  await pass(environment, 1);
  assert.deepEqual((await again).map((message) => [textOf(message), message.attempt]), [['a', 2]]);
  await topics.close();
});

forEachFileManager('a message that fails again and again blocks the others, is skipped, or loses its content', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g', { maxAttempts: 3 });
  const dead = await topics.topic('t.dead').group('undertaker');
  const buried = reported(topics, 'deadLetter');
  const id = await topics.topic('t').publish(['poison', 'ous'], { key: 'k' });
  await topics.topic('t').publish('good');
  for (let attempt = 1; attempt <= 3; attempt++) {
    const messages = await group.take({ max: 2 });
    const poison = messages.find((message) => message.id === id);
    assert.equal(poison?.attempt, attempt);
    for (const message of messages) await (message === poison ? message.nack() : message.ack());
  }
  assert.equal(group.lag.messages, 0);
  const letter = await takeOne(dead);
  assert.deepEqual([textOf(letter), letter.key], ['poison|ous', 'k']);
  await turns();
  assert.deepEqual(buried, [
    { topic: 't', group: 'g', id, attempts: 3, deadLetter: 't.dead', deadLetterId: letter.id },
  ]);
  await topics.close();
});

forEachFileManager('a message that kills its process is handed out without end', async (base) => {
  let storage = base;
  let attempts = 0;
  for (;;) {
    const topics = await openTopics(storage);
    const group = await topics.topic('t').group('g', { maxAttempts: 3, deadLetter: 'morgue' });
    if (attempts === 0) await topics.topic('t').publish('deadly');
    const taken = group.take({ max: 1 });
    if (attempts === 3) {
      await until(() => group.lag.messages === 0);
      assert.deepEqual(await contents(topics, 'morgue'), ['deadly']);
      assert.equal(await isSettled(taken), false);
      await topics.close();
      await assert.rejects(taken);
      return;
    }
    const [message] = await taken;
    assert.equal(message.attempt, ++attempts);
    // The process is killed here.
    storage = await storage.crash();
    await topics.close();
  }
});

inMemory('messages of one key are handed out side by side, or others wait for them', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g', { order: 'key' });
  for (const data of ['a1', 'b1', 'a2', 'b2', '-']) {
    await topics.topic('t').publish(data, data === '-' ? {} : { key: data[0] });
  }
  const [a1, b1, free, ...none] = await group.take({ max: 10 });
  assert.deepEqual([a1, b1, free].map(textOf), ['a1', 'b1', '-']);
  assert.deepEqual(none, []);
  await a1.ack();
  const a2 = await takeOne(group);
  assert.equal(textOf(a2), 'a2');
  await b1.nack();
  assert.equal(textOf(await takeOne(group)), 'b1');
  await topics.close();
});

inMemory('a strict group hands out two messages at once, or has two consumers', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g', { order: 'strict' });
  for (const data of ['a', 'b', 'c']) await topics.topic('t').publish(data);
  const [a, ...none] = await group.take({ max: 10 });
  assert.deepEqual([textOf(a), none], ['a', []]);
  const next = group.take({ max: 10 });
  assert.equal(await isSettled(next), false);
  await assert.rejects(group.take({ max: 1 }), { code: 'TOPICS_HAS_CONSUMER', topic: 't', group: 'g' });
  const same = await topics.topic('t').group('g');
  await assert.rejects(same.messages().next(), { code: 'TOPICS_HAS_CONSUMER' });
  await a.nack();
  assert.deepEqual((await next).map(textOf), ['a']);
  await topics.close();
});

inMemory('more messages are with consumers than there may be', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g', { maxInFlight: 2 });
  for (let i = 0; i < 5; i++) await topics.topic('t').publish(`${i}`);
  const [first, ...others] = await group.take({ max: 5 });
  assert.equal(others.length, 1);
  const next = group.take({ max: 5 });
  assert.equal(await isSettled(next), false);
  await first.ack();
  assert.deepEqual((await next).map(textOf), ['2']);
  assert.equal(group.lag.inFlight, 2);
  await topics.close();
});

inMemory('a consumer that gives up takes a message with it, or waits on', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  const controller = new AbortController();
  const reason = new Error('enough');
  const taken = group.take({ max: 1, signal: controller.signal });
  const loop = group.messages({ signal: controller.signal }).next();
  controller.abort(reason);
  await assert.rejects(taken, reason);
  await assert.rejects(loop, reason);
  await assert.rejects(group.take({ max: 1, signal: controller.signal }), reason);
  assert.deepEqual(await group.take({ max: 1, waitMs: 1 }), []);
  await topics.topic('t').publish('x');
  assert.equal(textOf(await takeOne(group)), 'x');
  await topics.close();
});

inMemory('a loop over messages that is ended while it waits keeps waiting, or takes a message with it', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g', { order: 'strict' });
  const loop = group.messages();
  const waiting = loop.next();
  await turns();
  assert.deepEqual(await loop.return?.(), { done: true, value: undefined });
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.deepEqual(await loop.next(), { done: true, value: undefined });
  await topics.topic('t').publish('x');
  assert.equal(textOf(await takeOne(group)), 'x');
  await topics.close();
});

inMemory('bytes are handed out beyond what was asked for, or a large message never', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  for (const length of [100, 100, 5000, 100]) await topics.topic('t').publish('x'.repeat(length));
  const lengths: number[][] = [];
  for (let i = 0; i < 3; i++) {
    lengths.push((await group.take({ max: 10, maxBytes: 300 })).map(({ chunks }) => chunks[0].length));
  }
  assert.deepEqual(lengths, [[100, 100], [5000], [100]]);
  await topics.close();
});

inMemory('an acknowledgement that could not be written counts, or its message is lost', async (base) => {
  const faulty = new FaultyFileManager(base.fileManager);
  const storage = new Storage(faulty, base.directory);
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  await topics.topic('t').publish('x');
  const message = await takeOne(group);
  faulty.before = ({ operation }) => {
    if (operation === 'write') throw systemError('EIO');
  };
  await assert.rejects(message.ack(), { code: 'WAL_FAILED' });
  await assert.rejects(group.take({ max: 1 }), { code: 'WAL_FAILED' });
  await topics.close();
  const again = await openTopics(base);
  assert.deepEqual(await drain(await again.topic('t').group('g')), ['x']);
  await again.close();
});

inMemory('the options of a group are lost by a restart, or cannot be changed', async (storage) => {
  let topics = await openTopics(storage);
  await topics.topic('t').group('g', { order: 'strict', maxAttempts: 7 });
  await topics.close();
  topics = await openTopics(storage);
  await topics.topic('t').publish('a');
  await topics.topic('t').publish('b');
  let group = await topics.topic('t').group('g');
  assert.equal((await group.take({ max: 2 })).length, 1);
  await checkpointed(topics);
  await topics.close();
  topics = await openTopics(storage);
  group = await topics.topic('t').group('g', { order: 'none' });
  const messages = await group.take({ max: 2 });
  assert.deepEqual(messages.map(({ attempt }) => attempt), [2, 1], 'attempts are counted across openings');
  await topics.close();
});

inMemory('a cursor moves when a message is read, before it is acknowledged', async (storage) => {
  let topics = await openTopics(storage);
  const sent = await fill(topics, 't', 'x');
  let group = await topics.topic('t').group('g');
  const messages = await group.take({ max: sent.length });
  await messages[1].ack();
  await checkpointed(topics);
  await topics.close();
  topics = await openTopics(storage);
  group = await topics.topic('t').group('g');
  assert.deepEqual(await drain(group), sent.filter((_text, i) => i !== 1));
  await topics.close();
});

inMemory('a group that goes back while something is acknowledged stands before it again after a restart', async (storage) => {
  let topics = await openTopics(storage);
  let group = await topics.topic('t').group('g');
  const ids: number[] = [];
  for (let i = 0; i < 5; i++) ids.push(await topics.topic('t').publish(`${i}`));
  await drain(group, 3);
  const held = await takeOne(group);
  const moved = group.seek(ids[1]);
  // The move is on its way to the disk, and not there yet.
  for (let i = 0; i < 20; i++) await Promise.resolve();
  await Promise.all([moved, held.ack()]);
  await topics.close();
  topics = await openTopics(storage);
  group = await topics.topic('t').group('g');
  assert.equal(group.lag.messages, 3);
  assert.deepEqual(await drain(group), ['1', '2', '4']);
  await topics.close();
});

inMemory('a group that is made during a checkpoint is promised messages that are just going', async (base) => {
  const faulty = new FaultyFileManager(base.fileManager);
  const topics = await openTopics(new Storage(faulty, base.directory));
  const first = await topics.topic('t').group('first');
  await topics.topic('t').publish('x');
  await drain(first);
  const gate = new Gate();
  faulty.before = ({ operation, name }) => {
    return operation === 'write' && name === 'topics-state-new' ? gate.pass() : undefined;
  };
  await topics.log.checkpointActive();
  await until(() => gate.arrivals === 1);
  const made = topics.topic('t').group('second');
  await turns();
  gate.open();
  const second = await made;
  await checkpointed(topics);
  assert.equal(second.lag.messages, 0);
  assert.deepEqual(await second.take({ max: 1, waitMs: 1 }), []);
  await topics.close();
});

forEachFileManager('a lazy acknowledgement waits for the disk, or is forgotten', async (storage) => {
  let topics = await openTopics(storage);
  let group = await topics.topic('t').group('g', { cursor: 'lazy', order: 'strict' });
  for (let i = 0; i < 4; i++) await topics.topic('t').publish(`${i}`);
  for (let i = 0; i < 3; i++) await (await takeOne(group)).ack();
  await topics.close();
  topics = await openTopics(storage);
  group = await topics.topic('t').group('g');
  assert.deepEqual(await drain(group), ['3']);
  await topics.close();
});
