/** What happens to topics while something long is done in turns. */
import assert from 'node:assert/strict';
import type { Group, Topics } from '../../src/topics/index.js';
import { inMemory, type Storage } from '../tools/helpers.js';
import { checkpointed, drain, openTopics } from '../tools/topics-tools.js';

/** So many that the state is encoded in several turns. */
const TOPICS = 3000;
const ROOMY = { preallocateBytes: 256 * 1024, checkpointAfterBytes: 192 * 1024 };

async function make(storage: Storage): Promise<Topics> {
  const topics = await openTopics(storage, { ...ROOMY, keepSegments: 0 });
  for (let i = 0; i < TOPICS; i += 500) {
    await Promise.all(Array.from({ length: 500 }, async (_, j) => topics.topic(`t${i + j}`).group('g')));
  }
  return topics;
}

inMemory('what happens while the state is encoded is lost, or counted twice', async (storage) => {
  const topics = await make(storage);
  // One that is encoded early, one late, and one that is made meanwhile; all are read at the end.
  const names = ['t1', 't1500', `t${TOPICS - 1}`, 'made meanwhile'];
  const groups = new Map<string, Group>();
  for (const name of names.slice(0, 3)) {
    groups.set(name, await topics.topic(name).group('g'));
    for (let i = 0; i < 4; i++) await topics.topic(name).publish(`${name} before ${i}`);
  }
  let isEncoding = true;
  const checkpoint = checkpointed(topics).then(() => (isEncoding = false));
  let rounds = 0;
  const change = async (name: string): Promise<void> => {
    const group = groups.get(name) ?? await topics.topic(name).group('g');
    groups.set(name, group);
    for (let i = 0; isEncoding; i++) {
      await topics.topic(name).publish(`${name} meanwhile ${i}`);
      const [message] = await group.take({ max: 1 });
      // A place that is set counts everything again: not all groups do that.
      if (name === 't1500' && i % 3 === 1) await group.seek(message.id);
      else if (name === `t${TOPICS - 1}` && i % 3 === 1) await topics.topic(name).truncateBefore(message.id + 1);
      else await message.ack();
      rounds++;
    }
  };
  await Promise.all([checkpoint, ...names.map(change)]);
  assert.ok(rounds > names.length, 'nothing happened meanwhile');
  const lags = names.map((name) => groups.get(name)?.lag.messages);
  const counts = [topics.stats().topics, topics.stats().groups];
  await topics.close();

  const again = await openTopics(storage, ROOMY);
  assert.deepEqual([again.stats().topics, again.stats().groups], counts);
  for (const [i, name] of names.entries()) {
    const group = await again.topic(name).group('g');
    assert.equal(group.lag.messages, lags[i], name);
    assert.equal((await drain(group)).length, lags[i], name);
    assert.equal(group.lag.messages, 0, name);
  }
  await again.close();
});
