/** How much topics keep: not what nobody wants, and nothing less than what somebody does. */
import assert from 'node:assert/strict';
import type { Message, Topics } from '../../src/topics/index.js';
import { forEachFileManager, inMemory, isSettled, turns, until, type Storage } from '../tools/helpers.js';
import { checkpointed, contents, drain, fill, openTopics } from '../tools/topics-tools.js';

const SEGMENT_BYTES = 64 * 1024;
const ROOMY = { preallocateBytes: SEGMENT_BYTES, checkpointAfterBytes: SEGMENT_BYTES / 2 };

/** The length of all files, once nothing more goes. */
async function usedBytes(storage: Storage): Promise<number> {
  let sum = 0;
  for (const bytes of (await storage.files()).values()) sum += bytes.length;
  return sum;
}

async function merged(topics: Topics): Promise<void> {
  await checkpointed(topics);
  let [before, quiet] = [-1, 0];
  await until(() => {
    const { runs, runBytes } = topics.stats();
    quiet = before === runs * 1e9 + runBytes ? quiet + 1 : 0;
    before = runs * 1e9 + runBytes;
    return quiet > 100;
  });
}

forEachFileManager('one dead consumer of a small topic keeps everything that was written since', async (storage) => {
  const topics = await openTopics(storage, { ...ROOMY, keepSegments: 0 });
  const dead = await topics.topic('small').group('dead');
  const busy = await Promise.all(Array.from({ length: 100 }, (_, i) => topics.topic(`busy ${i}`).group('g')));
  let wanted = 0;
  let published = 0;
  for (let round = 0; round < 120; round++) {
    const text = `wanted ${round} `.padEnd(1000, '.');
    wanted += text.length;
    await topics.topic('small').publish(text);
    await Promise.all(busy.map((_group, i) => topics.topic(`busy ${i}`).publish('x'.repeat(150))));
    published += 100 * 150;
    await Promise.all(busy.map(async (group) => {
      for (const message of await group.take({ max: 10 })) await message.ack();
    }));
  }
  await merged(topics);
  assert.equal(dead.lag.messages, 120);
  const bytes = await usedBytes(storage);
  assert.ok(published > 20 * SEGMENT_BYTES);
  // The log itself takes four segments: the active one, and up to three that are ready to follow.
  assert.ok(bytes <= 2.5 * wanted + 3 * SEGMENT_BYTES, `${bytes} bytes for ${wanted} that are wanted`);
  assert.equal((await drain(dead)).length, 120);
  await merged(topics);
  assert.equal(topics.stats().runs, 0);
  await topics.close();
});

forEachFileManager('a message that one group has not acknowledged keeps all others of its run', async (storage) => {
  const topics = await openTopics(storage);
  const group = await topics.topic('t').group('g');
  const sent: string[] = [];
  for (let i = 0; i < 6; i++) sent.push(...await fill(topics, 't', `${i}`));
  await checkpointed(topics);
  const messages: Message[] = [];
  while (messages.length < sent.length) messages.push(...await group.take({ max: sent.length }));
  const kept = new Set([3, 40, sent.length - 1]);
  await Promise.all(messages.filter((_message, i) => !kept.has(i)).map((message) => message.ack()));
  await fill(topics, 'other', 'x');
  await merged(topics);
  await topics.close();
  const again = await openTopics(storage);
  const left = await drain(await again.topic('t').group('g'));
  assert.deepEqual(left, sent.filter((_text, i) => kept.has(i)));
  await again.close();
});

inMemory('a topic without groups forgets what was published before the first came', async (storage) => {
  const topics = await openTopics(storage);
  const sent = [...await fill(topics, 't', 'a'), ...await fill(topics, 't', 'b')];
  await merged(topics);
  assert.deepEqual(await drain(await topics.topic('t').group('g')), sent);
  await topics.close();
});

inMemory('what is to stay until it expires goes when it is acknowledged, or after a restart', async (storage) => {
  let topics = await openTopics(storage);
  const topic = topics.topic('t', { until: 'expired', bytes: 1_000_000 });
  const group = await topic.group('g');
  const sent = await fill(topics, 't', 'a');
  await drain(group);
  await merged(topics);
  assert.deepEqual(await contents(topics, 't'), sent);
  await topics.close();
  topics = await openTopics(storage);
  await merged(topics);
  assert.deepEqual(await contents(topics, 't'), sent);
  await topics.close();
});

