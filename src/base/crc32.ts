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
