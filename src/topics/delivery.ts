import type { Environment } from '../base/environment.js';
import { ignoreRejection } from '../base/async.js';
import type { EntryId } from '../index.js';
import { decodeMessage } from './entry-format.js';
import type { Marking } from './marking.js';
import { Message, type Lessor } from './message.js';
import { Slots, type Slot } from './slots.js';
import type { GroupObserver, GroupState } from './state.js';
import { Takers, type Taker } from './takers.js';
import { TopicReader, type MessageSources } from './topic-reader.js';
import { TopicsError } from './topics-error.js';

/** What a group's delivery needs of the rest. */
export interface DeliveryParts extends MessageSources {
  readonly environment: Environment;
  /** Writes acknowledgements. */
  readonly acks: Pick<Marking, 'add'>;
  /** Counts how often messages are handed out. */
  readonly attempts: Pick<Marking, 'add'>;
  /** Moves a message to the dead letter topic, and acknowledges it, in one. */
  readonly bury: (group: GroupState, slot: Slot) => Promise<unknown>;
  readonly onLeaseExpired: (group: GroupState, slot: Slot) => void;
}

/** Read ahead of the consumers as long as there is not more than this. */
const READ_AHEAD_BYTES = 1024 * 1024;
/** Messages that may be blocked or delayed, besides those with consumers. */
const MAX_ASIDE = 4096;
/** After how long a message is tried again to be moved to the dead letter topic. */
const BURY_AGAIN_MS = 1000;

/** Hands out the messages of a group, each to one consumer at a time, until it is acknowledged. */
export class Delivery implements GroupObserver, Lessor {
  readonly group: GroupState;
  readonly #parts: DeliveryParts;
  readonly takers = new Takers();
  readonly #slots = new Slots();
  #reader: TopicReader;
  #isReading = false;
  /** Whether every message is in the slots, so that the next need not be read. */
  #isCaughtUp = false;
  #timer: { readonly at: number; cancel(): void } | undefined;
  /** Consumers that are no single call: see `messages`. */
  iterators = 0;

  constructor(group: GroupState, parts: DeliveryParts) {
    this.group = group;
    this.#parts = parts;
    this.#reader = new TopicReader(parts, group.topic, group.cursor);
    group.observer = this;
  }

  get inFlight(): number {
    return this.#slots.leased;
  }

  /** The oldest message that is not acknowledged, as far as it has been read. */
  get oldest(): Slot | undefined {
    const id = this.#slots.firstId;
    return id === undefined ? undefined : this.#slots.get(id);
  }

  /** Hands messages to `taker` as soon as there are any. */
  take(taker: Taker): void {
    this.takers.add(taker);
    this.#pump();
  }

