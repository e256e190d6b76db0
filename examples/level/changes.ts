import type { Change } from './sorted-pairs.js';

const HEADER_BYTES = 8;
/** A deletion has this in place of the length of a value. */
const DELETED = 0xffffffff;

/**
 * Changes as they are stored, in an entry of the log as well as in the snapshot. One after the other:
 * `key length u32 | value length u32, or ffffffff for a deletion | key | value`.
 */
export function encodeChanges(changes: readonly Change[]): Buffer {
  let length = 0;
  for (const { key, value } of changes) length += HEADER_BYTES + key.length + (value?.length ?? 0);
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { key, value } of changes) {
    at = bytes.writeUInt32LE(key.length, at);
    at = bytes.writeUInt32LE(value?.length ?? DELETED, at);
    at += bytes.write(key, at, 'latin1');
    if (value !== undefined) at += bytes.write(value, at, 'latin1');
  }
  return bytes;
}

/** What `encodeChanges` has encoded. The log and the snapshot have verified it, so nothing is checked here. */
export function* decodeChanges(bytes: Buffer): Generator<Change, void, void> {
  for (let at = 0; at < bytes.length;) {
    const keyStart = at + HEADER_BYTES;
    const valueStart = keyStart + bytes.readUInt32LE(at);
    const valueLength = bytes.readUInt32LE(at + 4);
    const isDeleted = valueLength === DELETED;
    at = valueStart + (isDeleted ? 0 : valueLength);
    const value = isDeleted ? undefined : bytes.toString('latin1', valueStart, at);
    yield { key: bytes.toString('latin1', keyStart, valueStart), value };
  }
}
