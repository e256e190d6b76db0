import type { Snapshot } from 'segmented-wal/snapshot';

const HEADER_BYTES = 8;

/** A key with its value, and where the value begins in the content of its snapshot. */
export interface StoredPair {
  readonly key: string;
  readonly value: Uint8Array;
  readonly position: number;
}

/** A pair as it stands in the content of a snapshot: `key length u32 | value length u32 | key | value`. */
export function encodePair(key: string, value: Uint8Array): Uint8Array[] {
  const keyLength = Buffer.byteLength(key);
  const head = Buffer.alloc(HEADER_BYTES + keyLength);
  head.writeUInt32LE(keyLength, 0);
  head.writeUInt32LE(value.length, 4);
  head.write(key, HEADER_BYTES);
  return [head, value];
}

/** The pairs in a snapshot, in their order. The snapshot has verified what it yields, so nothing is checked here. */
export async function* decodePairs(snapshot: Snapshot): AsyncGenerator<StoredPair, void, void> {
  let rest = Buffer.alloc(0);
  let position = 0;
  for await (const piece of snapshot) {
    rest = Buffer.concat([rest, piece]);
    while (rest.length >= HEADER_BYTES) {
      const valueStart = HEADER_BYTES + rest.readUInt32LE(0);
      const end = valueStart + rest.readUInt32LE(4);
      if (rest.length < end) break;
      const key = rest.toString('utf8', HEADER_BYTES, valueStart);
      yield { key, value: rest.subarray(valueStart, end), position: position + valueStart };
      position += end;
      rest = rest.subarray(end);
    }
  }
}
