import type { EntryId } from '../model/entry.js';

/** Who waits for a commit. Exactly one of the two is called, once. */
export interface CommitWaiter {
  /** The entry is as safe as was asked for. */
  committed(): void;
  failed(error: unknown): void;
}

/** What a flush completes at some moment, to go back to. */
export interface CommitsSavepoint {
  entryCount: number;
  end: number;
  id: EntryId;
  waiterCount: number;
  durableCount: number;
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

  /**
   * Tells the waiters from index `from` on, up to index `to`. An exception in one is that one's failure, and is thrown
   * when all the others have been told.
   */
  acknowledge(from = 0, to = this.waiters.length): void {
    let thrown: { readonly error: unknown } | undefined;
    for (let i = from; i < to; i++) {
      try {
        this.waiters[i].committed();
      } catch (error) {
        thrown ??= { error };
        this.waiters[i].failed(error);
      }
    }
    if (thrown !== undefined) throw thrown.error;
  }

  reject(error: unknown): void {
    for (const waiter of this.waiters) waiter.failed(error);
  }

  save(saved: CommitsSavepoint): void {
    saved.entryCount = this.entryCount;
    saved.end = this.end;
    saved.id = this.id;
    saved.waiterCount = this.waiters.length;
    saved.durableCount = this.durableCount;
  }

  /** Forgets the entries that were completed after `saved`. */
  rewind(saved: CommitsSavepoint): void {
    this.entryCount = saved.entryCount;
    this.end = saved.end;
    this.id = saved.id;
    this.waiters.length = saved.waiterCount;
    this.durableCount = saved.durableCount;
  }
}
