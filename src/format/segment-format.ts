/**
 * The bytes of a segment file, in both directions. No other module knows them.
 *
 * Format 1. Integers are little-endian. A segment is a header, then records back to back:
 *
 *     header   'okw' | version 1 | n u8 | version info, n bytes | segment id u64 | salt 8 bytes | CRC u32
 *     link     5 | previous segment id u64 | previous end u64 | previous chain u32 | last id u64 | nonce u32 | CRC u32
 *     mark     4 | durable up to u64 | CRC u32
 *     entry    1 | entry id u64
 *     chunk    2 | length u32 | data, length bytes | CRC u32
 *     end      3 | chain u32
 *     join     6 | chain u32
 *
 * - The header's CRC is CRC-32 (IEEE) of all bytes before it. It is also the segment's *seed*: as it
 *   covers the id and the salt, which is drawn each time a file is put to use, every checksum
 *   started from it is worthless in any other segment and in any other life of the same file.
 * - The CRC of a link, mark or chunk covers the record from its marker on and starts from the seed
 *   mixed with the record's offset (`startAt`), so a record is worthless at any other place.
 * - The chain of an entry starts from the chain before it, mixed with the entry's offset, and covers
 *   the entry record and then the CRC of each of its chunks, in order. A link's CRC starts a new
 *   chain. So an end is valid only after the very entries that stood before it when it was written.
 * - A join ends an entry as an end does, but for one in the middle of a batch: it counts only once the last entry of
 *   the batch has its end.
 * - A link begins every segment, and stands wherever a recovered log went on writing. It names where
 *   the log ended before it, all of which was durable when the link was written. Its nonce makes
 *   the chain after it different from any chain that an earlier opening has begun at the same place.
 * - A mark stands before the first record that each flush begins, unless that is a link. It says up
 *   to which entry this segment was durable when it was written. It may stand between any two records.
 *
 * `format-0.ts` says what is different in format 0, which is read but never written.
 */
import { assert } from '../base/assert.js';
import { crc32, crc32Byte, crc32Range, crc32Word } from '../base/crc32.js';
import { readU64, TWO_TO_32, writeU32, writeU64 } from '../base/bytes.js';
import { FORMAT_0, HEADER_0_LENGTH } from './format-0.js';
import type { ChunkChecksum, Format } from './format.js';

export const FORMAT_VERSION = 1;
export const MAX_VERSION_INFO_LENGTH = 255;
export const MAX_CHUNK_LENGTH = 0xffff_ffff;
/** One above it could not be told from the next, and a log needs a next id. */
export const MAX_ENTRY_ID = Number.MAX_SAFE_INTEGER - 1;

export const ENTRY_MARKER = 1;
export const CHUNK_MARKER = 2;
export const END_MARKER = 3;
export const MARK_MARKER = 4;
export const LINK_MARKER = 5;
export const JOIN_MARKER = 6;

export const SALT_LENGTH = 8;
export const ENTRY_LENGTH = 9;
export const CHUNK_HEADER_LENGTH = 5;
export const CHUNK_CRC_LENGTH = 4;
export const CHUNK_OVERHEAD = CHUNK_HEADER_LENGTH + CHUNK_CRC_LENGTH;
export const END_LENGTH = 5;
export const MARK_LENGTH = 13;
export const LINK_LENGTH = 37;

const MAGIC = Buffer.from('okw', 'latin1');
const HEADER_FIXED_LENGTH = 25;
export const MAX_HEADER_LENGTH = HEADER_FIXED_LENGTH + MAX_VERSION_INFO_LENGTH;

/** What a segment's header says. */
export interface SegmentHeader {
  readonly format: Format;
  readonly versionInfo: Uint8Array;
  /** Undefined in format 0, where the file's name is all there is. */
  readonly segmentId: number | undefined;
  readonly seed: number;
  /** The offset of the first record. */
  readonly length: number;
}

/** What a link says. */
export interface Link {
  /** 0 for the first segment of a log. */
  readonly previousSegmentId: number;
  /** Where the log ended in that segment. */
  readonly previousEnd: number;
  /** The chain there. */
  readonly previousChain: number;
  /** The highest entry id given out before. */
  readonly lastId: number;
}

/** A link that was read, with the chain it starts. */
export interface ChainedLink extends Link {
  readonly chain: number;
}

/** The length in bytes of an entry whose chunks hold `dataLength` bytes in all. */
export function entryLength(chunkCount: number, dataLength: number): number {
  return ENTRY_LENGTH + chunkCount * CHUNK_OVERHEAD + dataLength + END_LENGTH;
}

