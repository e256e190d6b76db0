/**
 * The text of `wal-holds`, in both directions: one line of JSON, and the CRC-32 of that line.
 *
 *     {"checkpointedId":812,"holds":[{"name":"replica","from":640,"maxBytes":1073741824,"isBroken":false}]}
 *     9a3f01c2
 */
import { crc32 } from '../base/crc32.js';

/** A hold as it is stored. */
export interface StoredHold {
  readonly name: string;
  /** Entries from here on are kept. */
  readonly from: number;
  /** How many bytes of checkpointed segments it may keep. */
  readonly maxBytes: number;
  /** Whether it has kept more, and keeps nothing any more. */
  readonly isBroken: boolean;
}

/** What is stored of all holds. */
export interface StoredHolds {
  /** Entries up to here are checkpointed, although their segments may still be there. */
  readonly checkpointedId: number;
  readonly holds: readonly StoredHold[];
}

export function encodeHolds(holds: StoredHolds): Buffer {
  const line = `${JSON.stringify(holds)}\n`;
  return Buffer.from(`${line}${checksum(line)}\n`);
}

/** Undefined for anything that `encodeHolds` has not written. */
export function decodeHolds(bytes: Buffer): StoredHolds | undefined {
  const text = bytes.toString();
  const end = text.indexOf('\n') + 1;
  if (end === 0 || text.slice(end) !== `${checksum(text.slice(0, end))}\n`) return undefined;
  return JSON.parse(text.slice(0, end)) as StoredHolds;
}

function checksum(line: string): string {
  return crc32(Buffer.from(line)).toString(16).padStart(8, '0');
}
