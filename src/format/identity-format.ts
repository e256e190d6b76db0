/**
 * The text of `wal-identity`, in both directions: a UUID, and the CRC-32 of its line.
 *
 *     0f8fad5b-d9cb-469f-a165-70867728950e
 *     b1a0c9d3
 */
import { crc32 } from '../base/crc32.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The length of the file. */
export const IDENTITY_LENGTH = 46;

/** Whether `text` is a UUID in lower case. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** A random UUID (version 4), of 16 random bytes. */
export function uuidOf(random: Uint8Array): string {
  const bytes = Buffer.from(random);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export function encodeIdentity(uuid: string): Buffer {
  return Buffer.from(`${uuid}\n${checksum(uuid)}\n`);
}

/** Undefined for anything that `encodeIdentity` has not written. */
export function decodeIdentity(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString('latin1');
  const uuid = text.slice(0, 36);
  return isUuid(uuid) && text === `${uuid}\n${checksum(uuid)}\n` ? uuid : undefined;
}

function checksum(uuid: string): string {
  return crc32(Buffer.from(`${uuid}\n`)).toString(16).padStart(8, '0');
}
