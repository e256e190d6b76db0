import { assert } from '../base/assert.js';
import type { Entry, EntryId, Hold, WriteAheadLog } from '../index.js';
import { WalError } from '../index.js';
import type { ArchivedEntry } from './archived-entry.js';
import type { EntryToArchive } from './entries-format.js';
import { hashOfEntry } from './entry-hash.js';
import { readEntries } from './entry-reading.js';
import { ArchiveError } from './errors.js';
import { follow, type Following } from './following.js';
import type { Slot } from './slot-format.js';
import { indexOf } from './slot-reader.js';
import type { SlotStore } from './slot-store.js';
import { Slots, type SlotWriter } from './slots.js';

/** An archive that has been taken over, and what the log has for it. */
export interface Takeover {
  readonly slots: Slots;
  /** Keeps what the archive needs next in the log. */
  readonly hold: Hold;
  /** The entries that come next. */
  readonly following: Following;
}

/**
 * Takes an archive over for a log. The log's end is compared with the archive's first: a log that is not the one whose
 * entries are there must not fence the one that is.
 */
export async function takeOver(
  log: WriteAheadLog, at: SlotStore, by: SlotWriter, holdBytes: number,
): Promise<Takeover> {
  const kept = holdNames(at.prefix).some((name) => log.existingHold(name)?.isBroken === false);
  let hold = await firstHold(log, at.prefix, holdBytes);
  const firstId = hold.from;
  let following: Following | undefined;
  const check = async (last: Slot | undefined): Promise<void> => {
    await following?.entries.return?.();
    if (last !== undefined) {
      assertSameLog(last, by.logId);
      assertNotAhead(last, log);
      if (hold.from > last.lastId + 1) hold = await movedBack(log, hold, at.prefix, holdBytes, last);
    }
    // Before anything is compared: what the log loses from here on, this notices.
    following = follow(log, last === undefined ? firstId : last.lastId + 1);
    if (last === undefined) return;
    await assertSameEntry(last, log);
    // Before them, the hold has refused every truncation.
    if (kept) await assertSameEntries(last, log, at, firstId);
  };
  try {
    const slots = await Slots.open(at, by, { firstId, check });
    assert(following !== undefined, 'an opening checks the end of the archive');
    return { slots, hold, following };
  } catch (error) {
    await following?.entries.return?.();
    if (!kept) await hold.release().catch(() => undefined);
    throw error;
  }
}

/** The names that the hold of an archive may have. A hold cannot move back, but one of another name can take over. */
function holdNames(prefix: string): readonly string[] {
  return [`archive ${prefix}`, `archive ${prefix}, moved back`];
}

/** The hold of an archive, or a new one. One that is broken keeps nothing, and is begun again. */
async function firstHold(log: WriteAheadLog, prefix: string, maxBytes: number): Promise<Hold> {
  const holds = holdNames(prefix).map((name) => log.existingHold(name)).filter((hold) => hold !== undefined);
  const [lowest] = holds.filter(({ isBroken }) => !isBroken).sort((a, b) => a.from - b.from);
  for (const hold of holds) if (hold !== lowest) await hold.release();
  return log.hold(lowest?.name ?? holdNames(prefix)[0], { maxBytes });
}

/**
 * A hold that begins with the archive's last entry, to compare it, or with the next one if it is gone. The one there
 * is keeps what it does until this one is durable.
 */
async function movedBack(
  log: WriteAheadLog, hold: Hold, prefix: string, maxBytes: number, { lastId, slot }: Slot,
): Promise<Hold> {
  const name = holdNames(prefix).find((other) => other !== hold.name) ?? '';
  for (const from of [lastId, lastId + 1]) {
    const moved = await log.hold(name, { maxBytes, from }).catch(ignoreGone);
    if (moved === undefined) continue;
    await hold.release();
    return moved;
  }
  const message = `the archive ends with entry ${lastId}, and the log no longer has the one after it`;
  throw new ArchiveError('ARCHIVE_GAP', message, { slot, lastId });
}

function ignoreGone(error: unknown): undefined {
  if (!hasCode(error, 'WAL_POSITION_GONE')) throw error;
  return undefined;
}

function assertSameLog({ logId, slot, lastId }: Slot, expected: string): void {
  if (logId === expected) return;
  const message = `the archive is of another log, ${logId}; this one is ${expected}`;
  throw new ArchiveError('ARCHIVE_DIVERGED', message, { slot, lastId });
}

function assertNotAhead({ lastId, slot }: Slot, log: WriteAheadLog): void {
  const { nextId } = log.stats();
  if (lastId < nextId) return;
  const message = `the archive has entries up to ${lastId}, and the log only up to ${nextId - 1}: restore it first`;
  throw new ArchiveError('ARCHIVE_AHEAD', message, { slot, lastId });
}

/** Compares the archive's last entry with the log's of that id, if the log still has it. */
async function assertSameEntry(last: Slot, log: WriteAheadLog): Promise<void> {
  const { lastId, lastHash } = last;
  if (lastHash === '') return;
  const entries = log.entries({ from: lastId });
  try {
    const next = await entries.next();
    if (next.done !== true && next.value.id === lastId && (await hashOfEntry(next.value)) === lastHash) return;
  } catch (error) {
    // Only the one after it is needed.
    if (hasCode(error, 'WAL_POSITION_GONE')) return;
    throw error;
  } finally {
    await entries.return?.();
  }
  throw divergedError(lastId, last);
}

/** Compares the entries from `from` on that the archive and the log have. The last ones may be equal by chance. */
async function assertSameEntries(last: Slot, log: WriteAheadLog, at: SlotStore, from: EntryId): Promise<void> {
  if (from >= last.lastId) return;
  const contents = { last, ...await indexOf(at, last) };
  let entries: AsyncIterableIterator<Entry> | undefined;
  try {
    for await (const archived of readEntries(at, contents, { from, to: last.lastId, followEveryMs: undefined })) {
      entries ??= log.entries({ from: archived.id });
      const next = await entries.next();
      const isSame = next.done !== true && next.value.id === archived.id
        && (await hashOfEntry(next.value)) === (await hashOfEntry(toCompare(archived)));
      if (!isSame) throw divergedError(archived.id, last);
    }
  } catch (error) {
    if (!hasCode(error, 'WAL_POSITION_GONE')) throw error;
  } finally {
    await entries?.return?.();
  }
}

function toCompare(entry: ArchivedEntry): EntryToArchive {
  const { id, endsBatch, versionInfo } = entry;
  return {
    id, endsBatch, segment: { versionInfo }, chunksInMemory: () => entry.chunksInMemory(),
    [Symbol.asyncIterator]: () => entry[Symbol.asyncIterator](),
  };
}

function divergedError(id: EntryId, { slot, lastId }: Slot): ArchiveError {
  const message = `entry ${id} of the archive is not the log's: the two have been written to apart from each other`;
  return new ArchiveError('ARCHIVE_DIVERGED', message, { slot, lastId });
}

function hasCode(error: unknown, code: WalError['code']): boolean {
  return error instanceof WalError && error.code === code;
}
