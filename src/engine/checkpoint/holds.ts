import { assert } from '../../base/assert.js';
import { Serial } from '../../base/async.js';
import { toWalError, WalError } from '../../base/errors.js';
import { HOLDS_FILE_NAME } from '../../format/file-names.js';
import type { StoredHold } from '../../format/holds-format.js';
import type { EntryId } from '../../model/entry.js';
import type { Segment } from '../../segment/segment.js';
import type { Lifecycle } from '../directory/lifecycle.js';
import type { LogDirectory } from '../directory/log-directory.js';
import { HoldsFile } from './holds-file.js';

/** The ids of the entries there are. */
export interface IdRange {
  /** Entries up to here are gone, or about to go. */
  readonly goneId: EntryId;
  /** The id that the next entry gets. */
  readonly nextId: EntryId;
}

/** A hold that has been broken because it kept more than it may. */
export interface BrokenHold {
  readonly name: string;
  readonly from: EntryId;
  readonly retainedBytes: number;
}

/** What a hold becomes; undefined if it ends. Throws the error with which its caller's request is refused. */
export type HoldChange = (hold: StoredHold | undefined) => StoredHold | undefined;

/**
 * The holds on entries that are checkpointed, by name. They are durable, and while there are any, so is the id up to
 * which the log is checkpointed: without holds there is no such file.
 *
 * Extending a hold takes effect at once; shrinking or releasing it only once that is durable: a crash must not bring
 * back a hold on entries that are gone.
 */
export class Holds {
  readonly #file: HoldsFile;
  readonly #lifecycle: Lifecycle;
  #onLess = (): void => undefined;
  /** The holds as they are on the disk. */
  #holds: ReadonlyMap<string, StoredHold> = new Map();
  /** The holds that are being stored. */
  readonly #wanted = new Set<StoredHold>();
  readonly #serial = new Serial();
  #checkpointedId: EntryId = 0;

  constructor(directory: LogDirectory, lifecycle: Lifecycle) {
    this.#file = new HoldsFile(directory);
    this.#lifecycle = lifecycle;
  }

  /** `listener` is called whenever holds keep less than before. */
  onLess(listener: () => void): void {
    this.#onLess = listener;
  }

  /** Reads what is stored. */
  async load(): Promise<void> {
    const stored = await this.#file.read();
    this.#checkpointedId = stored.checkpointedId;
    this.#holds = new Map(stored.holds.map((hold) => [hold.name, hold]));
  }

