import { assert } from '../base/assert.js';
import type { EntryId, LogPosition } from '../index.js';
import type { CollectedTopic } from './collected.js';
import { decodeEntry, MESSAGE, topicOfMessage, type GroupDefinition, type Marks } from './entry-format.js';
import type { TopicDefinition } from './entry-format.js';
import { LiveIndex } from './live-index.js';
import { isSameRetention } from './options.js';
import { Runs } from './runs.js';
import { GroupState, IdsAbove, TopicState, type Amount } from './state.js';

/**
 * All topics and groups, as the durable part of the log says. Entries are applied in the order of their ids, when they
 * are recovered or have become durable; to apply one again changes nothing.
 */
export class Registry {
  readonly live = new LiveIndex();
  readonly runs = new Runs();
  readonly #topics = new Map<number, TopicState>();
  readonly #topicsByName = new Map<string, TopicState>();
  readonly #groups = new Map<number, GroupState>();
  /** Called for each message that is durable, if anything observes its topic. */
  onMessage: ((id: EntryId, bytes: Buffer) => void) | undefined;
  /** Numbers below are or were in use. */
  nextTopic = 1;
  nextGroup = 1;

  topics(): IterableIterator<TopicState> {
    return this.#topics.values();
  }

  groups(): IterableIterator<GroupState> {
    return this.#groups.values();
  }

  get groupCount(): number {
    return this.#groups.size;
  }

  get topicCount(): number {
    return this.#topics.size;
  }

  topicNumbered(number: number): TopicState | undefined {
    return this.#topics.get(number);
  }

  topicNamed(name: string): TopicState | undefined {
    return this.#topicsByName.get(name);
  }

  groupNamed(topic: TopicState, name: string): GroupState | undefined {
    return topic.groups.find((group) => group.name === name);
  }

  groupNumbered(number: number): GroupState | undefined {
    return this.#groups.get(number);
  }

  /** Applies the entry `id`, whatever it says. */
  apply(id: EntryId, bytes: Buffer, position: LogPosition): void {
    if (bytes[0] === MESSAGE) return this.applyMessage(id, bytes, position);
    const entry = decodeEntry(bytes);
    switch (entry.kind) {
      case 'topic': return this.#defineTopic(entry);
      case 'group': return this.#defineGroup(id, entry);
      case 'acks': return entry.marks.forEach((marks) => this.applyAcks(marks));
      case 'attempts': return entry.marks.forEach((marks) => this.#applyAttempts(marks));
      case 'floor': return this.#raiseFloor(id, entry.topic, entry.id);
      case 'move': return this.#move(id, entry.group, entry.cursor);
      case 'end topic': return this.#endTopic(entry.topic);
      case 'end group': return this.#endGroup(entry.group);
      case 'message': return;
    }
  }

  applyMessage(id: EntryId, bytes: Buffer, position: LogPosition): void {
    const topic = this.#topics.get(topicOfMessage(bytes));
    // It was published when the topic was about to be deleted.
    if (topic === undefined) return;
    this.live.add(id, position);
    if (topic.firstLive === 0) topic.firstLive = id;
    else this.live.link(topic.lastLive, id);
    topic.lastLive = topic.lastId = id;
    topic.liveMessages++;
    topic.liveBytes += bytes.length;
    let isObserved = topic.observers !== undefined;
    for (const group of topic.groups) {
      isObserved ||= group.observer !== undefined;
      if (id <= group.countedTo || id <= group.cursor) continue;
      group.lagMessages++;
      group.lagBytes += bytes.length;
    }
    if (!isObserved) return;
    // First, so that they find it if they have no room for it now.
    this.onMessage?.(id, bytes);
    for (const group of topic.groups) group.observer?.onMessage(id, bytes);
    if (topic.observers !== undefined) for (const observer of topic.observers) observer.onMessage(id, bytes);
  }

  applyAcks({ group: number, cursor, ids, values }: Marks): void {
    const group = this.#groups.get(number);
    if (group === undefined) return;
    for (let i = 0; i < ids.length; i++) {
      if (!group.wants(ids[i])) continue;
      (group.acked ??= new IdsAbove()).set(ids[i], values[i]);
      group.attempts?.delete(ids[i]);
      group.lagMessages--;
      group.lagBytes -= values[i];
    }
    group.passTo(cursor);
    group.observer?.onAcknowledged(ids);
  }

  /** How many messages of `topic` there are above `id`: an estimate where that is in the middle of a run. */
  amountAfter(topic: TopicState, id: EntryId): Amount {
    const from = Math.max(id, topic.floor);
    const stored = this.runs.amountAfter(topic.number, from);
    let live = topic.liveMessages;
    for (let next = topic.firstLive; next !== 0 && next <= from; next = this.live.next(next)) live--;
    const share = topic.liveMessages === 0 ? 0 : live / topic.liveMessages;
    return { messages: stored.messages + live, bytes: stored.bytes + Math.round(topic.liveBytes * share) };
  }

  /** The oldest message of `topic` there is; 0 if there is none. */
  firstId(topic: TopicState): EntryId {
    const slice = this.runs.firstAfter(topic.number, topic.floor)?.slice;
    if (slice !== undefined) return Math.max(slice.firstId, topic.floor + 1);
    return topic.firstLive;
  }

  /** The messages that were collected are not in the log any more, but in a run as far as they are wanted. */
  moveToRuns({ topic, count, bytes, firstId, lastId }: CollectedTopic): void {
    const before = topic.liveMessages;
    if (topic.firstLive === firstId) {
      topic.firstLive = this.live.next(lastId);
      topic.liveMessages -= count;
      topic.liveBytes -= bytes;
    } else {
      // Some have been dropped meanwhile.
      this.#skipLive(topic, lastId);
      topic.liveBytes -= Math.round(bytes * (before - topic.liveMessages) / count);
    }
    this.#endSkip(topic);
  }

  /** Puts in what a state file says. */
  restoreTopic(topic: TopicState): void {
    this.#topics.set(topic.number, topic);
    // While old entries are applied again there may be one of this name that is about to be deleted.
    const namesake = this.#topicsByName.get(topic.name);
    if (namesake === undefined || namesake.number < topic.number) this.#topicsByName.set(topic.name, topic);
    this.nextTopic = Math.max(this.nextTopic, topic.number + 1);
  }

  /** See `restoreTopic`. */
  restoreGroup(group: GroupState): void {
    this.#groups.set(group.number, group);
    group.topic.groups = [...group.topic.groups, group];
    this.nextGroup = Math.max(this.nextGroup, group.number + 1);
  }

  /** Makes its name free while the topic is being deleted. Returns what undoes that, unless the name is taken. */
  hide(topic: TopicState): () => void {
    this.#topicsByName.delete(topic.name);
    return () => {
      if (!this.#topicsByName.has(topic.name)) this.#topicsByName.set(topic.name, topic);
    };
  }

  /** Counts what a group has yet to acknowledge of the messages up to `lastId`, which are applied. */
  recount(group: GroupState, lastId: EntryId): void {
    const { messages, bytes } = this.amountAfter(group.topic, group.cursor);
    const { values } = group.acked?.above(group.cursor) ?? { values: [] };
    group.lagMessages = Math.max(0, messages - values.length);
    group.lagBytes = Math.max(0, bytes - values.reduce((sum, size) => sum + size, 0));
    group.countedTo = lastId;
  }

  #defineTopic({ topic: number, name, retain }: TopicDefinition): void {
    const existing = this.#topics.get(number);
    if (existing === undefined) return this.restoreTopic(new TopicState(number, name, retain));
    if (!existing.isChanged) existing.retain = retain;
    // It may have been changed again meanwhile.
    else if (isSameRetention(existing.retain, retain)) existing.isChanged = false;
  }

  #defineGroup(id: EntryId, { group: number, topic, name, settings, cursor }: GroupDefinition): void {
    const existing = this.#groups.get(number);
    const state = this.#topics.get(topic);
    if (existing !== undefined) existing.settings = settings;
    if (existing !== undefined || state === undefined) return;
    const group = new GroupState(number, state, name, settings, cursor ?? id);
    this.restoreGroup(group);
    this.recount(group, id);
  }

