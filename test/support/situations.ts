import { posix } from 'node:path';
import type { WriteAheadLog } from '../../src/api/write-ahead-log.js';
import type { Call } from './simulated-file-manager.js';

/** What some bugs need to be seen, and what random workloads therefore must come to. */
export const SITUATIONS = [
  'damage before an entry that was partly flushed and rolled back',
  'a follower while the last entry of a closed segment is not durable',
  'a truncation of what is committed and not durable',
  'an iterator that waits for a read while the log is truncated',
  'sync beside a flush in flight',
  'sync with appends in line',
  'an interval that must begin again',
  'a damaged holds file',
  'truncateBefore waiting while the log is truncated',
] as const;

export type Situation = (typeof SITUATIONS)[number];

/** Looks for situations in a process that has a log open. */
export class SituationWatch {
  /** Iterations, other than followers, that wait for their next entry. */
  reading = 0;
  /** How many calls of `truncateBefore` have not settled. */
  releasing = 0;
  /** How many followers wait for what comes. */
  followers = 0;
  /** Whether everything has been made durable before, in a mode in which the time does that. */
  hasSynced = false;
  readonly #note: (situation: Situation) => void;
  readonly #writes = new Set<number>();

  constructor(note: (situation: Situation) => void) {
    this.#note = note;
  }

  /** An operation on a file begins, or ends. */
  step({ index, kind, path }: Call, log: WriteAheadLog | undefined): void {
    if (kind === 'write' && /^wal-\d+$/.test(posix.basename(path)) && !this.#writes.delete(index)) this.#writes.add(index);
    if (this.followers === 0 || log === undefined) return;
    const { segments, durableId } = log.stats();
    const isBehind = segments.some(({ state, lastId }) => state !== 'active' && lastId > durableId);
    if (isBehind) this.#note('a follower while the last entry of a closed segment is not durable');
  }

  syncing(log: WriteAheadLog): void {
    if (this.#writes.size > 0) this.#note('sync beside a flush in flight');
    if (log.stats().waitingWriters > 0) this.#note('sync with appends in line');
  }

  /** Somebody waits until the interval is over. */
  awaitingInterval(): void {
    if (this.hasSynced) this.#note('an interval that must begin again');
    this.hasSynced = true;
  }

  truncating(hasUnsynced: boolean): void {
    if (hasUnsynced) this.#note('a truncation of what is committed and not durable');
  }

  truncated(): void {
    if (this.reading > 0) this.#note('an iterator that waits for a read while the log is truncated');
    if (this.releasing > 0) this.#note('truncateBefore waiting while the log is truncated');
  }
}
