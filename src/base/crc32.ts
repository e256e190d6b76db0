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

/** The CRC-32 of the bytes from `from` to `to`. Short ranges, as most records are, need no view of their own. */
export function crc32Range(bytes: Uint8Array, from: number, to: number, start: number): number {
  if (to - from >= BUILTIN_FROM_BYTES && builtinCrc32 !== undefined) {
    return builtinCrc32(new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from), start);
  }
  let crc = ~start;
  let i = from;
  if (bytes.length >= BLOCK_BYTES && i + 16 <= to) {
    const view = viewOf(bytes);
    for (; i + 16 <= to; i += 16) {
      const first = view.getInt32(i, true) ^ crc;
      crc = mix(first, view.getInt32(i + 4, true), view.getInt32(i + 8, true), view.getInt32(i + 12, true));
    }
  }
  for (; i + 16 <= to; i += 16) {
    crc = mix(wordAt(bytes, i) ^ crc, wordAt(bytes, i + 4), wordAt(bytes, i + 8), wordAt(bytes, i + 12));
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ TABLES[(crc ^ bytes[i]) & 0xff];
  return ~crc >>> 0;
}

/** What remains of sixteen bytes, which are the little-endian words `a` to `d`. */
function mix(a: number, b: number, c: number, d: number): number {
  return (
    TABLES[0xf00 | (a & 0xff)] ^ TABLES[0xe00 | ((a >>> 8) & 0xff)] ^
    TABLES[0xd00 | ((a >>> 16) & 0xff)] ^ TABLES[0xc00 | (a >>> 24)] ^
    TABLES[0xb00 | (b & 0xff)] ^ TABLES[0xa00 | ((b >>> 8) & 0xff)] ^
    TABLES[0x900 | ((b >>> 16) & 0xff)] ^ TABLES[0x800 | (b >>> 24)] ^
    TABLES[0x700 | (c & 0xff)] ^ TABLES[0x600 | ((c >>> 8) & 0xff)] ^
    TABLES[0x500 | ((c >>> 16) & 0xff)] ^ TABLES[0x400 | (c >>> 24)] ^
    TABLES[0x300 | (d & 0xff)] ^ TABLES[0x200 | ((d >>> 8) & 0xff)] ^
    TABLES[0x100 | ((d >>> 16) & 0xff)] ^ TABLES[d >>> 24]
  );
}

function wordAt(bytes: Uint8Array, i: number): number {
  return bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
}

/** From this length on, bytes are a block of many records: one view of it serves them all. */
const BLOCK_BYTES = 4096;

/** The block that was looked at last. The next range is nearly always in the same one. */
let lastBlock: Uint8Array = new Uint8Array(0);
let lastView: DataView = new DataView(lastBlock.buffer);

function viewOf(block: Uint8Array): DataView {
  if (block !== lastBlock) {
    lastView = new DataView(block.buffer, block.byteOffset, block.byteLength);
    lastBlock = block;
  }
  return lastView;
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
