import { ArchiveError } from './errors.js';
import type { Slot } from './slot-format.js';
import { getSlot, lastSlot, untilAnswered, type SlotStore } from './slot-store.js';

/**
 * The slots that a restore needs, in order, up to the last one there was when it began. Rejects with `ARCHIVE_GAP` if
 * one is missing, and with `ARCHIVE_CORRUPT` if one is damaged or does not follow the one before it.
 */
export async function* readSlots(at: SlotStore): AsyncGenerator<Slot, void, void> {
  const last = await lastSlot(at);
  let before: Slot | undefined;
  for (let slot = last?.begin ?? 1; slot <= (last?.slot ?? 0); slot++) {
    const found = await untilAnswered(at, () => getSlot(at, slot));
    if (found === undefined) throw await missingError(at, slot);
    if (before !== undefined) assertFollows(before, found);
    before = found;
    yield found;
  }
}

async function missingError(at: SlotStore, slot: number): Promise<ArchiveError> {
  const begin = (await lastSlot(at))?.begin ?? 1;
  const why = begin > slot ? `the archive begins at slot ${begin} since` : 'it was deleted by something else';
  return new ArchiveError('ARCHIVE_GAP', `slot ${slot} of the archive is missing: ${why}`, { slot });
}

function assertFollows(before: Slot, found: Slot): void {
  const isNext = found.previous === before.hash && found.firstId === before.lastId + 1 && found.epoch >= before.epoch;
  if (isNext) return;
  const message = `slot ${found.slot} of the archive does not follow the one before it`;
  throw new ArchiveError('ARCHIVE_CORRUPT', message, { slot: found.slot });
}
