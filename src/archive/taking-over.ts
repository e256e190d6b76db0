import type { Hold, WriteAheadLog } from '../index.js';
import { WalError } from '../index.js';
import { hashOfEntry } from './entry-hash.js';
import { ArchiveError } from './errors.js';
import type { Slot } from './slot-format.js';
import type { SlotStore } from './slot-store.js';
import { Slots, type SlotWriter } from './slots.js';

/** An archive that has been taken over, and the hold that keeps what it needs next in the log. */
export interface Takeover {
  readonly slots: Slots;
  readonly hold: Hold;
}

/**
 * Takes an archive over for a log. The log's end is compared with the archive's first: a log that is not the one whose
 * entries are there must not fence the one that is.
 */
export async function takeOver(
  log: WriteAheadLog, at: SlotStore, by: SlotWriter, holdBytes: number,
): Promise<Takeover> {
  const name = holdName(at.prefix);
  let hold = await log.hold(name, { maxBytes: holdBytes }).catch(async (error: unknown) => {
    if (!hasCode(error, 'WAL_HOLD_BROKEN')) throw error;
    return renewedHold(log, name, holdBytes, undefined);
  });
  const firstId = hold.from;
  const check = async (last: Slot | undefined): Promise<void> => {
    if (last === undefined) return;
    assertSameLog(last, by.logId);
    assertNotAhead(last, log);
    if (hold.from > last.lastId) hold = await holdFrom(log, name, holdBytes, last);
    await assertSameEntry(last, log);
  };
  const slots = await Slots.open(at, by, { firstId, check });
  return { slots, hold };
}

export function holdName(prefix: string): string {
  return `archive ${prefix}`;
}

/** A hold that begins with the archive's last entry, to compare it, or with the next one if it is gone. */
async function holdFrom(log: WriteAheadLog, name: string, holdBytes: number, { lastId, slot }: Slot): Promise<Hold> {
  if (lastId > 0) {
    const hold = await renewedHold(log, name, holdBytes, lastId).catch(ignoreGone);
    if (hold !== undefined) return hold;
  }
  const hold = await renewedHold(log, name, holdBytes, lastId + 1).catch(ignoreGone);
  if (hold !== undefined) return hold;
  const message = `the archive ends with entry ${lastId}, and the log no longer has the one after it`;
  throw new ArchiveError('ARCHIVE_GAP', message, { slot, lastId });
}

/** A hold cannot move back: it is released, and begun again. */
async function renewedHold(
  log: WriteAheadLog, name: string, maxBytes: number, from: number | undefined,
): Promise<Hold> {
  const hold = await log.hold(name, { maxBytes }).catch((error: unknown) => {
    if (!hasCode(error, 'WAL_HOLD_BROKEN')) throw error;
    return undefined;
  });
  if (hold !== undefined && from !== undefined && hold.from <= from) return hold;
  await hold?.release();
  return log.hold(name, { maxBytes, ...(from !== undefined && { from }) });
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
async function assertSameEntry({ lastId, lastHash, slot }: Slot, log: WriteAheadLog): Promise<void> {
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
  const message = `entry ${lastId} of the archive is not the log's: the two have been written to apart from each other`;
  throw new ArchiveError('ARCHIVE_DIVERGED', message, { slot, lastId });
}

function hasCode(error: unknown, code: WalError['code']): boolean {
  return error instanceof WalError && error.code === code;
}
