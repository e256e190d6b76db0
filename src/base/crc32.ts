import * as zlib from 'node:zlib';
import crc32Package from 'crc-32';
import crc32cPackage from 'crc-32/crc32c.js';

type BuiltinCrc32 = (data: Uint8Array, start?: number) => number;

// Missing before Node 20.15; the floor of this package is later, but other runtimes lack it too.
const builtinCrc32 = (zlib as unknown as { crc32?: BuiltinCrc32 }).crc32;

/** Below this many bytes the call into native code costs more than the package's tables do. */
const BUILTIN_FROM_BYTES = 512;

/** CRC-32 (IEEE) of `bytes`, unsigned; `start` continues from an earlier result. */
export function crc32(bytes: Uint8Array, start = 0): number {
  if (builtinCrc32 !== undefined && bytes.length >= BUILTIN_FROM_BYTES) return builtinCrc32(bytes, start);
  return crc32Package.buf(bytes, start) >>> 0;
}

/** CRC-32C (Castagnoli) of `bytes`, unsigned; `start` continues from an earlier result. */
export function crc32c(bytes: Uint8Array, start = 0): number {
  return crc32cPackage.buf(bytes, start) >>> 0;
}

const POLYNOMIAL = 0xedb88320;

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
