import { ArchiveError } from './errors.js';
import type { Run, StoredSnapshot } from './index-format.js';
import type { Slot } from './slot-format.js';
import { indexOf } from './slot-reader.js';
import { lastSlot, type SlotStore } from './slot-store.js';

/** How often what was just listed may be gone: each time, merging or retention has been faster. */
const ATTEMPTS = 10;

/** What an archive consists of: the slots up to `begin` are in its runs. */
export interface ArchiveContents {
  readonly last: Slot;
  readonly runs: readonly Run[];
  readonly snapshots: readonly StoredSnapshot[];
}

/** One object to read: a run of slots, or a slot. */
export interface SlotsObject {
  readonly firstSlot: number;
  readonly lastSlot: number;
  readonly run: Run | undefined;
  readonly length: number;
}

/** Rejects with `ARCHIVE_NOT_FOUND` if there is no archive. */
export async function readContents(at: SlotStore): Promise<ArchiveContents> {
  for (let attempt = 1; ; attempt++) {
    const last = await lastSlot(at);
    if (last === undefined) throw new ArchiveError('ARCHIVE_NOT_FOUND', `there is no archive below ${at.prefix}/`);
    try {
      return { last, ...await indexOf(at, last) };
    } catch (error) {
      const isGone = error instanceof ArchiveError && error.code === 'ARCHIVE_GAP';
      if (!isGone || attempt === ATTEMPTS) throw error;
    }
  }
}

/**
 * What `read` resolves with for what the archive consists of: for `contents`, or for what it consists of by then, as
 * long as `read` finds something gone, and resolves with undefined.
 */
export async function readThrough<T>(
  at: SlotStore, contents: ArchiveContents, read: (contents: ArchiveContents) => Promise<T | undefined>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const found = await read(contents);
    if (found !== undefined) return found;
    const { slot } = contents.last;
    const message = `slots of the archive up to ${slot} are missing: something else has deleted them`;
    if (attempt === ATTEMPTS) throw new ArchiveError('ARCHIVE_GAP', message, { slot });
    contents = await readContents(at);
  }
}

export function firstSlotOf({ last, runs }: ArchiveContents): number {
  return runs.length > 0 ? runs[0].firstSlot : last.begin;
}

/** The objects with the slots from `first` on, in order. How long a slot is, only `slotBytes` can guess. */
export function* objectsFrom(
  { last, runs }: ArchiveContents, first: number, slotBytes: () => number,
): Generator<SlotsObject, void, void> {
  for (const run of runs) {
    if (run.lastSlot >= first) yield { firstSlot: run.firstSlot, lastSlot: run.lastSlot, run, length: run.length };
  }
  for (let slot = Math.max(first, last.begin); slot <= last.slot; slot++) {
    yield { firstSlot: slot, lastSlot: slot, run: undefined, length: slotBytes() };
  }
}
