import { assertInternal } from '../base/assert.js';
import { forOneLoop } from '../base/async.js';
import type { EntryId } from '../index.js';
import { Core } from './core.js';
import type { Delivery } from './delivery.js';
import { encodeEnd, encodeMove, timeOfMessage } from './entry-format.js';
import { MessageLoop } from './message-loop.js';
import type { Message } from './message.js';
import { cursorAt } from './message-iterator.js';
import { assertFrom, assertKnown, assertSignal, integer, milliseconds } from './options.js';
import type { GroupState } from './state.js';
import { waitForMessages, type TakeRequest } from './takers.js';
import { TopicsError } from './topics-error.js';

/**
 * What a group has yet to acknowledge.
 *
 * @example
 * await topics.topic('orders').publish('order 1');
 * const { messages, inFlight }: Lag = (await topics.topic('orders').group('billing')).lag;
 * console.log(messages, inFlight); // 1 0
 */
export interface Lag {
  /** How many messages. */
  readonly messages: number;
  /** The length of their entries. An estimate after a move, and after messages were dropped. */
  readonly bytes: number;
  /** When the oldest was published; undefined if there is none, or it has not been read yet. */
  readonly oldest: Date | undefined;
  /** How many are with consumers now. */
  readonly inFlight: number;
}

/**
 * What `take` is to wait for.
 *
 * @example
 * const options: TakeOptions = { max: 100, maxBytes: 1024 * 1024, waitMs: 10 };
 * console.log(await (await topics.topic('orders').group('billing')).take(options)); // []
 */
export interface TakeOptions {
  /** How many messages at most. */
  readonly max: number;
  /** How many bytes their entries may have together, except for a single one. Default: no limit. */
  readonly maxBytes?: number;
  /** How long to wait for the first, in milliseconds. Default: until there is one. */
  readonly waitMs?: number;
  /** Ends the waiting with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * A group of consumers of a topic that share the work: each message is handed out to one of them, and handed out again
 * until one has acknowledged it. What the group has acknowledged is durable.
 *
 * @example
 * const group: Group = await topics.topic('orders').group('billing', { leaseMs: 60_000, maxAttempts: 5 });
 * const id = await topics.topic('orders').publish('order 1');
 * for await (const message of group.messages()) {
 *   console.log(String(message.chunks[0]), message.attempt); // order 1 1
 *   await message.ack();
 *   break;
 * }
 * await group.seek(id);
 * console.log((await group.take({ max: 10 })).length); // 1
 * await group.delete();
 */
export class Group {
  /** What it is known by after a restart. */
  readonly name: string;
  /** The name of its topic. */
  readonly topic: string;
  readonly #core: Core;
  readonly #state: GroupState;
  readonly #delivery: Delivery;

  /** @internal */
  constructor(core: Core, state: GroupState) {
    assertInternal(core instanceof Core, 'Group', 'topic.group()');
    this.name = state.name;
    this.topic = state.topic.name;
    this.#core = core;
    this.#state = state;
    this.#delivery = core.delivery(state);
  }

  /**
   * The messages, one at a time, waiting for those to come. The next is handed out when it is asked for. Several loops,
   * each over an iterator of its own, share the group's messages. At `close` the iterator ends. It rejects with the
   * signal's reason, with `TOPICS_HAS_CONSUMER` if the group has `order: 'strict'` and a consumer already, with
   * `TOPICS_UNKNOWN_GROUP` once it is deleted, and with `WAL_CORRUPT` for a damaged message.
   */
  messages(options: { readonly signal?: AbortSignal } = {}): AsyncIterableIterator<Message> {
    assertKnown(options, ['signal']);
    const { signal } = options;
    assertSignal(signal);
    return forOneLoop(this.#loop(signal), 'messages()');
  }

  /**
   * Up to `max` messages, as soon as there is one. Resolves with none if there is none after `waitMs`. Rejects as
   * `messages` does, and with `WAL_CLOSED` at a close.
   */
  async take(options: TakeOptions): Promise<readonly Message[]> {
    assertKnown(options, ['max', 'maxBytes', 'waitMs', 'signal']);
    const { maxBytes, waitMs, signal } = options;
    assertSignal(signal);
    return this.#take({
      max: integer('max', options.max, 1),
      maxBytes: maxBytes === undefined ? Infinity : integer('maxBytes', maxBytes, 1),
      waitMs: waitMs === undefined ? undefined : milliseconds('waitMs', waitMs),
      signal,
    });
  }

  /** What it has yet to acknowledge. */
  get lag(): Lag {
    const { lagMessages: messages, lagBytes: bytes } = this.#state;
    const { oldest, inFlight } = this.#delivery;
    return { messages, bytes, oldest: oldest && new Date(timeOfMessage(oldest.bytes)), inFlight };
  }

  /**
   * Goes to the message with this id, or to the first since then; back only as far as messages are still there. Leases
   * end. Resolves when that is durable. Rejects with `TOPICS_OUT_OF_RANGE` for an id to come.
   */
  async seek(to: EntryId | Date): Promise<void> {
    assertFrom(to);
    await this.#core.checkpoints.exclusively(async () => {
      this.#assertThere();
      const state = this.#state;
      const cursor = await cursorAt(this.#core, state.topic, to);
      state.moving++;
      try {
        await this.#core.commits.append(encodeMove(state.number, cursor), { durable: true });
      } finally {
        state.moving--;
      }
    });
  }

  /** Deletes the group: nothing is kept for it any more. Resolves when that is durable. */
  async delete(): Promise<void> {
    this.#assertThere();
    await this.#core.commits.append(encodeEnd('group', this.#state.number), { durable: true });
  }

  #loop(signal: AbortSignal | undefined): MessageLoop {
    const delivery = this.#delivery;
    return new MessageLoop({
      begin: () => {
        this.#assertSole();
        delivery.iterators++;
      },
      end: () => void delivery.iterators--,
      take: (ending) => this.#wait({ max: 1, maxBytes: Infinity, waitMs: undefined, signal: ending }),
      isClosed: () => this.#isClosed,
    }, signal);
  }

  #take(request: TakeRequest): Promise<readonly Message[]> {
    this.#assertSole();
    return this.#wait(request);
  }

  #wait(request: TakeRequest): Promise<readonly Message[]> {
    return waitForMessages(this.#delivery.takers, request, (taker) => this.#delivery.take(taker));
  }

  get #isClosed(): boolean {
    return (this.#core.closed as { code?: string } | undefined)?.code === 'WAL_CLOSED';
  }

  /** A group that hands out one message at a time has one consumer. */
  #assertSole(): void {
    const { takers, iterators } = this.#delivery;
    if (this.#state.settings.order !== 'strict' || (iterators === 0 && takers.isEmpty)) return;
    const message = `the group ${this.name} hands out one message at a time, and has a consumer already`;
    throw new TopicsError('TOPICS_HAS_CONSUMER', message, { topic: this.topic, group: this.name });
  }

  #assertThere(): void {
    const error = this.#core.closed ?? (this.#state.isDeleted ? this.#delivery.takers.closed : undefined);
    if (error !== undefined) throw error;
  }
}
