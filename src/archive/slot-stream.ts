import { unlessAborted } from '../base/abort.js';
import { ahead } from './ahead.js';
import { getObject } from './bodies.js';
import { firstSlotOf, objectsFrom, readContents, type ArchiveContents, type SlotsObject } from './contents.js';
import { ArchiveError } from './errors.js';
import { decodeRun, type Slot } from './slot-format.js';
import { assertFollows } from './slot-reader.js';
import { getSlot, type SlotStore } from './slot-store.js';

/** How long a slot is taken for before one has been read. */
const SLOT_BYTES = 4 * 1024 * 1024;
/** How often one slot may be gone that was just listed: each time, merging has been faster. */
const ATTEMPTS = 10;
/** How often a follower lists the slots. In between, it asks for the next one by its name, which costs less. */
const LIST_EVERY_MS = 30_000;

/**
 * The slots of an archive from one of them on, in order, while its writer merges and deletes them: none is left out.
 * What is deleted before it could be read is an error, or is found in the run it was merged into.
 */
export class SlotStream {
  readonly #at: SlotStore;
  #contents: ArchiveContents;
  #next: number;
  #before: Slot | undefined;
  /** How long the next slot probably is. */
  #slotBytes = SLOT_BYTES;
  /** How often the next slot was missing. */
  #misses = 0;

  constructor(at: SlotStore, contents: ArchiveContents, first: number) {
    this.#at = at;
    this.#contents = contents;
    this.#next = first;
  }

  /** What the archive consisted of when it was last listed. */
  get contents(): ArchiveContents {
    return this.#contents;
  }

  /** The number of the slot that is read next. */
  get next(): number {
    return this.#next;
  }

  /** The slots up to the last one there was when the archive was last listed; with `followEveryMs`, all that come. */
  async *read(followEveryMs?: number): AsyncGenerator<Slot, void, void> {
    for (;;) {
      const objects = objectsFrom(this.#contents, this.#next, () => this.#slotBytes);
      for await (const slots of ahead(objects, (object) => this.#get(object))) {
        if (slots === undefined) break;
        for (const slot of slots) if (slot.slot >= this.#next) yield this.#accept(slot);
      }
      if (this.#next <= this.#contents.last.slot) await this.#lookAgain();
      else if (followEveryMs === undefined) return;
      else yield* this.#follow(followEveryMs);
    }
  }

  /** The error for a part of a slot that is not there. */
  async missing(slot: number): Promise<ArchiveError> {
    this.#contents = await readContents(this.#at);
    const first = firstSlotOf(this.#contents);
    return slot < first ? goneError(slot, first) : gapError(slot);
  }

  /** Asks for the next slot by its name, which costs less than a listing, until it may have been merged. */
  async *#follow(everyMs: number): AsyncGenerator<Slot, void, void> {
    for (let waitedMs = 0; waitedMs < LIST_EVERY_MS; waitedMs += everyMs) {
      for (let slot; (slot = await getSlot(this.#at, this.#next)) !== undefined; waitedMs = 0) yield this.#accept(slot);
      await wait(this.#at, everyMs);
    }
    this.#contents = await readContents(this.#at);
    this.#assertReadable();
  }

  #accept(slot: Slot): Slot {
    if (slot.slot !== this.#next) throw gapError(this.#next);
    if (this.#before !== undefined) assertFollows(this.#before, slot);
    this.#before = slot;
    this.#next++;
    this.#slotBytes = Math.max(slot.body.length, this.#slotBytes / 2);
    this.#misses = 0;
    return slot;
  }

  async #lookAgain(): Promise<void> {
    if (++this.#misses === ATTEMPTS) throw gapError(this.#next);
    const { runs, last } = await readContents(this.#at);
    const isKnown = runs.length === this.#contents.runs.length && last.begin === this.#contents.last.begin;
    this.#contents = { ...this.#contents, runs, last };
    this.#assertReadable();
    // Nothing has been merged or deleted by the writer.
    if (isKnown && this.#misses > 1) throw gapError(this.#next);
  }

  #assertReadable(): void {
    const first = firstSlotOf(this.#contents);
    if (this.#next < first) throw goneError(this.#next, first);
  }

  /** The slots in an object, or undefined if it is not there. */
  async #get({ firstSlot, run }: SlotsObject): Promise<readonly Slot[] | undefined> {
    if (run === undefined) {
      const slot = await getSlot(this.#at, firstSlot);
      return slot && [slot];
    }
    const bytes = await getObject(this.#at, run);
    return bytes && [...decodeRun(run.firstSlot, bytes)];
  }
}

function goneError(slot: number, first: number): ArchiveError {
  const message = `slot ${slot} of the archive is gone: it begins at slot ${first} now`;
  return new ArchiveError('ARCHIVE_GONE', message, { slot });
}

function gapError(slot: number): ArchiveError {
  const message = `slot ${slot} of the archive is missing: something else has deleted it`;
  return new ArchiveError('ARCHIVE_GAP', message, { slot });
}

function wait({ signal, timers }: SlotStore, ms: number): Promise<void> {
  signal.throwIfAborted();
  return unlessAborted(new Promise<void>((resolve) => void timers?.callAfter(ms, resolve)), signal);
}
