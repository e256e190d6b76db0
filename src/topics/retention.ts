import type { EntryId } from '../index.js';
import { timeOfMessage } from './entry-format.js';
import { whenFull, type ResolvedRetention } from './options.js';
import type { Registry } from './registry.js';
import type { StoredMessage } from './run.js';
import type { Slice } from './run-format.js';
import type { TopicState } from './state.js';
import { storedLength } from './topic-files.js';

/** Which messages are kept: the rule of each topic, and what its groups have acknowledged. */
export class Retentions {
  readonly #registry: Registry;
  readonly #byDefault: ResolvedRetention;

  constructor(registry: Registry, byDefault: ResolvedRetention) {
    this.#registry = registry;
    this.#byDefault = byDefault;
  }

  of(topic: TopicState): ResolvedRetention {
    return topic.retain ?? this.#byDefault;
  }

  /** Whether there is a limit to what `topic` retains. */
  isLimited(topic: TopicState): boolean {
    const { ms, bytes } = this.of(topic);
    return ms !== undefined || bytes !== undefined;
  }

  /** Whether a message is wanted, by a group or by the rule of its topic. */
  isWanted(topic: TopicState, id: EntryId): boolean {
    if (topic.isDeleted || id <= topic.floor) return false;
    if (topic.groups.length === 0 || this.of(topic).until === 'expired') return true;
    return topic.groups.some((group) => group.wants(id));
  }

  /** How many bytes of `slice` are wanted, at most. */
  wantedBytes(slice: Slice): number {
    const topic = this.#registry.topicNumbered(slice.topic);
    if (topic === undefined || topic.floor >= slice.lastId) return 0;
    const share = (passed: EntryId): number => {
      if (passed < slice.firstId) return 1;
      return passed >= slice.lastId ? 0 : (slice.lastId - passed) / (slice.lastId - slice.firstId + 1);
    };
    const isKept = topic.groups.length === 0 || this.of(topic).until === 'expired';
    if (isKept) return slice.bytes * share(topic.floor);
    let wanted = 0;
    for (const { cursor, acked } of topic.groups) {
      if (cursor >= slice.lastId) continue;
      const { values } = acked?.between(Math.max(cursor, slice.firstId - 1), slice.lastId) ?? { values: [] };
      if (values.length === slice.count) continue;
      const acknowledged = values.reduce((sum, size) => sum + storedLength({ bytes: { length: size } }), 0);
      // Not nothing, as long as that is only likely.
      wanted += Math.max(1, slice.bytes * share(cursor) - acknowledged);
    }
    return Math.min(slice.bytes, wanted);
  }

  /** Whether `topic` retains as much as it may, so that a publisher has to wait or is rejected. */
  isFull(topic: TopicState): boolean {
    const retain = this.of(topic);
    if (retain.bytes === undefined || whenFull(retain) === 'drop') return false;
    return this.#heldBytes(topic, retain) >= retain.bytes;
  }

  /**
   * Up to which id the limits of its rule drop messages of `topic`, of which `messages` are about to be copied to a
   * run; 0 if none.
   */
  expiredId(topic: TopicState, messages: readonly StoredMessage[], now: number): EntryId {
    const { ms, bytes } = this.of(topic);
    let expired = 0;
    if (ms !== undefined) {
      for (const slice of this.#slices(topic)) if (slice.lastTime < now - ms) expired = slice.lastId;
      for (const message of messages) if (timeOfMessage(message.bytes) < now - ms) expired = message.id;
    }
    if (bytes === undefined || whenFull(this.of(topic)) !== 'drop') return expired;
    let excess = this.#registry.amountAfter(topic, topic.floor).bytes - bytes;
    for (const slice of this.#slices(topic)) {
      if (excess <= 0) return expired;
      expired = Math.max(expired, slice.lastId);
      excess -= slice.bytes;
    }
    for (const message of messages) {
      if (excess <= 0) break;
      expired = Math.max(expired, message.id);
      excess -= message.bytes.length;
    }
    return expired;
  }

  #heldBytes(topic: TopicState, { until }: ResolvedRetention): number {
    if (until === 'expired' || topic.groups.length === 0) return this.#registry.amountAfter(topic, topic.floor).bytes;
    return Math.max(...topic.groups.map(({ lagBytes }) => lagBytes));
  }

  *#slices(topic: TopicState): Generator<Slice> {
    for (const run of this.#registry.runs) {
      const slice = run.find(topic.number);
      if (slice !== undefined && slice.lastId > topic.floor) yield slice;
    }
  }
}
