/** What the tests of topics share. */
import { systemEnvironment, type Environment } from '../../src/base/environment.js';
import { Topics, type Group, type Message, type TopicsOptions } from '../../src/topics/index.js';
import { SMALL, text, until, type Storage } from './helpers.js';

/** Opens topics whose segments are as small as can be, and are checkpointed as soon as they are full. */
export function openTopics(
  storage: Storage, options: TopicsOptions = {}, environment: Environment = systemEnvironment,
): Promise<Topics> {
  const all = { ...SMALL, fileManager: storage.fileManager, keepSegments: 0, ...options };
  return Topics.openWith(environment, storage.directory, all);
}

export function textOf(message: Message): string {
  return message.chunks.map(text).join('|');
}

/** The texts of up to `max` messages that a group hands out now, acknowledged unless told otherwise. */
export async function drain(group: Group, max = 10_000, isAcknowledged = true): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < max && group.lag.messages > group.lag.inFlight) {
    const messages = await group.take({ max: max - texts.length, waitMs: 1000 });
    if (messages.length === 0) break;
    texts.push(...messages.map(textOf));
    if (isAcknowledged) await Promise.all(messages.map((message) => message.ack()));
  }
  return texts;
}

/** The texts of all messages of a topic. */
export async function contents(topics: Topics, name: string): Promise<string[]> {
  const texts: string[] = [];
  for await (const message of topics.topic(name).read()) texts.push(textOf(message));
  return texts;
}

/** Publishes until the log has gone on to another segment. */
export async function fill(topics: Topics, name: string, prefix: string): Promise<string[]> {
  const texts: string[] = [];
  let hasChanged = false;
  topics.log.once('segment', () => (hasChanged = true));
  while (!hasChanged) {
    texts.push(`${prefix} ${texts.length} `.padEnd(100, '.'));
    await topics.topic(name).publish(texts[texts.length - 1]);
  }
  return texts;
}

/** Resolves when all that was published is in runs, as far as it is wanted. */
export async function checkpointed(topics: Topics): Promise<void> {
  await topics.log.checkpointActive();
  await until(() => topics.log.stats().segments.every(({ state }) => state === 'active'));
}
