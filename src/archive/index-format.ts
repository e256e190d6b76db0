/**
 * What an archive has besides the slots from `begin` on, as the newest index says: runs, each of many slots merged into
 * one object, and snapshots. Everything that shortens an archive is a new index: merging adds a run, a snapshot adds
 * itself, and retention leaves out what is too old.
 */
import type { EntryId } from '../index.js';
import { ArchiveError } from './errors.js';
import type { Part, Slot } from './slot-format.js';

/** Slots that follow each other, in one object. The object may be the only slot in it. */
export interface Run extends Part {
  readonly firstSlot: number;
  readonly lastSlot: number;
  readonly firstId: EntryId;
  readonly lastId: EntryId;
  /** When its last slot was written, in ms since 1970. */
  readonly time: number;
  /** The keys of the parts that its slots name. */
  readonly parts: readonly string[];
}

/** The state of the user's own storage when it had all entries up to `lastId`. */
export interface StoredSnapshot {
  readonly lastId: EntryId;
  /** When it was taken, in ms since 1970. */
  readonly time: number;
  /** How each of its parts is compressed. */
  readonly compress?: 'gzip';
  readonly parts: readonly Part[];
}

export interface ArchiveIndex {
  /** Oldest first. They hold the slots before `begin`, as far as they are kept, without a gap. */
  readonly runs: readonly Run[];
  /** Oldest first. */
  readonly snapshots: readonly StoredSnapshot[];
}

export const EMPTY_INDEX: ArchiveIndex = { runs: [], snapshots: [] };

export function encodeIndex({ runs, snapshots }: ArchiveIndex): Uint8Array {
  return Buffer.from(JSON.stringify({ runs, snapshots }));
}

/** The index in a slot. Throws `ARCHIVE_CORRUPT` if there is none. */
export function decodeIndex({ slot, kind, body }: Slot): ArchiveIndex {
  try {
    if (kind !== 'index') throw new Error(`its kind is ${kind}`);
    const { runs, snapshots } = JSON.parse(Buffer.from(body).toString()) as ArchiveIndex;
    return { runs, snapshots };
  } catch (cause) {
    const message = `slot ${slot} of the archive is not the index that others take it for: ${(cause as Error).message}`;
    throw new ArchiveError('ARCHIVE_CORRUPT', message, { slot, cause });
  }
}
