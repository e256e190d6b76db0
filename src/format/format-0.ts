/**
 * Format 0, the predecessor's. It is read, never written:
 *
 *     header   'okw' | version 0 | n u8 | version info, n bytes
 *     entry    1 | entry id u64
 *     chunk    2 | length u32 | data, length bytes | CRC-32C of the data alone u32
 *     end      3
 *
 * There are no segment ids, salts, links, marks or chains. A segment is named after its first entry, and its ids are
 * bound to nothing else: what stands after its last entry may be the end of a file's earlier life, whose ids are
 * below that name.
 */
import { crc32c } from '../base/crc32.js';
import type { Format } from './format.js';

/** The length of a header without version info. Later formats begin with the same bytes. */
export const HEADER_0_LENGTH = 5;

export const FORMAT_0: Format = {
  version: 0,
  isWritten: false,
  isLinked: false,
  lastMarker: 3,
  endLength: 1,
  chunkChecksum: {
    begin: () => 0,
    update: (crc, bytes, from = 0, to = bytes.length) => crc32c(bytes.subarray(from, to), crc),
  },
  lastIdBefore: (segmentId) => segmentId - 1,
  beginChain: () => 0,
  extendChain: () => 0,
  isEndOf: () => true,
};
