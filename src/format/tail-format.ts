/**
 * The bytes of `wal-tail`, in both directions: the copy of a segment's tail that recovery keeps while it rewrites the
 * tail in place.
 *
 *     'okt' | 1 | segment id u64 | seed u32 | offset u64 | length u64 | CRC u32 | data | CRC u32 of the data
 */
import { crc32 } from '../base/crc32.js';
import { asBuffer, readU64, writeU32, writeU64 } from '../base/bytes.js';

/** What the header of a copy says: which bytes of which segment it holds. */
export interface TailCopy {
  readonly segmentId: number;
  readonly seed: number;
  readonly offset: number;
  readonly length: number;
}

export const TAIL_HEADER_LENGTH = 36;
/** What follows the data: its CRC-32. */
export const TAIL_CRC_LENGTH = 4;
const TAIL_MAGIC = Buffer.from('okt\u0001', 'latin1');

export function encodeTailHeader(tail: TailCopy): Buffer {
  const header = Buffer.alloc(TAIL_HEADER_LENGTH);
  header.set(TAIL_MAGIC, 0);
  writeU64(header, tail.segmentId, 4);
  writeU32(header, tail.seed, 12);
  writeU64(header, tail.offset, 16);
  writeU64(header, tail.length, 24);
  writeU32(header, crc32(header.subarray(0, 32)), 32);
  return header;
}

/** What the first bytes of a tail copy say, or undefined if they are not whole. */
export function decodeTailHeader(bytes: Uint8Array): TailCopy | undefined {
  const header = asBuffer(bytes);
  if (header.length < TAIL_HEADER_LENGTH || !header.subarray(0, 4).equals(TAIL_MAGIC)) return undefined;
  if (crc32(header.subarray(0, 32)) !== header.readUInt32LE(32)) return undefined;
  return {
    segmentId: readU64(header, 4),
    seed: header.readUInt32LE(12),
    offset: readU64(header, 16),
    length: readU64(header, 24),
  };
}

export function encodeTailCrc(crc: number): Buffer {
  const bytes = Buffer.alloc(TAIL_CRC_LENGTH);
  writeU32(bytes, crc, 0);
  return bytes;
}

export function decodeTailCrc(bytes: Buffer): number {
  return bytes.readUInt32LE(0);
}
