import { ArchiveError } from './errors.js';
import { decodeIndex, EMPTY_INDEX, type ArchiveIndex, type Run } from './index-format.js';
import { decodeRun, hashOf, type Slot } from './slot-format.js';
import { getSlot, lastSlot, untilAnswered, type SlotStore } from './slot-store.js';

/** The index that `last`, the last slot, goes by. */
export async function indexOf(at: SlotStore, last: Slot | undefined): Promise<ArchiveIndex> {
  if (last === undefined || last.index === 0) return EMPTY_INDEX;
  const slot = last.index === last.slot ? last : await getSlot(at, last.index);
  if (slot === undefined) throw await missingError(at, last.index);
  return decodeIndex(slot);
}

/**
 * The slots that an archive has, in order, up to the last one there was when it began. Rejects with `ARCHIVE_GAP` if
 * one is missing, and with `ARCHIVE_CORRUPT` if one is damaged or does not follow the one before it.
 */
export async function* readSlots(at: SlotStore): AsyncGenerator<Slot, void, void> {
  const last = await lastSlot(at);
  let before: Slot | undefined;
  const { runs } = await indexOf(at, last);
  for (const run of runs) {
    for (const found of decodeRun(run.firstSlot, await getRun(at, run))) {
      if (before !== undefined) assertFollows(before, found);
      before = found;
      yield found;
    }
  }
  for (let slot = last?.begin ?? 1; slot <= (last?.slot ?? 0); slot++) {
    const found = await getSlot(at, slot);
    if (found === undefined) throw await missingError(at, slot);
    if (before !== undefined) assertFollows(before, found);
    before = found;
    yield found;
  }
}

async function getRun(at: SlotStore, { key, hash, firstSlot }: Run): Promise<Uint8Array> {
  const { store, prefix } = at;
  const bytes = await untilAnswered(at, (signal) => store.get(`${prefix}/${key}`, { signal }));
  if (bytes === undefined) throw await missingError(at, firstSlot);
  if (hashOf(bytes) === hash) return bytes;
  throw new ArchiveError('ARCHIVE_CORRUPT', `${key} of the archive is damaged`, { slot: firstSlot });
}

async function missingError(at: SlotStore, slot: number): Promise<ArchiveError> {
  const begin = (await lastSlot(at))?.begin ?? 1;
  const why = begin > slot ? `the archive begins at slot ${begin} now` : 'something else has deleted it';
  return new ArchiveError('ARCHIVE_GAP', `slot ${slot} of the archive is missing: ${why}`, { slot });
}

/** Throws `ARCHIVE_CORRUPT` if a slot is not the one after `before`. */
export function assertFollows(before: Slot, found: Slot): void {
  const { previous, firstId, epoch } = found;
  if (previous === before.hash && firstId === before.lastId + 1 && epoch >= before.epoch) return;
  const message = `slot ${found.slot} of the archive does not follow the one before it`;
  throw new ArchiveError('ARCHIVE_CORRUPT', message, { slot: found.slot });
}
