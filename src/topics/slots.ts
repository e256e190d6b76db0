import { assert } from '../base/assert.js';
import type { EntryId } from '../index.js';

/** What a group knows of a message that it has read and that is not acknowledged. */
export interface Slot {
  readonly id: EntryId;
  readonly bytes: Buffer;
  /** Those with the same are handed out one at a time. */
  readonly key: string | undefined;
  /**
   * `blocked`: one with the same key comes first. `ready`: it can be handed out. `counting`: its attempt is being
   * written. `leased`: a consumer has it. `delayed`: it comes back. `ending`: it is being acknowledged. `ended`: that
   * is written, and not yet durable. `gone`: the group does not want it any more.
   */
  state: 'blocked' | 'ready' | 'counting' | 'leased' | 'delayed' | 'ending' | 'ended' | 'gone';
  attempt: number;
  /** When its lease or its delay ends. */
  until: number;
}

/** The messages that a group has read and that are not acknowledged, by id, and which of them is next. */
export class Slots {
  readonly #slots = new Map<EntryId, Slot>();
  readonly #byKey = new Map<string, Slot[]>();
  #ready: Slot[] = [];
  #head = 0;
  #readyBytes = 0;
  /** How many are with consumers, or on their way to one. */
  leased = 0;

  get size(): number {
    return this.#slots.size;
  }

  get readyBytes(): number {
    return this.#readyBytes;
  }

  get isEmpty(): boolean {
    return this.#slots.size === 0;
  }

  /** The lowest id; undefined if there is none. */
  get firstId(): EntryId | undefined {
    return this.#slots.keys().next().value;
  }

  [Symbol.iterator](): IterableIterator<Slot> {
    return this.#slots.values();
  }

  get(id: EntryId): Slot | undefined {
    return this.#slots.get(id);
  }

  /** Adds a message, whose id is above all others. */
  add(id: EntryId, bytes: Buffer, key: string | undefined, attempt: number): Slot {
    const slot: Slot = { id, bytes, key, state: 'blocked', attempt, until: 0 };
    this.#slots.set(id, slot);
    if (key === undefined) {
      this.#makeReady(slot);
    } else {
      const others = this.#byKey.get(key);
      if (others === undefined) this.#byKey.set(key, [slot]);
      else others.push(slot);
      if (others === undefined) this.#makeReady(slot);
    }
    return slot;
  }

  /** The next one that can be handed out. It stays. */
  peek(): Slot | undefined {
    while (this.#head < this.#ready.length && this.#ready[this.#head].state !== 'ready') this.#head++;
    return this.#ready[this.#head];
  }

  /** Takes the slot that `peek` returned: it is on its way to a consumer. */
  take(slot: Slot): void {
    assert(this.#ready[this.#head] === slot && slot.state === 'ready', 'the next slot is taken');
    this.#head++;
    this.#readyBytes -= slot.bytes.length;
    this.leased++;
    slot.state = 'counting';
    if (this.#head < 1024 || this.#head * 2 < this.#ready.length) return;
    this.#ready = this.#ready.slice(this.#head);
    this.#head = 0;
  }

  /** A slot leaves its consumer, for one of the other states. */
  leave(slot: Slot, state: 'ready' | 'delayed' | 'ending'): void {
    if (slot.state === 'counting' || slot.state === 'leased') this.leased--;
    slot.state = state;
    if (state === 'ready') this.#makeReady(slot);
  }

  /** It could not be acknowledged: its consumer has it still. */
  resume(slot: Slot): void {
    slot.state = 'leased';
    this.leased++;
  }

  /** It counts as acknowledged: those with the same key need not wait for it any more. */
  end(slot: Slot): void {
    if (slot.state === 'ended' || slot.state === 'gone') return;
    if (slot.state === 'counting' || slot.state === 'leased') this.leased--;
    if (slot.state === 'ready') this.#readyBytes -= slot.bytes.length;
    slot.state = 'ended';
    if (slot.key === undefined) return;
    const others = this.#byKey.get(slot.key) ?? [];
    others.splice(others.indexOf(slot), 1);
    if (others.length === 0) this.#byKey.delete(slot.key);
    else if (others[0].state === 'blocked') this.#makeReady(others[0]);
  }

  /** Forgets it. */
  remove(slot: Slot): void {
    this.end(slot);
    slot.state = 'gone';
    this.#slots.delete(slot.id);
  }

  clear(): void {
    for (const slot of this.#slots.values()) slot.state = 'gone';
    this.#slots.clear();
    this.#byKey.clear();
    this.#ready = [];
    this.#head = this.#readyBytes = this.leased = 0;
  }

  #makeReady(slot: Slot): void {
    slot.state = 'ready';
    this.#readyBytes += slot.bytes.length;
    this.#ready.push(slot);
  }
}
