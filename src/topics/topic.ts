import { assertInternal } from '../base/assert.js';
import { forOneLoop } from '../base/async.js';
import type { ChunkData, CommitOptions, EntryId } from '../index.js';
import { Core } from './core.js';
import { encodeEnd, encodeFloor, encodeGroup } from './entry-format.js';
import { Group } from './group.js';
import { cursorAt, MessageIterator } from './message-iterator.js';
import type { Message } from './message.js';
import {
  assertData, assertFrom, assertKey, assertKnown, assertName, assertSignal, DEFAULT_SETTINGS, integer, resolveSettings,
  type GroupOptions, type GroupSettings, type ResolvedRetention,
} from './options.js';
import type { GroupState, TopicState } from './state.js';
import { TopicsError } from './topics-error.js';

/**
 * How a message is published.
 *
 * @example
 * const options: PublishOptions = { key: 'customer 7' };
 * await topics.topic('orders').publish('order 1', options);
 * for await (const { key } of topics.topic('orders').read()) console.log(key); // customer 7
 */
export interface PublishOptions extends CommitOptions {
  /** Messages with the same key can be handed out one at a time: see `GroupOptions.order`. */
  readonly key?: string;
  /** Gives up waiting for room in the topic. */
  readonly signal?: AbortSignal;
}

/**
 * What to read.
 *
 * @example
 * await topics.topic('orders').publish('order 1');
 * const id = await topics.topic('orders').publish('order 2');
 * const options: TopicReadOptions = { from: id };
 * for await (const { chunks } of topics.topic('orders').read(options)) console.log(String(chunks[0])); // order 2
 */
export interface TopicReadOptions {
  /** The message to begin with, by its id, or the first since then. Default: the oldest there is. */
  readonly from?: EntryId | Date;
  /** Whether to wait for messages to come. Default: false. */
  readonly follow?: boolean;
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * What a topic retains.
 *
 * @example
 * const id = await topics.topic('orders').publish('order 1');
 * const { firstId, lastId, messages }: TopicStats = topics.topic('orders').stats();
 * console.log(firstId === id, lastId === id, messages); // true true 1
 */
export interface TopicStats {
  /** The oldest message there is; 0 if there is none. */
  readonly firstId: EntryId;
  /** The newest that was ever published; 0 if there was none. */
  readonly lastId: EntryId;
  /** How many messages there are, those included that every group has acknowledged and that are not gone yet. */
  readonly messages: number;
  /** The length of their entries. */
  readonly bytes: number;
}

/**
 * A durable stream of messages, in the order of their ids.
 *
 * @example
 * const orders: Topic = topics.topic('orders');
 * await orders.publish('order 1');
 * const id = await orders.publish(['order 2', 'in two chunks'], { key: 'customer 7' });
 * await orders.truncateBefore(id);
 * for await (const { chunks } of orders.read()) console.log(chunks.join()); // order 2,in two chunks
 * console.log((await orders.group('billing')).lag.messages, orders.stats().messages); // 1 1
 * await orders.delete();
 */
export class Topic {
  /** Its name: 1 to 255 bytes. */
  readonly name: string;
  readonly #core: Core;
  readonly #retain: ResolvedRetention | undefined;

  /** @internal */
  constructor(core: Core, name: string, retain: ResolvedRetention | undefined) {
    assertInternal(core instanceof Core, 'Topic', 'topics.topic()');
    this.#core = core;
    this.name = name;
    this.#retain = retain;
  }

  /**
   * Publishes a message of one chunk, or of one chunk for each element of an array. Resolves with its id when it is
   * durable. Rejects as `log.append` does, or with `TOPICS_FULL`.
   */
  publish(data: ChunkData | readonly ChunkData[], options?: PublishOptions): Promise<EntryId> {
    const isPlain = options === undefined && (typeof data === 'string' || data instanceof Uint8Array);
    if (!isPlain || this.#core.isFull(this.name)) return this.#publish(data, options === undefined ? {} : options);
    return this.#core.publish(this.name, data, undefined, this.#retain, undefined);
  }

  async #publish(data: ChunkData | readonly ChunkData[], options: PublishOptions): Promise<EntryId> {
    assertKnown(options, ['key', 'signal', 'durable']);
    assertData(data);
    const { key, signal, durable } = options;
    assertKey(key);
    assertSignal(signal);
    signal?.throwIfAborted();
    await this.#core.room(this.name, signal);
    return this.#core.publish(this.name, data, key, this.#retain, durable === undefined ? {} : { durable });
  }

