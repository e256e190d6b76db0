import { crc32c } from '../../src/base/crc32.js';

/** An entry as the predecessor wrote it, in format 0. */
export function entryOfPredecessor(id: number, ...chunks: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(9);
  head[0] = 1;
  head.writeBigUInt64LE(BigInt(id), 1);
  return Buffer.concat([head, ...chunks.flatMap(chunkOfPredecessor), Buffer.of(3)]);
}

/** A segment as the predecessor wrote it: what is behind its entries has never been used. */
export function segmentOfPredecessor(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from('okw\0\0', 'latin1'), ...entries, Buffer.alloc(1024)]);
}

function chunkOfPredecessor(data: Uint8Array): Uint8Array[] {
  const head = Buffer.alloc(5);
  head[0] = 2;
  head.writeUInt32LE(data.length, 1);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc32c(data), 0);
  return [head, data, checksum];
}