  /**
   * Moves holds that begin after `nextId` down to it: the log may have lost entries that were not durable yet, and the
   * hold then keeps those that take their ids. Resolves when that is durable.
   */
  async clamp(nextId: EntryId): Promise<void> {
    const holds = [...this.#holds.values()];
    if (holds.every(({ from }) => from <= nextId)) return;
    const clamped = holds.map((hold) => ({ ...hold, from: Math.min(hold.from, nextId) }));
    await this.#store(new Map(clamped.map((hold) => [hold.name, hold])), this.#checkpointedId);
  }

  /** Entries up to here were safe outside when the log was opened. */
  get checkpointedId(): EntryId {
    return this.#checkpointedId;
  }

  get(name: string): StoredHold | undefined {
    return this.#holds.get(name);
  }

  *[Symbol.iterator](): Iterator<StoredHold> {
    yield* this.#holds.values();
    yield* this.#wanted;
  }

  /** The lowest id that is held; Infinity if none is. */
  get lowestId(): number {
    let lowest = Infinity;
    for (const { from, isBroken } of this) if (!isBroken && from < lowest) lowest = from;
    return lowest;
  }

  /** The names of the holds that want entries of `segment`. */
  namesWanting(segment: Segment): string[] {
    const wanting = [...this].filter(({ from, isBroken }) => !isBroken && from <= segment.lastId);
    return [...new Set(wanting.map(({ name }) => name))];
  }

  wants(segment: Segment): boolean {
    return segment.lastId >= this.lowestId;
  }

  /** Throws `WAL_HELD` if a hold keeps entries below `id`. */
  assertNoneBelow(id: EntryId): void {
    for (const { name, from, isBroken } of this) if (!isBroken && from < id) throw heldError(name, from);
  }

  /** Throws `WAL_HELD` if a hold begins after `id`. */
  assertNoneAfter(id: EntryId): void {
    for (const { name, from, isBroken } of this) if (!isBroken && from > id) throw heldError(name, from);
  }

  /** Changes a hold, one change at a time. Resolves when it is durable; if it rejects, nothing has changed. */
  async change(name: string, change: HoldChange): Promise<void> {
    const { refusal } = this.#lifecycle;
    if (refusal !== undefined) throw refusal;
    let early: StoredHold | undefined;
    try {
      early = change(this.#holds.get(name));
    } catch {
      // It may be valid when its turn comes.
    }
    // Until then, what it asks for must not be freed.
    if (early !== undefined) this.#wanted.add(early);
    try {
      await this.#serial.run(() => this.#change(name, change));
    } finally {
      if (early !== undefined) this.#wanted.delete(early);
      // Also if it failed: what it asked for is no longer wanted.
      this.#onLess();
    }
  }

  async checkpointed(id: EntryId): Promise<void> {
    await this.#serial.run(() => this.#store(this.#holds, Math.max(this.#checkpointedId, id)));
  }

  /**
   * Breaks the holds that keep more than they may of `segments`, which are checkpointed. One that cannot be stored as
   * broken continues until the next call.
   */
  async *breakThoseAbove(
    segments: readonly Segment[], bytesOf: (segment: Segment) => number,
  ): AsyncGenerator<BrokenHold, void, void> {
    for (const name of this.#holds.keys()) {
      let [broken, retained]: [StoredHold | undefined, number] = [undefined, 0];
      const breaking = (hold: StoredHold | undefined): StoredHold | undefined => {
        if (hold === undefined) return undefined;
        retained = retainedBytes(hold, segments, bytesOf);
        if (retained > hold.maxBytes) broken = { ...hold, isBroken: true };
        return broken ?? hold;
      };
      try {
        await this.#serial.run(() => this.#change(name, breaking));
      } catch {
        // The hold continues: nothing that it keeps may be freed before that is durable.
        continue;
      }
      if (broken === undefined) continue;
      yield { name, from: (broken as StoredHold).from, retainedBytes: retained };
      this.#onLess();
    }
  }

  /** Resolves when no change is being stored. */
  idle(): Promise<void> {
    return this.#serial.idle();
  }

  async #change(name: string, change: HoldChange): Promise<void> {
    const before = this.#holds.get(name);
    const after = change(before);
    if (after === before) return;
    const holds = new Map(this.#holds);
    if (after === undefined) holds.delete(name);
    else holds.set(name, after);
    if (after !== undefined) this.#wanted.add(after);
    try {
      await this.#store(holds, this.#checkpointedId);
    } finally {
      if (after !== undefined) this.#wanted.delete(after);
    }
  }

  async #store(holds: ReadonlyMap<string, StoredHold>, checkpointedId: EntryId): Promise<void> {
    assert(checkpointedId >= this.#checkpointedId, 'what is checkpointed stays so');
    const stored = { checkpointedId, holds: [...holds.values()] };
    try {
      await this.#file.replace(stored);
    } catch (error) {
      // A log that has failed meanwhile does not know what is on the disk.
      throw this.#lifecycle.failure ?? toWalError(error, `${HOLDS_FILE_NAME} cannot be written`);
    }
    this.#holds = holds;
    this.#checkpointedId = checkpointedId;
    await this.#file.reserve(stored);
  }
}

function heldError(name: string, from: EntryId): WalError {
  return new WalError('WAL_HELD', `the hold ${JSON.stringify(name)} wants the entries from ${from} on`);
}

/** How many bytes of `segments` a hold keeps; a broken one keeps none. */
function retainedBytes(
  { from, isBroken }: StoredHold, segments: readonly Segment[], bytesOf: (segment: Segment) => number,
): number {
  let bytes = 0;
  if (!isBroken) for (const segment of segments) if (segment.lastId >= from) bytes += bytesOf(segment);
  return bytes;
}
