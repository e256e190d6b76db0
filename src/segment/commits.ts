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
  /** Those who wait until their entry is durable. */
  readonly waiters: CommitWaiter[] = [];
  /** Those who wait until it has been handed to the operating system. */
  readonly orderedWaiters: CommitWaiter[] = [];
  /** What is called before any waiter, in the order of the ids; undefined in most logs. */
  #calls: (() => void)[] | undefined;

  constructor(end: number, id: EntryId) {
    this.end = end;
    this.id = id;
  }

  get areAwaited(): boolean {
    return this.waiters.length > 0 || this.orderedWaiters.length > 0;
  }

  /** `call` is called when the entry that was ended last is as safe as was asked for. It must not throw. */
  callInOrder(call: () => void): void {
    (this.#calls ??= []).push(call);
  }

  /** Makes the calls that come before any waiter. */
  makeCalls(): void {
    // One list for both kinds of waiters, since their ids alternate.
    if (this.#calls !== undefined) for (const call of this.#calls) call();
  }

  acknowledge(): void {
    this.makeCalls();
    for (const waiter of this.waiters) waiter.committed();
    for (const waiter of this.orderedWaiters) waiter.committed();
  }

  reject(error: unknown): void {
    for (const waiter of this.waiters) waiter.failed(error);
    for (const waiter of this.orderedWaiters) waiter.failed(error);
  }
}
