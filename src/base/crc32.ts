import * as zlib from 'node:zlib';
import crc32cPackage from 'crc-32/crc32c.js';

type BuiltinCrc32 = (data: Uint8Array, start?: number) => number;

// Missing before Node 20.15; the floor of this package is later, but other runtimes lack it too.
const builtinCrc32 = (zlib as unknown as { crc32?: BuiltinCrc32 }).crc32;

/** From this many bytes on the call into native code, and the view it needs, cost less than the tables below. */
const BUILTIN_FROM_BYTES = 512;

const POLYNOMIAL = 0xedb88320;

/** What remains of `byte` after `n` more zero bytes is at `n * 256 + byte`. */
const TABLES = makeTables(16);

function makeTables(count: number): Int32Array {
  const tables = new Int32Array(count * 256);
  for (let byte = 0; byte < 256; byte++) {
    let rest = byte;
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? POLYNOMIAL : 0);
    tables[byte] = rest;
  }
  for (let i = 256; i < tables.length; i++) {
    const before = tables[i - 256];
    tables[i] = (before >>> 8) ^ tables[before & 0xff];
  }
  return tables;
}

/** CRC-32 (IEEE) of `bytes`, unsigned; `start` continues from an earlier result. */
export function crc32(bytes: Uint8Array, start = 0): number {
  return crc32Range(bytes, 0, bytes.length, start);
}

/** The CRC-32 of the bytes from `from` to `to`. Short ones, as most records are, need no view of their own. */
export function crc32Range(bytes: Uint8Array, from: number, to: number, start: number): number {
  if (to - from >= BUILTIN_FROM_BYTES && builtinCrc32 !== undefined) {
    return builtinCrc32(new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from), start);
  }
  const b = bytes;
  let crc = ~start;
  let i = from;
  for (; i + 16 <= to; i += 16) {
    crc =
      TABLES[0xf00 | (b[i] ^ (crc & 0xff))] ^ TABLES[0xe00 | (b[i + 1] ^ ((crc >> 8) & 0xff))] ^
      TABLES[0xd00 | (b[i + 2] ^ ((crc >> 16) & 0xff))] ^ TABLES[0xc00 | (b[i + 3] ^ (crc >>> 24))] ^
      TABLES[0xb00 | b[i + 4]] ^ TABLES[0xa00 | b[i + 5]] ^ TABLES[0x900 | b[i + 6]] ^ TABLES[0x800 | b[i + 7]] ^
      TABLES[0x700 | b[i + 8]] ^ TABLES[0x600 | b[i + 9]] ^ TABLES[0x500 | b[i + 10]] ^ TABLES[0x400 | b[i + 11]] ^
      TABLES[0x300 | b[i + 12]] ^ TABLES[0x200 | b[i + 13]] ^ TABLES[0x100 | b[i + 14]] ^ TABLES[b[i + 15]];
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ TABLES[(crc ^ b[i]) & 0xff];
  return ~crc >>> 0;
}

/** The CRC-32 of one byte. */
export function crc32Byte(byte: number, start: number): number {
  const crc = ~start;
  return ~((crc >>> 8) ^ TABLES[(crc ^ byte) & 0xff]) >>> 0;
}

/** The CRC-32 of the four little-endian bytes of `word`. */
export function crc32Word(word: number, start: number): number {
  const mixed = ~start ^ word;
  return ~(
    TABLES[0x300 | (mixed & 0xff)] ^ TABLES[0x200 | ((mixed >> 8) & 0xff)] ^
    TABLES[0x100 | ((mixed >> 16) & 0xff)] ^ TABLES[mixed >>> 24]
  ) >>> 0;
}

/** CRC-32C (Castagnoli) of `bytes`, unsigned; `start` continues from an earlier result. */
export function crc32c(bytes: Uint8Array, start = 0): number {
  return crc32cPackage.buf(bytes, start) >>> 0;
}

/**
 * The CRC-32 of A followed by B, from that of each and the length of B. Appending a byte multiplies what came before
 * by x^8 modulo the polynomial, so the whole of B multiplies it by x^(8 × length).
 */
export function crc32Combine(crcOfA: number, crcOfB: number, lengthOfB: number): number {
  // Bits are reversed, as in the checksum itself: the highest bit is x^0.
  let factor = 0x8000_0000;
  let power = 0x0080_0000;
  for (let left = lengthOfB; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) factor = multiply(factor, power);
    power = multiply(power, power);
  }
  return (multiply(crcOfA, factor) ^ crcOfB) >>> 0;
}

/** The product of two polynomials over GF(2), modulo that of the CRC. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0x8000_0000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= b;
    b = (b >>> 1) ^ (b & 1 ? POLYNOMIAL : 0);
  }
  return product >>> 0;
}
