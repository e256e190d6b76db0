import { assertInternal } from '../base/assert.js';
import type { EntryId } from '../index.js';
import { decodeMessage, type MessageContent } from './entry-format.js';
import { assertKnown, milliseconds } from './options.js';
import type { Slot } from './slots.js';

/** What has handed out a message, and knows whether it is leased still. */
export interface Lessor {
  ack(message: Message): Promise<void>;
  nack(message: Message, delayMs: number): Promise<void>;
  extend(message: Message, ms: number): void;
}

/**
 * A message of a topic. One that came from a group is leased: until it is acknowledged, or its lease ends, no other
 * consumer of the group has it.
 *
 * @example
 * await topics.topic('orders').publish('order 1', { key: 'customer 7' });
 * const group = await topics.topic('orders').group('billing');
 * const [message]: readonly Message[] = await group.take({ max: 1 });
 * console.log(message.topic, message.key, message.attempt); // orders customer 7 1
 * message.extend(60_000); // it takes a while
 * await message.nack({ delayMs: 10 }); // the printer is out of paper
 * const [again] = await group.take({ max: 1 });
 * await again.ack();
 * console.log(again.attempt); // 2
 */
export class Message {
  /** Its number: that of its entry in the log. Ids of a topic ascend, but are not consecutive. */
  readonly id: EntryId;
  /** The name of its topic. */
  readonly topic: string;
  /** How often it has been handed out, this time included; 0 if it was only read. */
  readonly attempt: number;
  /** @internal Undefined if it was only read. */
  readonly lessor: Lessor | undefined;
  /** @internal Its place in the group that has handed it out. */
  readonly slot: Slot | undefined;
  /** @internal Whether an acknowledgement has begun. */
  isAcknowledged = false;
  readonly #bytes: Buffer;
  #content: MessageContent | undefined;

  /** @internal */
  constructor(id: EntryId, topic: string, bytes: Buffer, attempt: number, lessor?: Lessor, slot?: Slot) {
    assertInternal(Buffer.isBuffer(bytes), 'Message', 'a group, or topic.read()');
    this.id = id;
    this.topic = topic;
    this.attempt = attempt;
    this.lessor = lessor;
    this.slot = slot;
    this.#bytes = bytes;
  }

  /** When it was published. */
  get time(): Date {
    return new Date(this.#decoded.time);
  }

  /** What was given to `publish` with it. */
  get key(): string | undefined {
    return this.#decoded.key;
  }

  /** Its data. Not to be changed: other consumers may be handed the same bytes. */
  get chunks(): readonly Uint8Array[] {
    return this.#decoded.chunks;
  }

  /**
   * Says that the message has been processed: its group is not handed it again. Rejects with `TOPICS_LEASE_LOST` or
   * `TOPICS_ALREADY_ACKNOWLEDGED`, or as `log.append` does; with a TypeError if it did not come from a group.
   */
  async ack(): Promise<void> {
    await this.#lessor.ack(this);
  }

  /** Says that it could not be processed: the group is handed it again, after `delayMs`. Rejects as `ack` does. */
  async nack(options: { delayMs?: number } = {}): Promise<void> {
    assertKnown(options, ['delayMs']);
    const delayMs = milliseconds('delayMs', options.delayMs ?? 0);
    await this.#lessor.nack(this, delayMs);
  }

  /** Makes its lease end in `ms` milliseconds from now. Throws as `ack` rejects. */
  extend(ms: number): void {
    milliseconds('ms', ms, 1);
    this.#lessor.extend(this, ms);
  }

  get #lessor(): Lessor {
    if (this.lessor === undefined) throw new TypeError('a message that was only read has no lease');
    return this.lessor;
  }

  get #decoded(): MessageContent {
    return (this.#content ??= decodeMessage(this.#bytes));
  }
}
