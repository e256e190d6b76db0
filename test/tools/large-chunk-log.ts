import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import * as format from '../../src/format/segment-format.js';

const PIECE = Buffer.alloc(1024 * 1024);

/**
 * Makes a log with one entry of one chunk, which is a byte 0xff and then `length` - 1 zeros: in a file with a hole, so
 * that no disk needs to have the room.
 */
export function makeLargeChunkLog(directory: string, length: number): void {
  fs.mkdirSync(directory);
  const header = format.encodeHeader(1, randomBytes(format.SALT_LENGTH), new Uint8Array());
  const seed = header.readUInt32LE(header.length - 4);
  const entryAt = header.length + format.LINK_LENGTH;
  const chunkAt = entryAt + format.ENTRY_LENGTH;
  const head = Buffer.concat([header, Buffer.alloc(format.LINK_LENGTH + format.ENTRY_LENGTH + format.CHUNK_HEADER_LENGTH + 1)]);
  const first = { previousSegmentId: 0, previousEnd: 0, previousChain: 0, lastId: 0 };
  const begun = format.encodeLink(head, header.length, seed, header.length, first, 1);
  format.encodeEntry(head, entryAt, 1);
  format.encodeChunkHeader(head, chunkAt, length);
  head[head.length - 1] = 0xff;
  const crc = checksum(length, seed, chunkAt);
  const tail = Buffer.alloc(4 + format.END_LENGTH);
  tail.writeUInt32LE(crc);
  const chain = format.extendChain(format.beginChain(begun, 1, entryAt), crc);
  format.encodeEnd(tail, 4, format.END_MARKER, chain);
  const file = fs.openSync(path.join(directory, 'wal-1'), 'w');
  fs.writeSync(file, head, 0, head.length, 0);
  fs.writeSync(file, tail, 0, tail.length, chunkAt + format.CHUNK_HEADER_LENGTH + length);
  fs.closeSync(file);
}

function checksum(length: number, seed: number, offset: number): number {
  let crc = format.CHUNK_CHECKSUM.begin(length, seed, offset);
  crc = format.CHUNK_CHECKSUM.update(crc, Buffer.of(0xff));
  for (let rest = length - 1; rest > 0; rest -= PIECE.length) {
    crc = format.CHUNK_CHECKSUM.update(crc, PIECE.subarray(0, Math.min(rest, PIECE.length)));
  }
  return crc;
}
