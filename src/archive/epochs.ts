import type { EntryId } from '../index.js';
import { ahead } from './ahead.js';
import type { ArchiveContents } from './contents.js';
import type { Slot } from './slot-format.js';
import { ArchiveError } from './errors.js';
import { getSlot, listSlots, type SlotStore } from './slot-store.js';

/**
 * The time in which one opening of an `Archive` wrote.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const epochs: readonly ArchiveEpoch[] = reader.epochs;
 * console.log(epochs.map(({ epoch, firstId }) => `${epoch} from ${firstId}`)); // [ '1 from 1' ]
 * await archive.close();
 */
export interface ArchiveEpoch {
  /** How often the archive had been taken over by then, this time included. */
  readonly epoch: number;
  /** The id that its entries begin with. */
  readonly firstId: EntryId;
  /** When it began. */
  readonly time: Date;
  /** Tells the openings apart. */
  readonly writer: string;
}

/** Every epoch, oldest first. Leaves out what is damaged, so that an archive can be read as far as it is sound. */
export async function readEpochs(at: SlotStore, { last }: ArchiveContents): Promise<ArchiveEpoch[]> {
  const openings: Slot[] = [];
  // Of the slots before `begin`, only these are left, and a few others.
  const old = (await listSlots(at)).filter((slot) => slot <= last.begin);
  let before: Slot | undefined;
  for await (const slot of ahead(old.map((number) => ({ number, length: 0 })), ({ number }) => readable(at, number))) {
    if (slot?.kind === 'open') openings.push(slot);
    before = slot ?? before;
  }
  if (before !== undefined) openings.push(...await openingsBetween(at, before, last));
  return openings.map(({ epoch, firstId, time, writer }) => ({ epoch, firstId, time: new Date(time), writer }));
}

/** The slots that begin an epoch after `from`, up to `to`: found without reading those in between of one epoch. */
async function openingsBetween(at: SlotStore, from: Slot, to: Slot): Promise<Slot[]> {
  if (from.epoch === to.epoch) return [];
  // Others may have been merged meanwhile: those that begin an epoch stay.
  for (let number = Math.floor((from.slot + to.slot) / 2); number < to.slot; number++) {
    const middle = number > from.slot ? await readable(at, number) : undefined;
    if (middle === undefined) continue;
    return [...await openingsBetween(at, from, middle), ...await openingsBetween(at, middle, to)];
  }
  return to.kind === 'open' ? [to] : [];
}

async function readable(at: SlotStore, number: number): Promise<Slot | undefined> {
  try {
    return await getSlot(at, number);
  } catch (error) {
    if (error instanceof ArchiveError) return undefined;
    throw error;
  }
}
