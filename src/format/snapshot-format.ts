/**
 * The bytes of a snapshot file, in both directions. Integers are little-endian.
 *
 *     'snp' | version 1 | last entry id u64 | length of the content u64 | CRC-32 of these u32
 *     for each block: up to 4092 bytes of content | CRC-32 u32
 *
 * Every block but the last is full. Its CRC continues from that of the last entry id and the number of the block,
 * counted from 0, so a block is valid only in its own place of its own snapshot, and can be verified alone.
 */
import { crc32 } from '../base/crc32.js';

export const SNAPSHOT_HEADER_LENGTH = 24;
export const SNAPSHOT_BLOCK_LENGTH = 4096;
/** How much of a block is content. */
export const SNAPSHOT_BLOCK_CONTENT = SNAPSHOT_BLOCK_LENGTH - 4;

const MAGIC = Buffer.from('snp', 'latin1');
export const SNAPSHOT_VERSION = 1;

/** What the header says. */
export interface SnapshotHeader {
  /** The version of the format. */
  readonly version: number;
  /** The last entry that the content includes. */
  readonly lastId: number;
  /** The length of the content in bytes. */
  readonly length: number;
}

export function encodeSnapshotHeader(lastId: number, length: number): Buffer {
  const header = Buffer.alloc(SNAPSHOT_HEADER_LENGTH);
  header.set(MAGIC);
  header.writeUInt8(SNAPSHOT_VERSION, 3);
  header.writeBigUInt64LE(BigInt(lastId), 4);
  header.writeBigUInt64LE(BigInt(length), 12);
  header.writeUInt32LE(crc32(header.subarray(0, 20)), 20);
  return header;
}

/** Undefined for anything that is not a valid header of some version. */
export function decodeSnapshotHeader(bytes: Buffer): SnapshotHeader | undefined {
  if (!bytes.subarray(0, 3).equals(MAGIC) || crc32(bytes.subarray(0, 20)) !== bytes.readUInt32LE(20)) return undefined;
  const [lastId, length] = [Number(bytes.readBigUInt64LE(4)), Number(bytes.readBigUInt64LE(12))];
  return { version: bytes.readUInt8(3), lastId, length };
}

/** The checksum of a block's content. */
export function snapshotBlockCrc(lastId: number, block: number, content: Uint8Array): number {
  const place = Buffer.alloc(16);
  place.writeBigUInt64LE(BigInt(lastId), 0);
  place.writeBigUInt64LE(BigInt(block), 8);
  return crc32(content, crc32(place));
}

/** The offset in the file of the block with this number. */
export function snapshotBlockOffset(block: number): number {
  return SNAPSHOT_HEADER_LENGTH + block * SNAPSHOT_BLOCK_LENGTH;
}

/** How long the file is whose content has `length` bytes. */
export function snapshotFileLength(length: number): number {
  return SNAPSHOT_HEADER_LENGTH + length + 4 * Math.ceil(length / SNAPSHOT_BLOCK_CONTENT);
}