  onMessage(id: EntryId, bytes: Buffer | undefined): void {
    if (!this.#isCaughtUp) return;
    const hasRoom = this.#slots.readyBytes < READ_AHEAD_BYTES && this.#slots.size < this.#maxSlots;
    if (bytes !== undefined && hasRoom) this.#accept(id, bytes);
    else this.#isCaughtUp = false;
    this.#pump();
  }

  onAcknowledged(ids: readonly EntryId[]): void {
    for (const id of ids) {
      const slot = this.#slots.get(id);
      if (slot !== undefined) this.#slots.remove(slot);
    }
    this.group.passTo((this.#slots.firstId ?? this.#reader.after + 1) - 1);
    this.#pump();
  }

  onDropped(id: EntryId): void {
    for (const slot of this.#slots) {
      if (slot.id > id) break;
      this.#slots.remove(slot);
    }
    this.#reader.advance(id);
    this.#pump();
  }

  onMoved(): void {
    this.#slots.clear();
    this.#isCaughtUp = this.#isReading = false;
    this.#reader = new TopicReader(this.#parts, this.group.topic, this.group.cursor);
    this.#pump();
  }

  onDeleted(): void {
    const { name, topic } = this.group;
    this.close(new TopicsError('TOPICS_UNKNOWN_GROUP', `the group ${name} of ${topic.name} has been deleted`, {
      topic: topic.name, group: name,
    }));
  }

  /** Hands out nothing more. Those who wait are told why. */
  close(error: Error): void {
    this.takers.close(error);
    this.#slots.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Begins to acknowledge a message that was handed out, within a commit; throws if it cannot be. */
  beginAck(message: Message): Slot {
    const slot = this.#assertHeld(message);
    message.isAcknowledged = true;
    this.#slots.leave(slot, 'ending');
    return slot;
  }

  /** The acknowledgements are written, or will not be. */
  endAcks(slots: readonly Slot[], isWritten: boolean): void {
    for (const slot of slots) this.#settle(slot, isWritten);
    this.#pump();
  }

  async ack(message: Message): Promise<void> {
    const slot = this.beginAck(message);
    try {
      await this.#parts.acks.add(this.group, { id: slot.id, value: slot.bytes.length });
    } catch (error) {
      this.#ended(slot, false);
      throw error;
    }
    this.#ended(slot, true);
  }

  async nack(message: Message, delayMs: number): Promise<void> {
    await this.#refuse(this.#assertHeld(message), delayMs);
  }

  extend(message: Message, ms: number): void {
    const slot = this.#assertHeld(message);
    slot.until = this.#now + ms;
    this.#wakeAt(slot.until);
  }

  async #refuse(slot: Slot, delayMs: number): Promise<void> {
    const { maxAttempts } = this.group.settings;
    if (maxAttempts > 0 && slot.attempt >= maxAttempts) return this.#bury(slot);
    this.#comeBack(slot, delayMs);
    this.#pump();
  }

  get #now(): number {
    return this.#parts.environment.now();
  }

  get #maxSlots(): number {
    return this.group.settings.maxInFlight + MAX_ASIDE;
  }

  /** After an acknowledgement was written, or was not. */
  #ended(slot: Slot, isWritten: boolean): void {
    this.#settle(slot, isWritten);
    this.#pump();
  }

