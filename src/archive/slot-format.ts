/**
 * The bytes of a slot: a line of JSON, the header, and the body after it. The line makes an object readable with the
 * tools that every store comes with.
 */
import { createHash } from 'node:crypto';
import type { EntryId } from '../model/entry.js';
import { ArchiveError } from './errors.js';

/** The version of this format. */
const FORMAT = 1;
/** The digits of a slot in its key: keys sort as their numbers do. */
const SLOT_DIGITS = 16;
const NEW_LINE = 0x0a;

/** What a slot holds: the beginning of an epoch, entries, or where the archive begins from now on. */
export type SlotKind = 'open' | 'entries' | 'begin';

/** What stands before the body. */
export interface SlotHeader {
  readonly kind: SlotKind;
  readonly logId: string;
  readonly slot: number;
  /** How often the archive has been taken over, this time included. */
  readonly epoch: number;
  /** Tells the writers of one epoch apart. */
  readonly writer: string;
  /** The first slot that a restore needs. */
  readonly begin: number;
  /** The first and the last entry in the body; without entries, the next id and the last one before it. */
  readonly firstId: EntryId;
  readonly lastId: EntryId;
  /** When it was written, in ms since 1970. */
  readonly time: number;
  /** The hash of the object before this one in the archive's order; empty for the first. */
  readonly previous: string;
}

/** An object of the archive's sequence. */
export interface Slot extends SlotHeader {
  readonly body: Uint8Array;
  /** The hash of the whole object. */
  readonly hash: string;
}

export function slotPrefix(prefix: string): string {
  return `${prefix}/log/`;
}

export function slotKey(prefix: string, slot: number): string {
  return `${slotPrefix(prefix)}${String(slot).padStart(SLOT_DIGITS, '0')}`;
}

/** The slot with `key`; undefined if it is no key of a slot. */
export function parseSlotKey(prefix: string, key: string): number | undefined {
  const digits = key.slice(slotPrefix(prefix).length);
  const slot = /^\d+$/.test(digits) && digits.length === SLOT_DIGITS ? Number(digits) : NaN;
  return Number.isSafeInteger(slot) ? slot : undefined;
}

export function encodeSlot(header: SlotHeader, body: Uint8Array): Uint8Array {
  const { kind, logId, slot, epoch, writer, begin, firstId, lastId, time, previous } = header;
  const fields = { format: FORMAT, kind, logId, slot, epoch, writer, begin, firstId, lastId, time, previous };
  return Buffer.concat([Buffer.from(`${JSON.stringify({ ...fields, body: hashOf(body) })}\n`), body]);
}

/** The slot in the bytes of object number `slot`. Throws `ARCHIVE_CORRUPT` if they are not those of one. */
export function decodeSlot(slot: number, bytes: Uint8Array): Slot {
  try {
    const end = bytes.indexOf(NEW_LINE);
    const { format, body: bodyHash, ...header } = JSON.parse(
      Buffer.from(bytes.subarray(0, end)).toString(),
    ) as SlotHeader & { readonly format: unknown; readonly body: unknown };
    if (format !== FORMAT) throw new Error(`its format is ${String(format)}, and this version reads ${FORMAT}`);
    if (header.slot !== slot) throw new Error(`it says that it is slot ${header.slot}`);
    const body = bytes.subarray(end + 1);
    if (bodyHash !== hashOf(body)) throw new Error('its hash is not that of its body');
    return { ...header, body, hash: hashOf(bytes) };
  } catch (cause) {
    const message = `slot ${slot} of the archive is damaged: ${(cause as Error).message}`;
    throw new ArchiveError('ARCHIVE_CORRUPT', message, { slot, cause });
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
