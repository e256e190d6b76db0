import type { EntryId } from '../index.js';

/**
 * What topics report besides what their methods return. Those of the log are at `topics.log`.
 *
 * @example
 * topics.on('deadLetter', ({ id, deadLetter }) => console.error(`message ${id} is in ${deadLetter}`));
 * topics.on('dropped', ({ topic, from, to, groups }) => console.error(topic, from, to, groups));
 * topics.log.on('failed', (error) => console.error(error.message));
 */
export interface TopicsEvents {
  /** A message was handed out as often as it may be, and is in the dead letter topic now. */
  deadLetter: [{
    topic: string; group: string; id: EntryId; attempts: number; deadLetter: string; deadLetterId: EntryId;
  }];
  /** A lease has ended without an acknowledgement: the message is handed out again. */
  leaseExpired: [{ topic: string; group: string; id: EntryId; attempt: number }];
  /**
   * A limit of the topic's retention, or `truncateBefore`, drops its messages `from` to `to`, which `groups` have not
   * all acknowledged.
   */
  dropped: [{ topic: string; from: EntryId; to: EntryId; groups: readonly string[] }];
}
