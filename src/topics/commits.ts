import { ignoreRejection } from '../base/async.js';
import { Waiters } from '../base/waiters.js';
import type { CommitOptions, CommittedEntry, EntryId, WriteAheadLog } from '../index.js';
import type { Registry } from './registry.js';

/** Entries on their way to the log. */
interface Pending {
  readonly entries: readonly Buffer[];
  /** What the log said; undefined while it has not, null if it rejected them. */
  committed: readonly CommittedEntry[] | null | undefined;
  /** Called when the entries are applied; for those that need not be durable, when the log has them. */
  done: ((ids: readonly EntryId[]) => void) | undefined;
}

/** So many entries may wait to become durable before the log is asked to sync. */
const MAX_UNSYNCED = 4096;

/**
 * Writes entries to the log, and applies them to the registry in the order of their ids as soon as they are durable:
 * what the registry says is never ahead of the disk.
 */
export class Commits {
  readonly #log: WriteAheadLog;
  readonly #registry: Registry;
  /** In the order of their ids. */
  #queue: Pending[] = [];
  #head = 0;
  readonly #onApplied: () => void;
  #appliedId: EntryId;
  #isWaiting = false;
  readonly #applied = new Waiters<EntryId>();

  constructor(log: WriteAheadLog, registry: Registry, appliedId: EntryId, onApplied: () => void) {
    this.#log = log;
    this.#onApplied = onApplied;
    this.#registry = registry;
    this.#appliedId = appliedId;
  }

  /** Entries up to here are applied. */
  get appliedId(): EntryId {
    return this.#appliedId;
  }

  /** Appends one entry. Resolves with its id, or rejects as `log.append` does; then nothing was written. */
  append(entry: Buffer, options?: CommitOptions): Promise<EntryId> {
    return new Promise((resolve, reject) => {
      const pending = this.#add([entry], ([id]) => resolve(id));
      this.#log.append(entry, options).then(
        (committed) => this.#settle(pending, [committed]),
        (error: Error) => this.#settle(pending, null, () => reject(error)),
      );
    });
  }

  /** Appends entries as one unit. Resolves with their ids, or rejects as `log.appendBatch` does. */
  appendBatch(entries: readonly Buffer[], options?: CommitOptions): Promise<readonly EntryId[]> {
    return new Promise((resolve, reject) => {
      const pending = this.#add(entries, resolve);
      this.#log.appendBatch(entries, options).then(
        (committed) => this.#settle(pending, committed),
        (error: Error) => this.#settle(pending, null, () => reject(error)),
      );
    });
  }

  /** Resolves when the entries up to `id`, which are durable, are applied. */
  async whenApplied(id: EntryId, signal: AbortSignal): Promise<void> {
    if (id > this.#appliedId) await this.#applied.wait(id, signal);
  }

  #add(entries: readonly Buffer[], done: (ids: readonly EntryId[]) => void): Pending {
    const pending: Pending = { entries, committed: undefined, done };
    this.#queue.push(pending);
    if (this.#queue.length - this.#head > MAX_UNSYNCED) this.#sync();
    return pending;
  }

  #settle(pending: Pending, committed: readonly CommittedEntry[] | null, afterwards?: () => void): void {
    pending.committed = committed;
    this.#drain();
    afterwards?.();
    // It is not durable yet, nor was that asked for.
    if (committed !== null && pending.done !== undefined && this.#isUnsynced(committed)) this.#report(pending);
  }

  #isUnsynced(committed: readonly CommittedEntry[]): boolean {
    return (committed.at(-1)?.id ?? 0) > this.#log.durableId;
  }

  #report(pending: Pending): void {
    pending.done?.(pending.committed?.map(({ id }) => id) ?? []);
    pending.done = undefined;
  }

  /** Applies what is durable, up to the first entry that is not. */
  #drain(): void {
    for (; this.#head < this.#queue.length; this.#head++) {
      const pending = this.#queue[this.#head];
      const { committed, entries } = pending;
      if (committed === undefined) break;
      if (committed === null) continue;
      if (this.#isUnsynced(committed)) {
        this.#waitForDurable(committed[committed.length - 1].id);
        break;
      }
      for (let i = 0; i < entries.length; i++) {
        const { id, chunks } = committed[i];
        this.#registry.apply(id, entries[i], chunks[0].position);
        this.#appliedId = id;
      }
      this.#report(pending);
    }
    if (this.#head === this.#queue.length || this.#head > 1024) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#onApplied();
    this.#applied.resolve((id) => id <= this.#appliedId);
  }

  #waitForDurable(id: EntryId): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#log.waitForDurable(id).then(() => {
      this.#isWaiting = false;
      this.#drain();
    }, () => undefined);
  }

  #sync(): void {
    if (this.#isWaiting) ignoreRejection(this.#log.sync());
  }
}
