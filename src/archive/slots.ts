import { Serial } from '../base/async.js';
import type { EntryId } from '../index.js';
import { ArchiveError } from './errors.js';
import { encodeIndex, type ArchiveIndex } from './index-format.js';
import { encodeSlot, hashInTurns, hashOfLine, slotKey } from './slot-format.js';
import type { Part, Slot, SlotHeader, SlotKind } from './slot-format.js';
import { getSlot, lastSlot, listSlots, untilAnswered, type SlotStore } from './slot-store.js';

const NO_BODY = new Uint8Array();
/** What is not deleted then is left to the next time. */
const DELETE_ATTEMPTS = 3;

/** Who writes. */
export interface SlotWriter {
  readonly logId: string;
  /** Different for every opening, so that two openings of one epoch are told apart. */
  readonly writer: string;
  readonly now: () => number;
}

/** Entries for the next slot. */
export interface SlotEntries {
  readonly lastId: EntryId;
  /** The hash of the last of them. */
  readonly lastHash: string;
  readonly body: Uint8Array;
  readonly compress?: 'gzip';
  readonly parts?: readonly Part[];
}

/** How an archive is taken over. */
export interface Opening {
  /** The id that an archive without any entry begins with. */
  readonly firstId: EntryId;
  /** Rejects if the writer must not continue after `last`. Nothing has been written then. */
  readonly check: (last: Slot | undefined) => Promise<void>;
}

/**
 * The writer's end of the archive's sequence of slots. A slot is an object that is created once and never overwritten,
 * and slots follow each other without a gap. This is what keeps two writers apart:
 *
 * A writer takes over with an object of its own, of a higher epoch, in the slot after the last. The writer before it
 * comes to that very slot, finds it taken, and is fenced: it never tries a later slot, and retention never deletes
 * this one. So a writer that has created a slot was the only writer when it did.
 *
 * The exception is a slot that has been deleted: a writer that listed the slots long ago may create that one again.
 * So an opening looks again after it has created its slot, and starts over if there are higher ones. What it created
 * lies before `begin`, where nothing is read.
 *
 * Nothing else is needed. In particular no writer and no reader has to compare epochs: a slot from `begin` on that was
 * created by a fenced writer does not exist, since each writer goes on from the slot of its own that it has seen last,
 * one at a time. Without that, a writer would have to pass over the slots of lower epochs, and readers to ignore them.
 */
export class Slots {
  readonly #at: SlotStore;
  readonly #by: SlotWriter;
  readonly #serial = new Serial();
  #last: Slot;
  /** The slots that are known to begin an epoch, and so must not be deleted. */
  readonly #opens = new Set<number>();
  #fenced: ArchiveError | undefined;

  private constructor(at: SlotStore, by: SlotWriter, last: Slot) {
    this.#at = at;
    this.#by = by;
    this.#last = last;
    this.#opens.add(last.slot);
  }

