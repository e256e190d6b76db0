import { show } from '../base/bytes.js';
import type { ChunkData, EntryId, WalOptions } from '../index.js';

/**
 * What becomes of a topic's messages.
 *
 * @example
 * const retain: Retention = { until: 'expired', ms: 24 * 60 * 60 * 1000, bytes: 1024 ** 3 };
 * await topics.topic('log lines', retain).publish('a line');
 */
export interface Retention {
  /**
   * `consumed`: a message goes when every group of the topic has acknowledged it; a topic without groups keeps its
   * messages. `expired`: it stays until one of the limits drops it, whoever has acknowledged it. Default: `consumed`.
   */
  readonly until?: 'consumed' | 'expired';
  /**
   * How old a message may become, in milliseconds. An older one goes when its segment is checkpointed, even if nobody
   * has acknowledged it; the event `dropped` says so. Default: no limit.
   */
  readonly ms?: number;
  /** How many bytes a topic may retain. Default: no limit. */
  readonly bytes?: number;
  /**
   * What happens when a topic would retain more than `bytes`. `wait`: `publish` waits until enough is acknowledged.
   * `reject`: it rejects with `TOPICS_FULL`. `drop`: the oldest messages go, at the next checkpoint; the event
   * `dropped` says so. Default: `wait`; with `expired` it is `drop`.
   */
  readonly whenFull?: 'wait' | 'reject' | 'drop';
}

export type ResolvedRetention = { readonly until: 'consumed' | 'expired' } & Omit<Retention, 'until'>;

/**
 * How topics are stored: as a log is, and some more. Every option has a default.
 *
 * @example
 * const small: TopicsOptions = { ...options, keepSegments: 2, retain: { bytes: 1024 ** 3, whenFull: 'reject' } };
 * const mine = await Topics.open('mine', small);
 * await mine.close();
 */
export interface TopicsOptions extends Omit<WalOptions, 'versionInfo'> {
  /** For topics that were given none of their own. */
  readonly retain?: Retention;
  /**
   * A full segment waits for its checkpoint while there are no more than these: by then most of its messages will
   * have been acknowledged, and need not be copied. 0 to 1000; default 4.
   */
  readonly keepSegments?: number;
}

/**
 * A message to be published.
 *
 * @example
 * const outgoing: Outgoing = { topic: 'orders', data: 'order 1', key: 'customer 7' };
 * console.log((await topics.commit({ publish: [outgoing] })).length); // 1
 */
export interface Outgoing {
  /** The name of its topic. */
  readonly topic: string;
  /** One chunk, or one for each element. */
  readonly data: ChunkData | readonly ChunkData[];
  /** Messages with the same key can be handed out one at a time: see `GroupOptions.order`. */
  readonly key?: string;
}

/**
 * How a group consumes. Only `from` is used for a new group alone; the others can be changed later.
 *
 * @example
 * const options: GroupOptions = { from: 'next', order: 'key', maxAttempts: 5, deadLetter: 'morgue' };
 * console.log((await topics.topic('orders').group('billing', options)).name); // billing
 */
export interface GroupOptions {
  /**
   * Where a new group begins: with the message that has this id, or the first one since then; with the oldest there
   * is; or with the next to be published. Default: `first`.
   */
  readonly from?: EntryId | Date | 'first' | 'next';
  /** After how long a message that is neither acknowledged nor extended is handed out again. Default: 30,000. */
  readonly leaseMs?: number;
  /** How many messages can be with consumers at once. Default: 1024. */
  readonly maxInFlight?: number;
  /**
   * How often a message is handed out before it goes to the dead letter topic. Counted durably, before it is handed
   * out. Default: no limit, and `Message.attempt` then counts since the opening.
   */
  readonly maxAttempts?: number;
  /** Where a message goes after `maxAttempts`. Default: the topic's name followed by `.dead`. */
  readonly deadLetter?: string;
  /**
   * `strict`: one message at a time, in order. `key`: one message at a time of each key, in order; those without a key
   * in any. Default: `none`.
   */
  readonly order?: 'none' | 'key' | 'strict';
  /**
   * `durable`: an acknowledgement has resolved when it is durable. `lazy`: when it has been handed to the operating
   * system, whose crash may bring messages back. Default: `durable`.
   */
  readonly cursor?: 'durable' | 'lazy';
}

/** The options of a group that are stored with it. */
export interface GroupSettings {
  readonly leaseMs: number;
  readonly maxInFlight: number;
  /** 0 for no limit. */
  readonly maxAttempts: number;
  /** Empty for the default. */
  readonly deadLetter: string;
  readonly order: 'none' | 'key' | 'strict';
  readonly cursor: 'durable' | 'lazy';
}

export const DEFAULT_SETTINGS: GroupSettings = {
  leaseMs: 30_000, maxInFlight: 1024, maxAttempts: 0, deadLetter: '', order: 'none', cursor: 'durable',
};

const MAX_NAME_BYTES = 255;
const LONGEST_MS = 2 ** 31 - 1;

