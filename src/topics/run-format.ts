/**
 * A run holds the messages that were still wanted when their segment was checkpointed, or runs were merged: sorted by
 * topic, then id. A file, from its beginning:
 *
 *     header    "swr", version 1, number of the run (u64), salt (u32), CRC-32 of that
 *     records   length of the rest (u32), CRC-32 (u32) of the id and the entry, id (u64), the message's entry
 *     index     for each topic, ascending: topic (u32), count (u32), first id, last id, offset of its first record,
 *               bytes of its records, first time, last time (u64 each)
 *     trailer   offset of the index (u64), topics in it (u32), CRC-32 of the index and these (u32), "swr!"
 *
 * Little-endian throughout. The CRC-32 of a record starts from the salt plus its offset, so that neither a stale record
 * nor one that was written elsewhere is taken for it.
 */
import { readU64, writeU32, writeU64 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import type { EntryId } from '../index.js';

export const RUN_VERSION = 1;
export const RUN_HEADER_LENGTH = 20;
export const RECORD_HEADER_LENGTH = 16;
export const SLICE_LENGTH = 56;
export const TRAILER_LENGTH = 20;
const MAGIC = Buffer.from('swr');
const END_MAGIC = Buffer.from('swr!');

/** The messages of one topic in a run. */
export interface Slice {
  readonly topic: number;
  readonly count: number;
  readonly firstId: EntryId;
  readonly lastId: EntryId;
  readonly offset: number;
  readonly bytes: number;
  readonly firstTime: number;
  readonly lastTime: number;
}

export function encodeRunHeader(number: number, salt: number): Buffer {
  const bytes = Buffer.alloc(RUN_HEADER_LENGTH);
  bytes.set(MAGIC);
  bytes[3] = RUN_VERSION;
  writeU64(bytes, number, 4);
  writeU32(bytes, salt, 12);
  writeU32(bytes, crc32(bytes.subarray(0, 16)), 16);
  return bytes;
}

/** What the header says; undefined if it is none. */
export function decodeRunHeader(bytes: Buffer): { version: number; number: number; salt: number } | undefined {
  if (bytes.length < RUN_HEADER_LENGTH || !bytes.subarray(0, 3).equals(MAGIC)) return undefined;
  if (bytes.readUInt32LE(16) !== crc32(bytes.subarray(0, 16))) return undefined;
  return { version: bytes[3], number: readU64(bytes, 4), salt: bytes.readUInt32LE(12) };
}

/** Writes the record of a message at `at` in `target`, which will stand at `offset` in its run. */
export function writeRecord(
  target: Buffer, at: number, { id, bytes }: { id: EntryId; bytes: Buffer }, salt: number, offset: number,
): void {
  writeU32(target, 8 + bytes.length, at);
  writeU64(target, id, at + 8);
  target.set(bytes, at + RECORD_HEADER_LENGTH);
  const idAndEntry = target.subarray(at + 8, at + RECORD_HEADER_LENGTH + bytes.length);
  writeU32(target, crc32(idAndEntry, (salt + offset) >>> 0), at + 4);
}

/** The length of the record whose header begins `bytes` at `at`. */
export function recordLength(bytes: Buffer, at: number): number {
  return 8 + bytes.readUInt32LE(at);
}

/** The message whose record is at `at` in `bytes` and at `offset` in its run; undefined if it is damaged. */
export function decodeRecord(
  bytes: Buffer, at: number, salt: number, offset: number,
): { id: EntryId; bytes: Buffer } | undefined {
  const end = at + recordLength(bytes, at);
  if (end > bytes.length || end < at + RECORD_HEADER_LENGTH) return undefined;
  const entry = bytes.subarray(at + RECORD_HEADER_LENGTH, end);
  if (crc32(bytes.subarray(at + 8, end), (salt + offset) >>> 0) !== bytes.readUInt32LE(at + 4)) return undefined;
  return { id: readU64(bytes, at + 8), bytes: entry };
}

/** The index and the trailer of a run, which stand at `offset`. */
export function encodeIndex(slices: readonly Slice[], salt: number, offset: number): Buffer {
  const bytes = Buffer.allocUnsafe(slices.length * SLICE_LENGTH + TRAILER_LENGTH);
  let at = 0;
  for (const slice of slices) {
    writeU32(bytes, slice.topic, at);
    writeU32(bytes, slice.count, at + 4);
    writeU64(bytes, slice.firstId, at + 8);
    writeU64(bytes, slice.lastId, at + 16);
    writeU64(bytes, slice.offset, at + 24);
    writeU64(bytes, slice.bytes, at + 32);
    writeU64(bytes, slice.firstTime, at + 40);
    writeU64(bytes, slice.lastTime, at + 48);
    at += SLICE_LENGTH;
  }
  writeU64(bytes, offset, at);
  writeU32(bytes, slices.length, at + 8);
  writeU32(bytes, crc32(bytes.subarray(0, at + 12), salt), at + 12);
  bytes.set(END_MAGIC, at + 16);
  return bytes;
}

/** Where the index begins and how many topics are in it; undefined if this is no trailer. */
export function decodeTrailer(bytes: Buffer): { offset: number; count: number } | undefined {
  if (bytes.length !== TRAILER_LENGTH || !bytes.subarray(16).equals(END_MAGIC)) return undefined;
  return { offset: readU64(bytes, 0), count: bytes.readUInt32LE(8) };
}

/** The slices of an index, which `bytes` has with the trailer; undefined if it is damaged. */
export function decodeIndex(bytes: Buffer, salt: number): Slice[] | undefined {
  const end = bytes.length - TRAILER_LENGTH;
  if (crc32(bytes.subarray(0, end + 12), salt) !== bytes.readUInt32LE(end + 12)) return undefined;
  const slices: Slice[] = [];
  for (let at = 0; at < end; at += SLICE_LENGTH) {
    const number = (i: number): number => readU64(bytes, at + 8 + 8 * i);
    slices.push({
      topic: bytes.readUInt32LE(at), count: bytes.readUInt32LE(at + 4), firstId: number(0), lastId: number(1),
      offset: number(2), bytes: number(3), firstTime: number(4), lastTime: number(5),
    });
  }
  return slices;
}