  #applyAttempts({ group: number, ids, values }: Marks): void {
    const group = this.#groups.get(number);
    if (group === undefined) return;
    for (let i = 0; i < ids.length; i++) {
      if (!group.wants(ids[i])) continue;
      group.attempts ??= new IdsAbove();
      group.attempts.set(ids[i], Math.max(group.attempts.get(ids[i]), values[i]));
    }
  }

  #raiseFloor(at: EntryId, number: number, id: EntryId): void {
    const topic = this.#topics.get(number);
    if (topic === undefined || id <= topic.floor) return;
    topic.floor = id;
    const share = topic.liveMessages === 0 ? 0 : topic.liveBytes / topic.liveMessages;
    this.#skipLive(topic, id);
    topic.liveBytes = Math.round(topic.liveMessages * share);
    for (const group of topic.groups) {
      if (group.cursor >= id) continue;
      group.passTo(id);
      this.recount(group, at);
      group.observer?.onDropped(id);
    }
  }

  #skipLive(topic: TopicState, id: EntryId): void {
    while (topic.firstLive !== 0 && topic.firstLive <= id) {
      topic.firstLive = this.live.next(topic.firstLive);
      topic.liveMessages--;
    }
    this.#endSkip(topic);
  }

  #endSkip(topic: TopicState): void {
    topic.liveBytes = topic.firstLive === 0 ? 0 : Math.max(0, topic.liveBytes);
    if (topic.firstLive === 0) topic.lastLive = 0;
    assert((topic.firstLive === 0) === (topic.liveMessages === 0), 'a topic counts the messages that are in the log');
  }

  #move(at: EntryId, number: number, cursor: EntryId): void {
    const group = this.#groups.get(number);
    if (group === undefined) return;
    group.acked = group.attempts = undefined;
    group.cursor = Math.max(cursor, group.topic.floor);
    this.recount(group, at);
    group.observer?.onMoved();
  }

  #endTopic(number: number): void {
    const topic = this.#topics.get(number);
    if (topic === undefined) return;
    for (const group of topic.groups) this.#endGroup(group.number);
    topic.isDeleted = true;
    this.#topics.delete(number);
    if (this.#topicsByName.get(topic.name) === topic) this.#topicsByName.delete(topic.name);
    if (topic.observers !== undefined) for (const observer of topic.observers) observer.onDeleted();
  }

  #endGroup(number: number): void {
    const group = this.#groups.get(number);
    if (group === undefined) return;
    group.isDeleted = true;
    this.#groups.delete(number);
    group.topic.groups = group.topic.groups.filter((other) => other !== group);
    group.observer?.onDeleted();
  }
}
