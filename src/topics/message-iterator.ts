import { offAbort, onAbort } from '../base/abort.js';
import { deferred, type Deferred } from '../base/async.js';
import { keepAliveUntil } from '../base/keep-alive.js';
import type { EntryId } from '../index.js';
import type { Core } from './core.js';
import { timeOfMessage } from './entry-format.js';
import { Message } from './message.js';
import type { StoredMessage } from './run.js';
import type { TopicObserver, TopicState } from './state.js';
import { TopicReader } from './topic-reader.js';
import { TopicsError } from './topics-error.js';

/** Where a reader or a group that begins at `from` stands: after which message. Throws `TOPICS_OUT_OF_RANGE`. */
export async function cursorAt(
  core: Core, topic: TopicState, from: EntryId | Date | 'first' | 'next',
): Promise<EntryId> {
  if (from === 'first') return topic.floor;
  if (from === 'next') return Math.max(topic.lastId, topic.floor);
  if (typeof from === 'number') {
    const { nextId } = core.log.stats();
    if (from <= nextId) return Math.max(0, from - 1);
    throw new TopicsError('TOPICS_OUT_OF_RANGE', `from is ${from}, but the next message will have ${nextId} or more`, {
      topic: topic.name, id: from,
    });
  }
  const reader = new TopicReader(core, topic, topic.floor);
  for (;;) {
    const messages = await reader.read();
    if (messages.length === 0) return Math.max(reader.after, topic.floor);
    for (const { id, bytes } of messages) {
      if (timeOfMessage(bytes) >= from.getTime()) return reader.after;
      reader.advance(id);
    }
  }
}

/** Goes through the messages of a topic without a group, and can wait for those to come. */
export class MessageIterator implements AsyncIterableIterator<Message>, TopicObserver {
  readonly #core: Core;
  readonly #topic: TopicState;
  readonly #isFollowing: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #begin: () => Promise<EntryId>;
  #reader: TopicReader | undefined;
  #read: readonly StoredMessage[] = [];
  #next = 0;
  #news: Deferred<void> | undefined;
  #leave: (() => void) | undefined;
  #isDone = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    core: Core, topic: TopicState, begin: () => Promise<EntryId>, follow: boolean, signal: AbortSignal | undefined,
  ) {
    this.#core = core;
    this.#topic = topic;
    this.#begin = begin;
    this.#isFollowing = follow;
    this.#signal = signal;
    onAbort(signal, this.#wake);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Message, undefined>> {
    const result = this.#last.then(() => this.#advance());
    this.#last = result.catch(() => undefined);
    return result;
  }

  async return(): Promise<IteratorResult<Message, undefined>> {
    this.#end();
    return { done: true, value: undefined };
  }

  onMessage(): void {
    this.#wake();
  }

  onDeleted(): void {
    this.#end();
  }

  readonly #wake = (): void => this.#news?.resolve();

  async #advance(): Promise<IteratorResult<Message, undefined>> {
    try {
      const message = await this.#message();
      if (message !== undefined) {
        const { id, bytes } = message;
        return { done: false, value: new Message(id, this.#topic.name, bytes, 0) };
      }
    } catch (error) {
      this.#end();
      throw error;
    }
    this.#end();
    return { done: true, value: undefined };
  }

  async #message(): Promise<StoredMessage | undefined> {
    for (;;) {
      this.#signal?.throwIfAborted();
      if (this.#isDone) return undefined;
      this.#reader ??= new TopicReader(this.#core, this.#topic, await this.#begin());
      if (this.#next < this.#read.length) {
        const message = this.#read[this.#next++];
        this.#reader.advance(message.id);
        return message;
      }
      // Before it is looked, so that nothing is missed.
      const news = deferred();
      this.#news = news;
      if (this.#isFollowing) this.#leave ??= this.#core.observe(this.#topic, this);
      this.#read = await this.#reader.read();
      this.#next = 0;
      if (this.#read.length > 0) continue;
      if (!this.#isFollowing) return undefined;
      if (this.#reader.isAtEnd && !this.#isDone) await keepAliveUntil(news.promise);
    }
  }

  #end(): void {
    this.#isDone = true;
    offAbort(this.#signal, this.#wake);
    this.#leave?.();
    this.#wake();
  }
}
