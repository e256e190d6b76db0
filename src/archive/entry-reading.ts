import type { EntryId } from '../index.js';
import type { ArchivedEntry } from './archived-entry.js';
import { readBody } from './bodies.js';
import { readThrough, type ArchiveContents } from './contents.js';
import { decodeEntries } from './entries-decoder.js';
import { ArchiveError } from './errors.js';
import type { Slot } from './slot-format.js';
import { SlotStream } from './slot-stream.js';
import { getSlot, type SlotStore } from './slot-store.js';

/** Up to which entry, or up to when, an archive is read. */
export type ArchiveEnd = EntryId | Date | undefined;

/** The entries from `from` to `to`, in order. */
export async function* readEntries(
  at: SlotStore, contents: ArchiveContents, { from, to, followEveryMs }: {
    readonly from: EntryId; readonly to: ArchiveEnd; readonly followEveryMs: number | undefined;
  },
): AsyncGenerator<ArchivedEntry, void, void> {
  const slots = await readThrough(at, contents, async (now) => {
    const slot = await findSlot(at, now, from);
    return slot === undefined ? undefined : new SlotStream(at, now, slot);
  });
  for await (const slot of slots.read(followEveryMs)) {
    at.signal.throwIfAborted();
    if (to instanceof Date ? slot.time > to.getTime() : to !== undefined && slot.firstId > to) return;
    if (slot.kind !== 'entries' || slot.lastId < from) continue;
    for await (const entry of readSlot(at, slot, slots)) {
      if (typeof to === 'number' && entry.id > to) return;
      if (entry.id >= from) yield entry;
    }
    // Without waiting for the next slot.
    if (slot.lastId === to) return;
  }
}

/** The entries of a slot. Throws `ARCHIVE_CORRUPT` if they are not those that its header says. */
export async function* readSlot(
  at: SlotStore, slot: Slot, slots: SlotStream,
): AsyncGenerator<ArchivedEntry, void, void> {
  let [lastId, isWhole] = [slot.firstId - 1, false];
  for await (const entry of decodeEntries(readBody(at, slot, () => slots.missing(slot.slot)))) {
    if (entry.id <= lastId) throw unexpectedError(slot, `entry ${entry.id} comes after entry ${lastId}`);
    lastId = entry.id;
    isWhole = entry.endsBatch;
    yield entry;
  }
  if (lastId !== slot.lastId) throw unexpectedError(slot, `it ends with entry ${lastId}, not with ${slot.lastId}`);
  if (!isWhole) throw unexpectedError(slot, `it ends within a batch, with entry ${lastId}`);
}

/** The number of the slot with the entry `from`, or of one before it; undefined if it has been merged meanwhile. */
async function findSlot(at: SlotStore, { runs, last }: ArchiveContents, from: EntryId): Promise<number | undefined> {
  const run = runs.find(({ lastId }) => lastId >= from);
  if (run !== undefined) return run.firstSlot;
  // The first slot whose entries do not all come before `from`.
  let [low, high] = [last.begin, last.slot + 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const slot = await getSlot(at, middle);
    if (slot === undefined) return undefined;
    if (slot.lastId >= from) high = middle;
    else low = middle + 1;
  }
  return low;
}

function unexpectedError({ slot }: Slot, what: string): ArchiveError {
  const message = `slot ${slot} of the archive has other entries than its header says: ${what}`;
  return new ArchiveError('ARCHIVE_CORRUPT', message, { slot });
}