  #settle(slot: Slot, isWritten: boolean): void {
    if (slot.state !== 'ending') return;
    if (isWritten) return this.#slots.end(slot);
    this.#slots.resume(slot);
    this.#wakeAt(slot.until);
  }

  #comeBack(slot: Slot, delayMs: number): void {
    if (delayMs === 0) return this.#slots.leave(slot, 'ready');
    this.#slots.leave(slot, 'delayed');
    slot.until = this.#now + delayMs;
    this.#wakeAt(slot.until);
  }

  async #bury(slot: Slot): Promise<void> {
    this.#slots.leave(slot, 'ending');
    try {
      await this.#parts.bury(this.group, slot);
    } catch (error) {
      // It is not handed out again: that is what it must not be.
      if (slot.state === 'ending') this.#comeBack(slot, BURY_AGAIN_MS);
      throw error;
    }
    this.#ended(slot, true);
  }

  /** Takes a message into the slots. */
  #accept(id: EntryId, bytes: Buffer): void {
    this.#reader.advance(id);
    if (!this.group.wants(id)) return;
    const { order } = this.group.settings;
    const key = order === 'none' ? undefined : order === 'strict' ? '' : decodeMessage(bytes).key;
    this.#slots.add(id, bytes, key, this.group.attempts?.get(id) ?? 0);
  }

  /** Brings together consumers that wait and messages that are ready. */
  #pump(): void {
    const { maxAttempts, maxInFlight } = this.group.settings;
    while (!this.takers.isEmpty && this.#slots.leased < maxInFlight) {
      const slot = this.#slots.peek();
      if (slot === undefined) break;
      if (maxAttempts > 0 && slot.attempt >= maxAttempts) {
        this.#slots.take(slot);
        ignoreRejection(this.#bury(slot));
      } else {
        this.#handOut(this.takers.next(), maxInFlight, maxAttempts > 0);
      }
    }
    if (!this.takers.isEmpty && this.#slots.peek() === undefined) this.#fetch();
  }

  #handOut(taker: Taker, maxInFlight: number, isCounted: boolean): void {
    const { maxAttempts } = this.group.settings;
    const taken: Slot[] = [];
    let bytes = 0;
    for (let slot = this.#slots.peek(); slot !== undefined; slot = this.#slots.peek()) {
      const isFull = taken.length === taker.max || this.#slots.leased >= maxInFlight;
      if (isFull || (taken.length > 0 && bytes + slot.bytes.length > taker.maxBytes)) break;
      // It is buried when its turn comes.
      if (isCounted && slot.attempt >= maxAttempts) break;
      this.#slots.take(slot);
      slot.attempt++;
      bytes += slot.bytes.length;
      taken.push(slot);
    }
    if (!isCounted) return this.#lease(taker, taken);
    this.#count(taken).then(
      () => this.#lease(taker, taken),
      (error: unknown) => {
        for (const slot of taken) if (slot.state === 'counting') this.#slots.leave(slot, 'ready');
        taker.reject(error as Error);
      },
    );
  }

  /** A message must not kill its consumer before the attempt is known. */
  async #count(slots: readonly Slot[]): Promise<void> {
    const { attempts } = this.#parts;
    await Promise.all(slots.map(({ id, attempt }) => attempts.add(this.group, { id, value: attempt })));
  }

  #lease(taker: Taker, slots: readonly Slot[]): void {
    const held = slots.filter(({ state }) => state === 'counting');
    // They were dropped, or the group has moved, while the attempt was written.
    if (held.length === 0) return this.take(taker);
    const until = this.#now + this.group.settings.leaseMs;
    for (const slot of held) {
      slot.state = 'leased';
      slot.until = until;
    }
    this.#wakeAt(until);
    const { name } = this.group.topic;
    taker.resolve(held.map((slot) => new Message(slot.id, name, slot.bytes, slot.attempt, this, slot)));
  }

  /** Reads what comes next. */
  #fetch(): void {
    if (this.#isReading || this.#isCaughtUp || this.#slots.size >= this.#maxSlots) return;
    const reader = this.#reader;
    const messages = reader.read();
    if (!(messages instanceof Promise)) return this.#fetched(messages);
    this.#isReading = true;
    messages.then(
      (read) => {
        // The group may have moved.
        if (reader !== this.#reader) return;
        this.#isReading = false;
        this.#fetched(read);
      },
      (error: unknown) => {
        if (reader !== this.#reader) return;
        this.#isReading = false;
        this.takers.fail(error as Error);
      },
    );
  }

  #fetched(messages: readonly { readonly id: EntryId; readonly bytes: Buffer }[]): void {
    for (const { id, bytes } of messages) if (id > this.#reader.after) this.#accept(id, bytes);
    this.#isCaughtUp = messages.length === 0 && this.#reader.isAtEnd;
    if (messages.length > 0 || !this.#isCaughtUp) this.#pump();
  }

  #wakeAt(time: number): void {
    if (this.#timer !== undefined && this.#timer.at <= time) return;
    this.#timer?.cancel();
    const cancel = this.#parts.environment.callAfter(Math.max(1, time - this.#now), () => this.#wake());
    this.#timer = { at: time, cancel };
  }

  /** Ends the leases and the delays that are over. */
  #wake(): void {
    this.#timer = undefined;
    const now = this.#now;
    let next = Infinity;
    for (const slot of this.#slots) {
      if (slot.state !== 'leased' && slot.state !== 'delayed') continue;
      if (slot.until > now) next = Math.min(next, slot.until);
      else if (slot.state === 'delayed') this.#slots.leave(slot, 'ready');
      else {
        this.#parts.onLeaseExpired(this.group, slot);
        ignoreRejection(this.#refuse(slot, 0));
      }
    }
    if (next < Infinity) this.#wakeAt(next);
    this.#pump();
  }

  /** The slot of a message that was handed out. A lease is good for the attempt it was given for. */
  #assertHeld(message: Message): Slot {
    const slot = message.slot as Slot;
    const { id, state, attempt } = slot;
    if (this.takers.closed !== undefined && state === 'gone') throw this.takers.closed;
    if (state === 'leased' && attempt === message.attempt) return slot;
    const details = { topic: message.topic, id };
    if (message.isAcknowledged && (state === 'ending' || state === 'ended' || state === 'gone')) {
      throw new TopicsError('TOPICS_ALREADY_ACKNOWLEDGED', `message ${id} was acknowledged before`, details);
    }
    throw new TopicsError('TOPICS_LEASE_LOST', `the lease of message ${id} has ended`, details);
  }
}
