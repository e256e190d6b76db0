import type { EntryId } from '../model/entry.js';
import { ArchiveError } from './errors.js';
import { decodeSlot, encodeSlot, slotKey, type Slot, type SlotHeader, type SlotKind } from './slot-format.js';
import { getSlot, lastSlot, listSlots, untilAnswered, type SlotStore } from './slot-store.js';

/** Who writes. */
export interface SlotWriter {
  readonly logId: string;
  /** Different for every opening, so that two openings of one epoch are told apart. */
  readonly writer: string;
  readonly now: () => number;
}

/**
 * The writer's end of the archive's sequence of slots. A slot is an object that is created once and never overwritten,
 * and slots follow each other without a gap. This is what keeps two writers apart:
 *
 * A writer takes over with an object of its own, of a higher epoch, in the slot after the last. Whoever wrote before
 * goes on to that very slot, finds it taken, and is fenced: it cannot pass over it, and retention never deletes it.
 * So whoever has created a slot was the only writer when it was created.
 *
 * The exception is a slot that retention has deleted: a writer that listed the slots long ago may create that one
 * again. So an opening looks again after it has created its slot, and starts over if there are higher ones. What it
 * created lies before `begin`, where nobody reads.
 */
export class Slots {
  readonly #at: SlotStore;
  readonly #by: SlotWriter;
  #last: Slot;
  /** The slots that are known to begin an epoch, and so must not be deleted. */
  readonly #opens = new Set<number>();
  #isFenced = false;

  private constructor(at: SlotStore, by: SlotWriter, last: Slot) {
    this.#at = at;
    this.#by = by;
    this.#last = last;
    this.#opens.add(last.slot);
  }

  /** Takes the archive over: no other writer confirms anything after this has resolved. */
  static async open(at: SlotStore, by: SlotWriter): Promise<Slots> {
    for (;;) {
      const last = await lastSlot(at);
      const opening = nextSlot(last, by, 'open', last?.begin ?? 1);
      const created = await create(at, opening, new Uint8Array());
      if (created === undefined) continue;
      const highest = await lastSlot(at);
      if (highest?.slot === created.slot) return new Slots(at, by, created);
    }
  }

  get epoch(): number {
    return this.#last.epoch;
  }

  /** The last entry in the archive. */
  get lastId(): EntryId {
    return this.#last.lastId;
  }

  /** The slot that was created last. */
  get slot(): number {
    return this.#last.slot;
  }

  get begin(): number {
    return this.#last.begin;
  }

  /** Appends entries up to `lastId`. When it has resolved, they are in every restore at or above `begin`. */
  async append(lastId: EntryId, body: Uint8Array): Promise<void> {
    await this.#append({ ...nextSlot(this.#last, this.#by, 'entries', this.begin), lastId }, body);
  }

  /** Makes `begin` the first slot that a restore needs. Then deletes what lies before it. */
  async retain(begin: number): Promise<void> {
    await this.#append(nextSlot(this.#last, this.#by, 'begin', begin), new Uint8Array());
    const { store, prefix, signal } = this.#at;
    const unneeded: string[] = [];
    for (const slot of await this.#retry(() => listSlots(this.#at))) {
      if (slot < begin && !(await this.#isOpen(slot))) unneeded.push(slotKey(prefix, slot));
    }
    await this.#retry(() => store.delete(unneeded, { signal }));
  }

  async #append(header: SlotHeader, body: Uint8Array): Promise<void> {
    if (this.#isFenced) throw fencedError(header.slot);
    const created = await create(this.#at, header, body);
    if (created === undefined) {
      this.#isFenced = true;
      throw fencedError(header.slot);
    }
    this.#last = created;
  }

  /** Whether a slot that retention would delete begins an epoch. */
  async #isOpen(slot: number): Promise<boolean> {
    if (this.#opens.has(slot)) return true;
    const found = await this.#retry(() => getSlot(this.#at, slot));
    if (found?.kind === 'open') this.#opens.add(slot);
    return found === undefined || found.kind === 'open';
  }

  #retry<T>(request: () => Promise<T>): Promise<T> {
    return untilAnswered(this.#at, request);
  }
}

function nextSlot(last: Slot | undefined, by: SlotWriter, kind: SlotKind, begin: number): SlotHeader {
  const { logId, writer } = by;
  const lastId = last?.lastId ?? 0;
  const epoch = (last?.epoch ?? 0) + (kind === 'open' ? 1 : 0);
  return {
    kind, logId, slot: (last?.slot ?? 0) + 1, epoch, writer, begin, firstId: lastId + 1, lastId, time: by.now(),
    previous: last?.hash ?? '',
  };
}

/**
 * Creates a slot, with the same bytes until the store has answered: a request that was not answered may still be
 * carried out. Returns undefined if another writer's object is in the slot.
 */
async function create(at: SlotStore, header: SlotHeader, body: Uint8Array): Promise<Slot | undefined> {
  const { store, prefix, signal } = at;
  const bytes = encodeSlot(header, body);
  const own = decodeSlot(header.slot, bytes);
  for (;;) {
    const answer = await untilAnswered(at, () => store.create(slotKey(prefix, header.slot), bytes, { signal }));
    if (answer === 'created') return own;
    const found = await untilAnswered(at, () => getSlot(at, header.slot));
    if (found !== undefined) return found.hash === own.hash ? own : undefined;
    // Retention has deleted it in the meantime.
  }
}

function fencedError(slot: number): ArchiveError {
  const message = `another writer has taken the archive over: slot ${slot} is its own. This one archives nothing more`;
  return new ArchiveError('ARCHIVE_FENCED', message, { slot });
}