/**
 * The value a record's checksum starts from: `seed` XOR the offset's low word XOR its high word times
 * an odd constant. One record's bytes at two offsets below 4 GiB can never have the same checksum.
 */
export function startAt(seed: number, offset: number): number {
  const high = Math.floor(offset / 0x1_0000_0000);
  return (seed ^ offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;
}

export function encodeHeader(segmentId: number, salt: Uint8Array, versionInfo: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER_FIXED_LENGTH + versionInfo.length);
  header.set(MAGIC, 0);
  header[3] = FORMAT_VERSION;
  header[4] = versionInfo.length;
  header.set(versionInfo, HEADER_0_LENGTH);
  const at = HEADER_0_LENGTH + versionInfo.length;
  writeU64(header, segmentId, at);
  header.set(salt, at + 8);
  writeU32(header, crc32(header.subarray(0, at + 16)), at + 16);
  return header;
}

/**
 * What the first bytes of a file are: a header, one of a version that is not known, or none (undefined).
 * `bytes` are the file's first `MAX_HEADER_LENGTH` bytes, or all it has.
 */
export function decodeHeader(bytes: Buffer): SegmentHeader | { readonly unknownVersion: number } | undefined {
  if (bytes.length < HEADER_0_LENGTH || !bytes.subarray(0, 3).equals(MAGIC)) return undefined;
  const version = bytes[3];
  const infoEnd = HEADER_0_LENGTH + bytes[4];
  if (version > FORMAT_VERSION) return { unknownVersion: version };
  const versionInfo = Uint8Array.from(bytes.subarray(HEADER_0_LENGTH, infoEnd));
  if (version === FORMAT_0.version) {
    if (bytes.length < infoEnd || isFormat1Header(bytes, infoEnd)) return undefined;
    return { format: FORMAT_0, versionInfo, segmentId: undefined, seed: 0, length: infoEnd };
  }
  const length = infoEnd + HEADER_FIXED_LENGTH - HEADER_0_LENGTH;
  if (bytes.length < length) return undefined;
  const seed = bytes.readUInt32LE(length - 4);
  const segmentId = readU64(bytes, infoEnd);
  if (crc32(bytes.subarray(0, length - 4)) !== seed || !Number.isSafeInteger(segmentId)) return undefined;
  return { format: FORMAT_1, versionInfo, segmentId, seed, length };
}

/**
 * Whether these bytes are a header of format 1 but for a damaged version: read as format 0, the log would look empty.
 */
function isFormat1Header(bytes: Buffer, infoEnd: number): boolean {
  const end = infoEnd + HEADER_FIXED_LENGTH - HEADER_0_LENGTH;
  if (bytes.length < end) return false;
  const header = Buffer.from(bytes.subarray(0, end - 4));
  header[3] = FORMAT_VERSION;
  return crc32(header) === bytes.readUInt32LE(end - 4);
}

/** Writes a link at `at`, to stand at `offset` of its segment. Returns its CRC, which is the new chain. */
export function encodeLink(
  target: Buffer, at: number, seed: number, offset: number, link: Link, nonce: number,
): number {
  target[at] = LINK_MARKER;
  writeU64(target, link.previousSegmentId, at + 1);
  writeU64(target, link.previousEnd, at + 9);
  writeU32(target, link.previousChain, at + 17);
  writeU64(target, link.lastId, at + 21);
  writeU32(target, nonce, at + 29);
  return sealRecord(target, at, LINK_LENGTH, seed, offset);
}

/** The link at `at`, with the chain it starts, or undefined if there is no valid one. */
export function decodeLink(source: Buffer, at: number, seed: number, offset: number): ChainedLink | undefined {
  assert(at + LINK_LENGTH <= source.length, 'all bytes of a link are there when it is decoded');
  if (source[at] !== LINK_MARKER || !isSealed(source, at, LINK_LENGTH, seed, offset)) return undefined;
  return {
    previousSegmentId: readU64(source, at + 1),
    previousEnd: readU64(source, at + 9),
    previousChain: source.readUInt32LE(at + 17),
    lastId: readU64(source, at + 21),
    chain: source.readUInt32LE(at + LINK_LENGTH - 4),
  };
}

/** Whether a valid link at `at` says that the log continued in this segment, right there. */
export function isOwnLink(source: Buffer, at: number, seed: number, offset: number, segmentId: number): boolean {
  assert(at + LINK_LENGTH <= source.length, 'all bytes of a link are there when it is decoded');
  // As with marks: the plain fields first.
  if (readU64(source, at + 1) !== segmentId || readU64(source, at + 9) !== offset) return false;
  return decodeLink(source, at, seed, offset) !== undefined;
}