  /** Takes the archive over: no other writer confirms anything after this has resolved. */
  static async open(at: SlotStore, by: SlotWriter, { firstId, check }: Opening): Promise<Slots> {
    for (;;) {
      const last = await lastSlot(at);
      await check(last);
      const opening = last === undefined ? firstSlot(by, firstId) : nextSlot(last, by, 'open');
      const { slot, isOwn } = await create(at, opening, NO_BODY);
      if (!isOwn) continue;
      const highest = await lastSlot(at);
      if (highest?.slot === slot.slot) return new Slots(at, by, slot);
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

  /** The first slot that is not in a run. */
  get begin(): number {
    return this.#last.begin;
  }

  /** The slot with the newest index; 0 if there is none. */
  get index(): number {
    return this.#last.index;
  }

  /** Appends entries. When it has resolved, they are in every restore. */
  append({ body, ...entries }: SlotEntries): Promise<void> {
    return this.#append((last) => ({ ...nextSlot(last, this.#by, 'entries'), ...entries }), body);
  }

  /**
   * Appends an index: from now on, what lies before `begin` is in its runs. They must be stored, and hold all that is
   * to be kept. Two must not be appended at once.
   */
  appendIndex(begin: number, index: ArchiveIndex): Promise<void> {
    const header = (last: Slot): SlotHeader => {
      const next = nextSlot(last, this.#by, 'index');
      return { ...next, begin, index: next.slot };
    };
    return this.#append(header, encodeIndex(index));
  }

  /** Deletes the slots before `begin`, except those that begin an epoch, and those in `kept`, which are runs. */
  async deleteBefore(begin: number, kept: ReadonlySet<number>): Promise<void> {
    const { store, prefix } = this.#at;
    const unneeded: string[] = [];
    for (const slot of await listSlots(this.#at)) {
      if (slot < begin && !kept.has(slot) && !(await this.#isOpen(slot))) unneeded.push(slotKey(prefix, slot));
    }
    if (unneeded.length === 0) return;
    const { attempts = DELETE_ATTEMPTS } = this.#at;
    await untilAnswered({ ...this.#at, attempts }, (signal) => store.delete(unneeded, { signal }));
  }

  /** Rejects with `ARCHIVE_FENCED` if another writer has taken over. */
  assertNotFenced(): Promise<void> {
    return this.#serial.run(async () => {
      const next = await getSlot(this.#at, this.#last.slot + 1);
      if (next !== undefined) this.#fenced ??= fencedError(next);
      if (this.#fenced !== undefined) throw this.#fenced;
    });
  }

  /** One slot after the other: each names the one before. */
  #append(header: (last: Slot) => SlotHeader, body: Uint8Array): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#fenced !== undefined) throw this.#fenced;
      const { slot, isOwn } = await create(this.#at, header(this.#last), body);
      if (!isOwn) {
        this.#fenced = fencedError(slot);
        throw this.#fenced;
      }
      this.#last = slot;
    });
  }

  /** Whether a slot that would be deleted begins an epoch. */
  async #isOpen(slot: number): Promise<boolean> {
    if (this.#opens.has(slot)) return true;
    const found = await getSlot(this.#at, slot);
    if (found?.kind === 'open') this.#opens.add(slot);
    return found === undefined || found.kind === 'open';
  }
}

function firstSlot({ logId, writer, now }: SlotWriter, firstId: EntryId): SlotHeader {
  const ids = { slot: 1, epoch: 1, begin: 1, index: 0, firstId, lastId: firstId - 1, lastHash: '' };
  return { kind: 'open', logId, writer, ...ids, time: now(), previous: '' };
}

/** The slot after `last`, with no entries in it. */
function nextSlot(last: Slot, { logId, writer, now }: SlotWriter, kind: SlotKind): SlotHeader {
  const { slot, begin, index, lastId, lastHash, hash } = last;
  const epoch = last.epoch + (kind === 'open' ? 1 : 0);
  const ids = { slot: slot + 1, epoch, begin, index, firstId: lastId + 1, lastId, lastHash };
  return { kind, logId, writer, ...ids, time: now(), previous: hash };
}

/**
 * Creates a slot, with the same bytes until the store has answered: a request that was not answered may still be
 * carried out. Resolves with what is in the slot now, without its body: another writer's if there was one before.
 */
async function create(
  at: SlotStore, header: SlotHeader, body: Uint8Array,
): Promise<{ readonly slot: Slot; readonly isOwn: boolean }> {
  const { store, prefix } = at;
  const bytes = encodeSlot(header, body, await hashInTurns(body));
  const own = { ...header, hash: hashOfLine(bytes), body: NO_BODY };
  for (;;) {
    const answer = await untilAnswered(at, (signal) => store.create(slotKey(prefix, header.slot), bytes, { signal }));
    if (answer === 'created') return { slot: own, isOwn: true };
    const found = await getSlot(at, header.slot);
    if (found !== undefined) return { slot: { ...found, body: NO_BODY }, isOwn: found.hash === own.hash };
    // Retention has deleted it in the meantime.
  }
}

function fencedError({ slot, writer, lastId }: Slot): ArchiveError {
  const message = `another writer, ${writer}, has taken the archive over after entry ${lastId}`;
  return new ArchiveError('ARCHIVE_FENCED', `${message}: this one archives nothing more`, { slot, lastId });
}
