import { ignoreRejection } from '../base/async.js';
import type { Environment } from '../base/environment.js';
import { TurnBudget } from '../base/turns.js';
import type { EntryId, WriteAheadLog } from '../index.js';
import type { EntryToArchive } from './entries-format.js';
import type { Following } from './following.js';
import { Shipment, type ShipmentPlan } from './shipment.js';

const WOKEN = Symbol('woken');

/** What a shipper works with. */
export interface ShipperParts extends ShipmentPlan {
  readonly log: WriteAheadLog;
  /** The entries to ship, which rejects if one that it has given out is truncated. */
  readonly following: Following;
  readonly everyMs: number;
  readonly environment: Environment;
  /** Stores a shipment. They come one after the other. */
  readonly store: (shipment: Shipment) => Promise<void>;
  /** Called when the log will have no more entries: it has been shut down, or has failed with `error`. */
  readonly onLogEnd: (error: unknown) => void;
}

type Next = Promise<IteratorResult<EntryToArchive, unknown>>;

/**
 * Takes the durable entries of a log, and ships them: while a shipment is on its way, the next one is collected. A
 * shipment ends at the end of a batch; when it is full, or when it is time and no entry is at hand.
 */
export class Shipper {
  readonly #parts: ShipperParts;
  readonly #turn = new TurnBudget();
  #lastId: EntryId;
  /** The last entry to ship, once it is known. */
  #endId = Infinity;
  /** The entry that was asked for and has not been taken. */
  #next: Next | undefined;
  /** How often the log had been truncated when the last entry came. */
  #truncations: number;
  #lastSentAt = -Infinity;
  #isStopped = false;
  /** Interrupts the waiting for an entry. */
  #wake = (): void => undefined;
  /** Why no more entries can be read. */
  #failure: { readonly error: unknown } | undefined;

  /** Ships the entries after `lastId`. */
  constructor(parts: ShipperParts, lastId: EntryId) {
    this.#parts = parts;
    this.#lastId = lastId;
    this.#truncations = parts.following.truncations;
  }

  /** The last entry that was taken from the log. */
  get lastId(): EntryId {
    return this.#lastId;
  }

  /** How often the log had been truncated when that entry came. */
  get truncations(): number {
    return this.#truncations;
  }

  /** Ships the entries that are durable now, and ends. */
  finish(): void {
    // Writers that go on writing must not keep this from ending.
    this.#endId = this.#parts.log.durableId;
    // If the log cannot be read, or has been truncated, the entries to ship say so.
    this.#lastDurable(this.#endId).then((id) => this.#endAt(id), () => undefined);
  }

  /** Ends without shipping any more. */
  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /** Ships until it is to end or the log is shut down. Rejects if the log, or storing a shipment, fails. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } finally {
      await this.#parts.following.entries.return?.();
    }
  }

  async #run(): Promise<void> {
    let storing = Promise.resolve();
    for (;;) {
      const due = new Due(storing, this.#lastSentAt + this.#parts.everyMs, this.#parts.environment);
      const shipment = await this.#collect(due);
      due.cancel();
      await storing;
      if (shipment === undefined) break;
      this.#lastSentAt = this.#parts.environment.now();
      storing = this.#parts.store(shipment);
      ignoreRejection(storing);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The next shipment, once it is to be sent. Undefined if there are no more entries. */
  async #collect(due: Due): Promise<Shipment | undefined> {
    let shipment: Shipment | undefined;
    for (;;) {
      const next = await this.#nextEntry(shipment?.isCuttable === true ? due : undefined);
      // A batch of which only a part could be read is not shipped.
      if (next === undefined || next.done === true) return shipment?.isCuttable === true ? shipment : undefined;
      shipment ??= new Shipment(this.#parts, this.#parts.environment.now());
      const bytes = await shipment.add(next.value);
      shipment.truncations = this.#truncations;
      this.#lastId = next.value.id;
      if (shipment.isCuttable && shipment.isFull) return shipment;
      if (this.#turn.spend(bytes)) await this.#turn.nextTurn();
    }
  }

  /**
   * The next entry. Undefined if it is `due` to send what there is and no entry is at hand, or if there are no more:
   * what the log had before it failed is still shipped.
   */
  async #nextEntry(due: Due | undefined): Promise<IteratorResult<EntryToArchive, unknown> | undefined> {
    while (!this.#isStopped && this.#failure === undefined && this.#lastId < this.#endId) {
      this.#next ??= this.#request();
      ignoreRejection(this.#next);
      try {
        const next = await this.#unlessWoken(due === undefined ? this.#next : due.orNext(this.#next));
        if (next === WOKEN) continue;
        if (next !== undefined) this.#next = undefined;
        if (next?.done === true) this.#parts.onLogEnd(undefined);
        if (next?.done !== false || next.value.id <= this.#endId) return next;
        this.#endAt(this.#lastId);
      } catch (error) {
        this.#next = undefined;
        this.#failure = { error };
        this.#parts.onLogEnd(error);
      }
    }
    return undefined;
  }

  async #request(): Promise<IteratorResult<EntryToArchive, unknown>> {
    const next = await this.#parts.following.entries.next();
    this.#truncations = this.#parts.log.truncations.length;
    return next;
  }

  #unlessWoken<T>(waiting: Promise<T>): Promise<T | typeof WOKEN> {
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve(WOKEN);
      waiting.then(resolve, reject);
    });
  }

  #endAt(id: EntryId): void {
    this.#endId = id;
    this.#wake();
  }

  /** The id of the last entry up to `endId`, an id that may have been skipped. */
  async #lastDurable(endId: EntryId): Promise<EntryId> {
    let lastId = this.#lastId;
    if (endId <= lastId) return lastId;
    for await (const { id } of this.#parts.log.entries({ from: lastId + 1 })) {
      if (id > endId) break;
      lastId = id;
    }
    return lastId;
  }
}

/** When the next shipment is to be sent: when the one before is stored, and not before `at`. */
class Due {
  #isReached = false;
  #isCancelled = false;
  /** Called when it is reached. */
  #onReached = (): void => undefined;
  #cancelTimer = (): void => undefined;

  constructor(storing: Promise<void>, at: number, environment: Environment) {
    const reach = (): void => {
      this.#isReached = true;
      this.#onReached();
    };
    const wait = (): void => {
      const ms = at - environment.now();
      if (this.#isCancelled) return;
      if (ms > 0) this.#cancelTimer = environment.callAfter(ms, reach);
      else reach();
    };
    // If storing fails, the shipper is stopped.
    storing.then(wait, () => undefined);
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#cancelTimer();
  }

  /** What `next` resolves with; undefined once this is reached, and `next` has had a turn of the event loop. */
  orNext<T>(next: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      this.#onReached = () => void setImmediate(() => resolve(undefined));
      if (this.#isReached) this.#onReached();
      next.then(resolve, reject);
    });
  }
}
