import type { EntryId } from '../index.js';
import type { StoredMessage } from './run.js';
import type { TopicState } from './state.js';

/** What a segment has of one topic. */
export class CollectedTopic {
  readonly topic: TopicState;
  /** Those to be looked at; others are only counted. */
  readonly messages: StoredMessage[] = [];
  count = 0;
  bytes = 0;
  firstId: EntryId = 0;
  lastId: EntryId = 0;

  constructor(topic: TopicState) {
    this.topic = topic;
  }
}

/** The messages of a segment, by topic. */
export class Collected {
  readonly #byTopic = new Map<TopicState, CollectedTopic>();

  /** Adds a message, whose id is above all others. It is kept if it `isWanted`. */
  add(topic: TopicState, id: EntryId, bytes: Buffer, isWanted: boolean): void {
    let collected = this.#byTopic.get(topic);
    if (collected === undefined) {
      collected = new CollectedTopic(topic);
      collected.firstId = id;
      this.#byTopic.set(topic, collected);
    }
    collected.count++;
    collected.bytes += bytes.length;
    collected.lastId = id;
    if (isWanted) collected.messages.push({ id, bytes });
  }

  of(topic: TopicState): readonly StoredMessage[] {
    return this.#byTopic.get(topic)?.messages ?? [];
  }

  /** By the number of the topic. */
  sorted(): CollectedTopic[] {
    return [...this.#byTopic.values()].sort((a, b) => a.topic.number - b.topic.number);
  }
}
