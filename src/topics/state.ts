import type { EntryId } from '../index.js';
import type { GroupSettings, ResolvedRetention } from './options.js';

/** Ids above a cursor, each with a number. May hold some below it, that are of no interest any more. */
export class IdsAbove {
  readonly #values = new Map<EntryId, number>();
  /** With so many, a search for those below the cursor is worth while. */
  #trimFrom = 0;

  get size(): number {
    return this.#values.size;
  }

  has(id: EntryId): boolean {
    return this.#values.has(id);
  }

  get(id: EntryId): number {
    return this.#values.get(id) ?? 0;
  }

  set(id: EntryId, value: number): void {
    this.#values.set(id, value);
  }

  delete(id: EntryId): void {
    this.#values.delete(id);
  }

  /** The ids above `cursor`, ascending, with their numbers. */
  above(cursor: EntryId): { ids: EntryId[]; values: number[] } {
    return this.between(cursor, Infinity);
  }

  /** The ids above `cursor` and up to `last`, ascending, with their numbers. */
  between(cursor: EntryId, last: EntryId): { ids: EntryId[]; values: number[] } {
    const ids = [...this.#values.keys()].filter((id) => id > cursor && id <= last).sort((a, b) => a - b);
    return { ids, values: ids.map((id) => this.get(id)) };
  }

  /** Forgets those up to `cursor`, if there may be many. */
  trim(cursor: EntryId): void {
    if (this.#values.size < this.#trimFrom) return;
    for (const id of this.#values.keys()) if (id <= cursor) this.#values.delete(id);
    this.#trimFrom = 2 * this.#values.size;
  }
}

/** Is told what becomes of a topic's messages. */
export interface TopicObserver {
  /** There is a message that is durable and may be handed out. */
  onMessage(id: EntryId, bytes: Buffer | undefined): void;
  /** The topic, or what observes it, has been deleted. */
  onDeleted(): void;
}

/** Is told what becomes of a group. */
export interface GroupObserver extends TopicObserver {
  /** Messages are durably acknowledged. */
  onAcknowledged(ids: readonly EntryId[]): void;
  /** Messages up to here are dropped. */
  onDropped(id: EntryId): void;
  /** The group goes to another place. */
  onMoved(): void;
}

/** How many messages, and how long their entries are together. */
export interface Amount {
  readonly messages: number;
  readonly bytes: number;
}

/** A topic as the durable part of the log says. */
export class TopicState {
  readonly number: number;
  readonly name: string;
  retain: ResolvedRetention | undefined;
  /** Messages up to here are dropped. */
  floor: EntryId = 0;
  lastId: EntryId = 0;
  /** Its first and last messages that are in the log and not in a run; 0 if there are none. */
  firstLive: EntryId = 0;
  lastLive: EntryId = 0;
  liveMessages = 0;
  liveBytes = 0;
  groups: readonly GroupState[] = NO_GROUPS;
  /** Those that read it without a group. */
  observers: Set<TopicObserver> | undefined = undefined;
  /** Whether the log's retention of the topic is not the present one. */
  isChanged = false;
  isDeleted = false;

  constructor(number: number, name: string, retain: ResolvedRetention | undefined) {
    this.number = number;
    this.name = name;
    this.retain = retain;
  }
}

/** A group as the durable part of the log says. */
export class GroupState {
  readonly number: number;
  readonly topic: TopicState;
  readonly name: string;
  settings: GroupSettings;
  /** Every message up to here is acknowledged, or gone. */
  cursor: EntryId;
  /** What is acknowledged above the cursor, with its size. */
  acked: IdsAbove | undefined = undefined;
  /** How often messages above the cursor were handed out. */
  attempts: IdsAbove | undefined = undefined;
  lagMessages = 0;
  lagBytes = 0;
  /** Messages up to here are in the two counts above, or acknowledged. */
  countedTo: EntryId = 0;
  /** How many moves are on their way: until they are durable, what is written must not say where the group is. */
  moving = 0;
  observer: GroupObserver | undefined = undefined;
  isDeleted = false;

  constructor(number: number, topic: TopicState, name: string, settings: GroupSettings, cursor: EntryId) {
    this.number = number;
    this.topic = topic;
    this.name = name;
    this.settings = settings;
    this.cursor = cursor;
  }

  wants(id: EntryId): boolean {
    return id > this.cursor && this.acked?.has(id) !== true;
  }

  /** Everything up to `id` is acknowledged, or gone. */
  passTo(id: EntryId): void {
    if (id <= this.cursor) return;
    this.cursor = id;
    this.acked?.trim(id);
    this.attempts?.trim(id);
    if (this.acked?.size === 0) this.acked = undefined;
    if (this.attempts?.size === 0) this.attempts = undefined;
  }
}

const NO_GROUPS: readonly GroupState[] = [];