inMemory('a limit drops messages that were not acknowledged without a word, or keeps them', async (storage) => {
  let topics = await openTopics(storage);
  const topic = topics.topic('t', { bytes: 3000, whenFull: 'drop' });
  const group = await topic.group('g');
  const dropped: { topic: string; from: number; to: number; groups: readonly string[] }[] = [];
  topics.on('dropped', (report) => dropped.push(report));
  const sent: string[] = [];
  for (let i = 0; i < 5; i++) sent.push(...await fill(topics, 't', `${i}`));
  await merged(topics);
  await turns();
  const left = await contents(topics, 't');
  assert.deepEqual(left, sent.slice(-left.length));
  assert.ok(left.length < sent.length / 2 && left.length > 5, `${left.length} of ${sent.length} are left`);
  assert.ok(dropped.length > 0);
  assert.deepEqual(dropped[0], { topic: 't', from: dropped[0].from, to: dropped[0].to, groups: ['g'] });
  assert.equal(topic.stats().firstId, (dropped.at(-1)?.to ?? 0) + 1);
  assert.deepEqual(await drain(group, 3), left.slice(0, 3));
  await topics.close();
  topics = await openTopics(storage);
  assert.deepEqual(await contents(topics, 't'), left);
  await topics.close();
});

inMemory('what is too old stays, or what is not goes', async (storage) => {
  const topics = await openTopics(storage);
  topics.topic('old', { ms: 1 });
  topics.topic('young', { ms: 1_000_000 });
  await topics.topic('old', { ms: 1 }).publish('x');
  const sent = await fill(topics, 'young', 'y');
  const began = Date.now();
  await until(() => Date.now() > began + 3);
  await checkpointed(topics);
  await fill(topics, 'young', 'z');
  await merged(topics);
  assert.deepEqual(await contents(topics, 'old'), []);
  assert.deepEqual((await contents(topics, 'young')).slice(0, sent.length), sent);
  await topics.close();
});

inMemory('a full topic takes more than it may, or nothing again', async (storage) => {
  const topics = await openTopics(storage);
  const waiting = topics.topic('waiting', { bytes: 300 });
  const rejecting = topics.topic('rejecting', { bytes: 300, whenFull: 'reject' });
  const groups = [await waiting.group('g'), await rejecting.group('g')];
  for (let i = 0; i < 3; i++) await Promise.all([waiting.publish('x'.repeat(100)), rejecting.publish('x'.repeat(100))]);
  await assert.rejects(rejecting.publish('y'), { code: 'TOPICS_FULL', topic: 'rejecting' });
  await assert.rejects(topics.commit({ publish: [{ topic: 'rejecting', data: 'y' }] }), { code: 'TOPICS_FULL' });
  const late = waiting.publish('y');
  assert.equal(await isSettled(late), false);
  const controller = new AbortController();
  const given = waiting.publish('z', { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(given, /enough/);
  for (const group of groups) await drain(group, 1);
  await late;
  await rejecting.publish('y');
  assert.deepEqual((await drain(groups[0])).at(-1), 'y');
  await topics.close();
});

forEachFileManager('a damaged run keeps other topics from being read, or passes for whole', async (storage) => {
  let topics = await openTopics(storage);
  for (const name of ['a', 'b', 'c']) await topics.topic(name).group('g');
  const sent = new Map<string, string>();
  for (const name of ['a', 'b', 'c']) {
    sent.set(name, `${name} `.padEnd(200, '.'));
    await topics.topic(name).publish(sent.get(name) ?? '');
  }
  await checkpointed(topics);
  await topics.close();
  const [run] = [...(await storage.files()).keys()].filter((name) => name.startsWith('topics-run-'));
  const bytes = await storage.get(run);
  await storage.damage(run, bytes.indexOf('b ....') + 50);
  topics = await openTopics(storage);
  for (const name of ['a', 'c']) {
    assert.deepEqual(await contents(topics, name), [sent.get(name)]);
    assert.deepEqual(await drain(await topics.topic(name).group('g')), [sent.get(name)]);
  }
  await assert.rejects(contents(topics, 'b'), { code: 'WAL_CORRUPT', message: new RegExp(`${run} is damaged at offset`) });
  await assert.rejects(drain(await topics.topic('b').group('g')), { code: 'WAL_CORRUPT' });
  await topics.close();
});

inMemory('a state that is damaged, missing or of another version is passed over', async (storage) => {
  const topics = await openTopics(storage);
  await topics.topic('t').group('g');
  await fill(topics, 't', 'x');
  await checkpointed(topics);
  await topics.topic('t').publish('later');
  await topics.close();
  const bytes = await storage.get('topics-state');
  await storage.damage('topics-state', bytes.length - 3);
  await assert.rejects(openTopics(storage), { code: 'WAL_CORRUPT' });
  const other = Buffer.from(bytes);
  other[3] = 9;
  await storage.put('topics-state', other);
  await assert.rejects(openTopics(storage), { code: 'WAL_UNSUPPORTED_VERSION' });
  await storage.remove('topics-state');
  await assert.rejects(openTopics(storage), { code: 'WAL_CORRUPT' });
  await storage.put('topics-state', bytes);
  const again = await openTopics(storage);
  assert.equal((await drain(await again.topic('t').group('g'))).at(-1), 'later');
  await again.close();
});
