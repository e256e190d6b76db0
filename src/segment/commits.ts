import type { EntryId } from '../model/entry.js';

/** Who waits for a commit. Exactly one of the two is called, once. */
export interface CommitWaiter {
  /** The entry is as safe as was asked for. */
  committed(): void;
  failed(error: unknown): void;
}

/** The entries that one flush completes. */
export class Commits {
  /** How many they are. */
  entryCount = 0;
  /** After the last entry that has been completed, by now or before. */
  end: number;
  /** The id of that entry. */
  id: EntryId;
  /** Those who wait, in the order of the ids: what they apply is applied in the order in which it will be recovered. */
  readonly waiters: CommitWaiter[] = [];
  /** How many of them wait until their entry is durable; the others, until the operating system has it. */
  durableCount = 0;

  constructor(end: number, id: EntryId) {
    this.end = end;
    this.id = id;
  }

  add(waiter: CommitWaiter, isDurable: boolean): void {
    this.waiters.push(waiter);
    if (isDurable) this.durableCount++;
  }

  get areAwaited(): boolean {
    return this.waiters.length > 0;
  }

  /** Whether somebody waits only until the operating system has an entry. */
  get areOrdered(): boolean {
    return this.waiters.length > this.durableCount;
  }

  /** Tells the waiters from index `from` on, up to index `to`. */
  acknowledge(from = 0, to = this.waiters.length): void {
    for (let i = from; i < to; i++) this.waiters[i].committed();
  }

  reject(error: unknown): void {
    for (const waiter of this.waiters) waiter.failed(error);
  }
}
