import { crashes, faults, named, type Mutation } from './mutation.js';

/** What goes wrong between the bytes and what is read from them. */
export const FORMAT: readonly Mutation[] = [
  {
    name: 'the salt of a segment is always the same',
    file: 'engine/directory/spare-files.ts',
    find: 'this.#environment.randomFill(salt);',
    replace: '',
    caughtBy: named('unit/rare-faults', 'the mark of another log in a payload says nothing about this one'),
  },
  {
    name: 'the checksums of a segment are right in any other, and in any other life of its file',
    file: 'format/segment-format.ts',
    find: 'return (seed ^ offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;',
    replace: 'return (offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;',
    also: [{ file: 'engine/write/link.ts', find: 'environment.randomFill(bytes);', replace: '' }],
    caughtBy: crashes('recycling', 0, 90),
  },
  {
    name: 'the nonce of a link is always the same',
    file: 'engine/write/link.ts',
    find: 'environment.randomFill(bytes);',
    replace: '',
    caughtBy: crashes('shutting down and reopening without a sync', 0, 82),
  },
  {
    name: 'a checksum does not cover the place of its record',
    file: 'format/segment-format.ts',
    find: 'return (seed ^ offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;',
    replace: 'return seed;',
    caughtBy: named('unit/segment-format', 'a mark says what was written into it, at its own place and in its own segment only'),
  },
  {
    name: "a chunk's checksum does not cover its length",
    file: 'format/segment-format.ts',
    find: 'return crc32Word(length, crc32Byte(CHUNK_MARKER, startAt(seed, offset)));',
    replace: 'return startAt(seed, offset);',
    caughtBy: named('unit/segment-format', "a chunk's checksum binds its length, its data, its segment and its offset"),
  },
  {
    name: "an entry's chain is not checked",
    file: 'segment/record-scanner.ts',
    find: "if (!this.segment.format.isEndOf(bytes, this.#at - windowStart, chain)) return 'end';",
    replace: '',
    caughtBy: crashes('shutting down and reopening without a sync', 0, 82),
  },
  {
    name: "a chunk's checksum is not checked",
    file: 'segment/record-scanner.ts',
    find: "if (crc !== this.#open.chunkCrc) return 'end';",
    replace: '',
    // Its chunks lie in three sectors and more: what is lost in the middle of a write leaves the checksum after it.
    caughtBy: crashes('entries around the end of a segment', 0, 27),
  },
  {
    name: "an entry's id need not be above those before it",
    file: 'segment/record-scanner.ts',
    find: "if (id <= this.#last.id || id >= Number.MAX_SAFE_INTEGER) return 'end';",
    replace: '',
    caughtBy: named('unit/rare-faults', "stale entries behind a segment of the predecessor are not handed over"),
  },
  {
    name: 'a read error is taken for the end of the log',
    file: 'segment/segment.ts',
    find: 'throw this.#readError(error, { offset }); } finally { this.#endRead(); }',
    replace: 'return 0; } finally { this.#endRead(); }',
    caughtBy: faults('reading across recycling', 3, 300),
  },
  {
    name: 'a short read is taken for the end of the file',
    file: 'files/transfer.ts',
    find: 'const read = await file.read(filled === 0 ? target : target.subarray(filled), position + filled); if (read === 0) break;',
    replace: 'const read = await file.read(filled === 0 ? target : target.subarray(filled), position + filled); filled += read; break;',
    caughtBy: named('unit/rare-faults', 'a disk that gives a few bytes at a time is read to its end'),
  },
];
