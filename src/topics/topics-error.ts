import type { EntryId } from '../index.js';

/**
 * The errors of topics that a caller is expected to handle carry a stable `code`. Those of the log under them are
 * WalErrors, and a caller's own mistake (a wrong type, an option out of range) is a TypeError or RangeError.
 *
 * @example
 * const isLate = (code: TopicsErrorCode): boolean => code === 'TOPICS_LEASE_LOST';
 * console.log(isLate('TOPICS_FULL')); // false
 */
export type TopicsErrorCode =
  /** There is no topic of this name. */
  | 'TOPICS_UNKNOWN_TOPIC'
  /** The group has been deleted, or never was one. */
  | 'TOPICS_UNKNOWN_GROUP'
  /** An id that no message has yet. */
  | 'TOPICS_OUT_OF_RANGE'
  /** The message was acknowledged before. */
  | 'TOPICS_ALREADY_ACKNOWLEDGED'
  /** The message's lease has ended, so that others may have the message: its acknowledgement does not count. */
  | 'TOPICS_LEASE_LOST'
  /** A group that hands out one message at a time has a consumer already. */
  | 'TOPICS_HAS_CONSUMER'
  /** The topic retains as much as it may. */
  | 'TOPICS_FULL';

/** Where an error happened. */
export interface TopicsErrorDetails {
  readonly topic?: string;
  readonly group?: string;
  readonly id?: EntryId;
}

/**
 * An error of topics that a caller is expected to handle.
 *
 * @example
 * await topics.topic('orders').publish('order 1');
 * const [message] = await (await topics.topic('orders').group('billing')).take({ max: 1 });
 * await message.ack();
 * await message.ack().catch((error: unknown) => {
 *   if (error instanceof TopicsError) console.log(error.code); // TOPICS_ALREADY_ACKNOWLEDGED
 * });
 */
export class TopicsError extends Error {
  /** Tells it from other errors where `instanceof` does not. */
  override readonly name = 'TopicsError';
  /** What happened. It stays the same when the message is put better. */
  readonly code: TopicsErrorCode;
  /** The topic concerned. */
  readonly topic?: string;
  /** The group concerned, where there is one. */
  readonly group?: string;
  /** The message concerned, where there is one. */
  readonly id?: EntryId;

  constructor(code: TopicsErrorCode, message: string, details: TopicsErrorDetails = {}) {
    super(message);
    this.code = code;
    Object.assign(this, details);
  }
}