/** Throws a TypeError or RangeError for what cannot be the name of a topic or group. */
export function assertName(what: string, name: unknown): asserts name is string {
  if (typeof name !== 'string') throw new TypeError(`the name of a ${what} must be a string, not ${show(name)}`);
  if (name === '') throw new RangeError(`the name of a ${what} must not be empty`);
  const bytes = Buffer.from(name);
  if (bytes.length > MAX_NAME_BYTES) {
    throw new RangeError(`the name of a ${what} has at most ${MAX_NAME_BYTES} bytes, not ${bytes.length}`);
  }
  // Half of a surrogate pair has no UTF-8: two such names would become one.
  if (bytes.toString() !== name) throw new RangeError(`the name of a ${what} must be well-formed text: ${show(name)}`);
}

/** Throws a TypeError or RangeError for what cannot be a key. */
export function assertKey(key: unknown): asserts key is string | undefined {
  if (key === undefined) return;
  if (typeof key !== 'string') throw new TypeError(`key must be a string, not ${show(key)}`);
  if (Buffer.from(key).toString() !== key) throw new RangeError(`key must be well-formed text: ${show(key)}`);
}

/** Throws a TypeError for what cannot be a message's data. */
export function assertData(data: unknown): asserts data is ChunkData | readonly ChunkData[] {
  for (const chunk of Array.isArray(data) ? data as unknown[] : [data]) {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) continue;
    throw new TypeError(`the data of a message must be Uint8Arrays or strings, not ${show(chunk)}`);
  }
}

/** Throws a TypeError for anything but an object whose names are all among `known`. */
export function assertKnown(options: unknown, known: readonly string[]): asserts options is object {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options must be an object, not ${show(options)}`);
  }
  for (const name in options) if (!known.includes(name)) throw new TypeError(`there is no option ${show(name)}`);
}

/** Throws a TypeError for anything but an AbortSignal or undefined. */
export function assertSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new TypeError(`signal must be an AbortSignal, not ${show(signal)}`);
}

export function integer(name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${show(value)}`);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${show(value)}`);
  }
  return value;
}

export function milliseconds(name: string, value: unknown, least = 0): number {
  return integer(name, value, least, LONGEST_MS);
}

function oneOf<T extends string>(name: string, value: unknown, values: readonly T[]): T {
  if (values.includes(value as T)) return value as T;
  throw new RangeError(`${name} must be one of ${values.join(', ')}, not ${show(value)}`);
}

/** `retain` with its defaults. Throws a TypeError or RangeError that echoes the value for anything unusable. */
export function resolveRetention(retain: Retention): ResolvedRetention {
  assertKnown(retain, ['until', 'ms', 'bytes', 'whenFull']);
  const { until = 'consumed', ms, bytes, whenFull } = retain;
  return {
    until: oneOf('until', until, ['consumed', 'expired']),
    ...(ms !== undefined && { ms: integer('ms', ms, 1) }),
    ...(bytes !== undefined && { bytes: integer('bytes', bytes, 1) }),
    ...(whenFull !== undefined && { whenFull: oneOf('whenFull', whenFull, ['wait', 'reject', 'drop']) }),
  };
}

export function isSameRetention(a: ResolvedRetention | undefined, b: ResolvedRetention | undefined): boolean {
  return a?.until === b?.until && a?.ms === b?.ms && a?.bytes === b?.bytes && a?.whenFull === b?.whenFull;
}

export function whenFull({ until, whenFull }: ResolvedRetention): 'wait' | 'reject' | 'drop' {
  return whenFull ?? (until === 'expired' ? 'drop' : 'wait');
}

const GROUP_OPTIONS = ['from', 'leaseMs', 'maxInFlight', 'maxAttempts', 'deadLetter', 'order', 'cursor'];

/** `options` over `base`. Throws a TypeError or RangeError that echoes the value for anything unusable. */
export function resolveSettings(options: GroupOptions, base: GroupSettings): GroupSettings {
  assertKnown(options, GROUP_OPTIONS);
  const { leaseMs, maxInFlight, maxAttempts, deadLetter, order, cursor } = options;
  if (deadLetter !== undefined) assertName('topic', deadLetter);
  return {
    leaseMs: leaseMs === undefined ? base.leaseMs : milliseconds('leaseMs', leaseMs, 1),
    maxInFlight: maxInFlight === undefined ? base.maxInFlight : integer('maxInFlight', maxInFlight, 1, 1_000_000),
    maxAttempts: maxAttempts === undefined ? base.maxAttempts : integer('maxAttempts', maxAttempts, 1, 1_000_000),
    deadLetter: deadLetter ?? base.deadLetter,
    order: order === undefined ? base.order : oneOf('order', order, ['none', 'key', 'strict']),
    cursor: cursor === undefined ? base.cursor : oneOf('cursor', cursor, ['durable', 'lazy']),
  };
}

/** Throws a TypeError or RangeError for what does not say where to begin. */
export function assertFrom(from: unknown): asserts from is EntryId | Date | 'first' | 'next' {
  if (from === 'first' || from === 'next') return;
  if (from instanceof Date) {
    if (Number.isNaN(from.getTime())) throw new RangeError('from must be a valid Date');
    return;
  }
  integer('from', from, 0);
}