  /**
   * Looks at the messages, and moves no group. With `follow` it waits for those to come, and ends at `close`. Messages
   * that are dropped meanwhile are left out. Reading rejects with `TOPICS_UNKNOWN_TOPIC`, `TOPICS_OUT_OF_RANGE`,
   * `WAL_CORRUPT` or the signal's reason.
   */
  read(options: TopicReadOptions = {}): AsyncIterableIterator<Message> {
    assertKnown(options, ['from', 'follow', 'signal']);
    const { from, follow = false, signal } = options;
    if (from !== undefined) assertFrom(from);
    assertSignal(signal);
    if (typeof follow !== 'boolean') throw new TypeError('follow must be a boolean');
    const state = this.#existing();
    const begin = (): Promise<EntryId> => cursorAt(this.#core, state, from ?? 'first');
    return forOneLoop(new MessageIterator(this.#core, state, begin, follow, signal), 'read()');
  }

  /**
   * The group of this name. If there is none it is made; its topic too. Resolves when that is durable. Other options
   * than before are the group's from then on. Rejects as `log.append` does, or with `TOPICS_OUT_OF_RANGE` for a `from`
   * that is to come.
   */
  async group(name: string, options: GroupOptions = {}): Promise<Group> {
    assertName('group', name);
    resolveSettings(options, DEFAULT_SETTINGS);
    if (options.from !== undefined) assertFrom(options.from);
    const state = await this.#core.checkpoints.exclusively(() => this.#group(name, options));
    return new Group(this.#core, state);
  }

  /** Drops the messages below `id`, whoever wants them. Resolves when that is durable. */
  async truncateBefore(id: EntryId): Promise<void> {
    integer('id', id, 0);
    const topic = this.#existing();
    const { nextId } = this.#core.log.stats();
    if (id > nextId) {
      const message = `id is ${id}, but the next message will have ${nextId} or more`;
      throw new TopicsError('TOPICS_OUT_OF_RANGE', message, { topic: this.name, id });
    }
    if (id <= topic.floor + 1) return;
    const wanted = this.#core.wantedUpTo(topic, id - 1);
    await this.#core.commits.append(encodeFloor(topic.number, id - 1), { durable: true });
    if (wanted !== undefined) this.#core.report('dropped', wanted);
  }

  /** What it retains; nothing if it does not exist yet. */
  stats(): TopicStats {
    const topic = this.#core.registry.topicNamed(this.name);
    if (topic === undefined) return { firstId: 0, lastId: 0, messages: 0, bytes: 0 };
    const { registry } = this.#core;
    return { firstId: registry.firstId(topic), lastId: topic.lastId, ...registry.amountAfter(topic, topic.floor) };
  }

  /** Deletes the topic, its messages and its groups. Resolves when that is durable. */
  async delete(): Promise<void> {
    const topic = this.#existing();
    const restore = this.#core.registry.hide(topic);
    try {
      await this.#core.commits.append(encodeEnd('topic', topic.number), { durable: true });
    } catch (error) {
      restore();
      throw error;
    }
  }

  async #group(name: string, options: GroupOptions): Promise<GroupState> {
    const { registry, commits, closed } = this.#core;
    if (closed !== undefined) throw closed;
    const topic = registry.topicNamed(this.name);
    const existing = topic && registry.groupNamed(topic, name);
    const settings = resolveSettings(options, existing?.settings ?? DEFAULT_SETTINGS);
    if (settings.deadLetter === this.name) {
      throw new RangeError(`deadLetter must be another topic than ${JSON.stringify(this.name)}`);
    }
    if (settings.maxAttempts > 0 && settings.deadLetter === '') assertName('topic', `${this.name}.dead`);
    if (existing !== undefined) {
      await this.#change(existing, settings);
      return existing;
    }
    const from = options.from ?? 'first';
    const cursor = from === 'next' ? undefined : await this.#cursorOf(topic, from);
    const { number, definition } = this.#core.define(this.name, this.#retain);
    const group = registry.nextGroup++;
    const entry = encodeGroup({ group, topic: number, name, settings, cursor });
    await commits.appendBatch([...definition, entry], { durable: true });
    const state = registry.groupNumbered(group);
    // It was deleted with its topic meanwhile.
    if (state === undefined) throw new TopicsError('TOPICS_UNKNOWN_GROUP', `the topic ${this.name} has been deleted`);
    return state;
  }

  async #cursorOf(topic: TopicState | undefined, from: EntryId | Date | 'first'): Promise<EntryId> {
    if (topic !== undefined) return cursorAt(this.#core, topic, from);
    const { nextId } = this.#core.log.stats();
    if (typeof from !== 'number' || from <= nextId) return 0;
    throw new TopicsError('TOPICS_OUT_OF_RANGE', `from is ${from}, but the next message will have ${nextId} or more`);
  }

  async #change(group: GroupState, settings: GroupSettings): Promise<void> {
    const { number, topic, name } = group;
    const keys = Object.keys(settings) as (keyof GroupSettings)[];
    const isSame = keys.every((key) => group.settings[key] === settings[key]);
    if (isSame) return;
    const entry = encodeGroup({ group: number, topic: topic.number, name, settings, cursor: group.cursor });
    await this.#core.commits.append(entry, { durable: true });
  }

  #existing(): TopicState {
    const { closed, registry } = this.#core;
    if (closed !== undefined) throw closed;
    const topic = registry.topicNamed(this.name);
    if (topic !== undefined) return topic;
    const message = `there is no topic ${JSON.stringify(this.name)}`;
    throw new TopicsError('TOPICS_UNKNOWN_TOPIC', message, { topic: this.name });
  }
}
