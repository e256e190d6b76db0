export const TWO_TO_32 = 0x1_0000_0000;

// Byte by byte: Buffer's own methods check the value and the range again, at twice the time.

/** Writes an unsigned 32-bit little-endian integer. */
export function writeU32(target: Buffer, value: number, at: number): void {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
}

/** Writes an unsigned 64-bit little-endian integer. `value` is a safe integer. */
export function writeU64(target: Buffer, value: number, at: number): void {
  writeU32(target, value, at);
  writeU32(target, Math.floor(value / TWO_TO_32), at + 4);
}

/** Reads an unsigned 64-bit little-endian integer. Values above 2^53 lose precision but stay above 2^53. */
export function readU64(source: Buffer, at: number): number {
  return source.readUInt32LE(at) + source.readUInt32LE(at + 4) * TWO_TO_32;
}

/** `bytes` as a Buffer over the same memory. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A value as a message shows it: short, and safe for any type. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' ? withArticle(name) : 'an object';
}

/** The names that begin with U, such as Uint8Array and URL, are spoken as if they began with a consonant. */
function withArticle(name: string): string {
  return `${/^[AEIO]/i.test(name) ? 'an' : 'a'} ${name}`;
}