export function encodeMark(target: Buffer, at: number, seed: number, offset: number, durableUpTo: number): void {
  target[at] = MARK_MARKER;
  writeU64(target, durableUpTo, at + 1);
  sealRecord(target, at, MARK_LENGTH, seed, offset);
}

/** How much the mark at `at` says was durable, or undefined if there is no valid one. */
export function decodeMark(source: Buffer, at: number, seed: number, offset: number): number | undefined {
  assert(at + MARK_LENGTH <= source.length, 'all bytes of a mark are there when it is decoded');
  if (source[at] !== MARK_MARKER) return undefined;
  // No mark speaks of what comes after it. Most bytes that are no mark fail here, at less cost than by their checksum.
  const durableUpTo = readU64(source, at + 1);
  if (durableUpTo > offset || !isSealed(source, at, MARK_LENGTH, seed, offset)) return undefined;
  return durableUpTo;
}

export function encodeEntry(target: Buffer, at: number, id: number): void {
  target[at] = ENTRY_MARKER;
  writeU64(target, id, at + 1);
}

export function decodeEntryId(source: Buffer, at: number): number {
  return readU64(source, at + 1);
}

/** The chain of an entry that has no chunks yet, from the chain before it and the offset of its record. */
export function beginChain(previous: number, id: number, offset: number): number {
  const low = crc32Word(id, crc32Byte(ENTRY_MARKER, startAt(previous, offset)));
  return crc32Word(Math.floor(id / TWO_TO_32), low);
}

/** The chain of an entry after one more chunk. */
export function extendChain(chain: number, chunkCrc: number): number {
  return crc32Word(chunkCrc, chain);
}

export function encodeChunkHeader(target: Buffer, at: number, length: number): void {
  target[at] = CHUNK_MARKER;
  writeU32(target, length, at + 1);
}

/** Writes a whole chunk at `at`, to stand at `offset` of its segment. Returns its CRC. */
export function encodeChunk(target: Buffer, at: number, data: Uint8Array, seed: number, offset: number): number {
  const { length } = data;
  encodeChunkHeader(target, at, length);
  const crc = copyAndUpdate(CHUNK_CHECKSUM.begin(length, seed, offset), data, target, at + CHUNK_HEADER_LENGTH);
  writeU32(target, crc, at + CHUNK_HEADER_LENGTH + length);
  return crc;
}

/**
 * Copies `data` to `at` of `target`, and returns the chunk's checksum `crc` updated with what was copied: another
 * thread may be changing `data` in shared memory.
 */
export function copyAndUpdate(crc: number, data: Uint8Array, target: Buffer, at: number): number {
  const { length } = data;
  target.set(data, at);
  return CHUNK_CHECKSUM.update(crc, target, at, at + length);
}

export function decodeChunkLength(source: Buffer, at: number): number {
  return source.readUInt32LE(at + 1);
}

/** The checksum that ends a chunk, at `at`. */
export function decodeChunkCrc(source: Buffer, at: number): number {
  return source.readUInt32LE(at);
}

export const CHUNK_CHECKSUM: ChunkChecksum = {
  begin(length, seed, offset) {
    return crc32Word(length, crc32Byte(CHUNK_MARKER, startAt(seed, offset)));
  },
  update: (crc, bytes, from = 0, to = bytes.length) => crc32Range(bytes, from, to, crc),
};

/** `marker` is `END_MARKER` or `JOIN_MARKER`. */
export function encodeEnd(target: Buffer, at: number, marker: number, chain: number): void {
  target[at] = marker;
  writeU32(target, chain, at + 1);
}

/** Ends a record with the CRC of what stands before it, and returns that CRC. */
function sealRecord(target: Buffer, at: number, length: number, seed: number, offset: number): number {
  const crc = crc32Range(target, at, at + length - 4, startAt(seed, offset));
  writeU32(target, crc, at + length - 4);
  return crc;
}

function isSealed(source: Buffer, at: number, length: number, seed: number, offset: number): boolean {
  return crc32Range(source, at, at + length - 4, startAt(seed, offset)) === source.readUInt32LE(at + length - 4);
}

/** The format that is written. */
export const FORMAT_1: Format = {
  version: FORMAT_VERSION,
  isWritten: true,
  isLinked: true,
  lastMarker: JOIN_MARKER,
  endLength: END_LENGTH,
  chunkChecksum: CHUNK_CHECKSUM,
  // A segment's first link says it.
  lastIdBefore: () => 0,
  beginChain,
  extendChain,
  isEndOf: (source, at, chain) => source.readUInt32LE(at + 1) === chain,
};
