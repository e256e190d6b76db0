/**
 * The bytes of a slot: a line of JSON, the header, and the body after it. The line makes an object readable with the
 * tools that every store comes with. Its hash names the slot, body included, since the line states the body's.
 */
import { createHash, hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { EntryId } from '../index.js';
import { ArchiveError } from './errors.js';

/** The version of this format. */
const FORMAT = 1;
/** The digits of a slot in its key: keys sort as their numbers do. */
const SLOT_DIGITS = 16;
const NEW_LINE = 0x0a;
/** How much is hashed at once: about a millisecond's work. */
const PIECE_BYTES = 1024 * 1024;

/** What a slot holds: the beginning of an epoch, entries, or an `ArchiveIndex`. */
export type SlotKind = 'open' | 'entries' | 'index';

/** An object with a body, or with a part of one, that is stored before the slot that names it. */
export interface Part {
  /** Its key after the archive's prefix, such as `runs/…`. */
  readonly key: string;
  /** The length of the object in bytes. */
  readonly length: number;
  /** The SHA-256 of the object in hexadecimal digits. */
  readonly hash: string;
}

/** What stands before the body. */
export interface SlotHeader {
  readonly kind: SlotKind;
  readonly logId: string;
  readonly slot: number;
  /** How often the archive has been taken over, this time included. */
  readonly epoch: number;
  /** Tells the writers of one epoch apart. */
  readonly writer: string;
  /** The slots from here on are there. What came before is in the runs of the index, or dropped. */
  readonly begin: number;
  /** The newest slot with an index, maybe this one; 0 if there is none. */
  readonly index: number;
  /** The first and the last id in the body; without entries, the next id and the last one before it. */
  readonly firstId: EntryId;
  readonly lastId: EntryId;
  /** The hash of the entry `lastId`, to tell two logs apart that have different entries of that id; else empty. */
  readonly lastHash: string;
  /** When it was written, in ms since 1970. */
  readonly time: number;
  /** The hash of the slot before this one; empty for the first. */
  readonly previous: string;
  /** How the body is compressed, each part for itself. */
  readonly compress?: 'gzip';
  /** The objects that the body of entries is in, in order. Then there is none in the slot itself. */
  readonly parts?: readonly Part[];
}

/** An object of the archive's sequence. */
export interface Slot extends SlotHeader {
  readonly body: Uint8Array;
  /** The hash of its header's line. */
  readonly hash: string;
}

/** A header as its line states it. */
interface StoredHeader extends SlotHeader {
  readonly format: unknown;
  readonly length: number;
  readonly body: string;
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

export function encodeSlot(header: SlotHeader, body: Uint8Array, bodyHash = hashOf(body)): Uint8Array {
  const { kind, logId, slot, epoch, writer, begin, index, firstId, lastId, lastHash, time, previous } = header;
  const { compress, parts } = header;
  const ids = { slot, epoch, writer, begin, index, firstId, lastId, lastHash };
  const content = { compress, parts, length: body.length, body: bodyHash };
  const line = JSON.stringify({ format: FORMAT, kind, logId, ...ids, time, previous, ...content });
  return Buffer.concat([Buffer.from(`${line}\n`), body]);
}

/** The slot in the bytes of object number `slot`. Throws `ARCHIVE_CORRUPT` if they are not those of one. */
export function decodeSlot(slot: number, bytes: Uint8Array): Slot {
  return decoded(slot, () => {
    const { found, end } = decodeNext(bytes, 0, true);
    if (found.slot !== slot) throw new Error(`it says that it is slot ${found.slot}`);
    if (end !== bytes.length) throw new Error(`it has ${bytes.length} bytes, not ${end}`);
    return found;
  });
}

/** The hash of the slot in `bytes`. */
export function hashOfLine(bytes: Uint8Array): string {
  return hashOf(bytes.subarray(0, bytes.indexOf(NEW_LINE) + 1));
}

/** What a slot is in a run: its own bytes, but without the body of an index. */
export function encodeForRun(slotBytes: Uint8Array, { kind }: SlotHeader): Uint8Array {
  return kind === 'index' ? slotBytes.subarray(0, slotBytes.indexOf(NEW_LINE) + 1) : slotBytes;
}

/** The slots from `firstSlot` on in the bytes of a run. Throws `ARCHIVE_CORRUPT` if they are something else. */
export function* decodeRun(firstSlot: number, bytes: Uint8Array): Generator<Slot, void, void> {
  for (let at = 0, slot = firstSlot; at < bytes.length; slot++) {
    const { found, end } = decoded(slot, () => decodeNext(bytes, at, false));
    yield found;
    at = end;
  }
}

function decoded<T>(slot: number, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    const message = `slot ${slot} of the archive is damaged: ${(cause as Error).message}`;
    throw new ArchiveError('ARCHIVE_CORRUPT', message, { slot, cause });
  }
}

/** The slot that begins at `at`, and where it ends. */
function decodeNext(bytes: Uint8Array, at: number, isWhole: boolean): { found: Slot; end: number } {
  const lineEnd = bytes.indexOf(NEW_LINE, at) + 1;
  const line = Buffer.from(bytes.subarray(at, lineEnd));
  const { format, body: bodyHash, length, ...header } = JSON.parse(line.toString()) as StoredHeader;
  if (format !== FORMAT) throw new Error(`its format is ${String(format)}, and this version reads ${FORMAT}`);
  const hasBody = isWhole || header.kind !== 'index';
  const end = lineEnd + (hasBody ? length : 0);
  const body = bytes.subarray(lineEnd, end);
  if (hasBody && bodyHash !== hashOf(body)) throw new Error('its hash is not that of its body');
  return { found: { ...header, body, hash: hashOf(line) }, end };
}

/** `hashOf` for what may be long: lets the event loop turn now and then. */
export async function hashInTurns(bytes: Uint8Array): Promise<string> {
  if (bytes.length <= PIECE_BYTES) return hashOf(bytes);
  const hashing = createHash('sha256');
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    hashing.update(bytes.subarray(at, at + PIECE_BYTES));
    await setImmediate();
  }
  return hashing.digest('hex');
}

export function hashOf(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}
