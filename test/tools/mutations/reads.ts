import { crashes, named, type Mutation } from './mutation.js';

/** What is wrong with reading chunks by their positions. */
export const READS: readonly Mutation[] = [
  {
    name: 'a read on the calling thread shows what is not durable yet',
    file: 'engine/read/chunk-reads.ts',
    find: 'const shownEnd = this.shownEnd(segment); if',
    replace: 'const shownEnd = this.end(segment); if',
    caughtBy: crashes('reading what is not durable yet', 0, 0),
  },
  {
    name: 'a chunk that is read whole is not verified',
    file: 'segment/whole-chunk.ts',
    find: 'if (crc !== format.decodeChunkCrc(bytes, from + length))',
    replace: 'if (false)',
    caughtBy: named('unit/random-reads', 'readSync takes anything for a position, or damaged bytes for a chunk (memory)'),
  },
  {
    name: 'a file that is about to be used again is read on the calling thread',
    file: 'engine/read/live-chunks.ts',
    find: 'return this.#segments.get(segmentId);',
    replace: 'this.found ??= new Map(); return this.found.get(segmentId) ?? this.found.set(segmentId, this.#segments.get(segmentId)).get(segmentId);',
    also: [{
      file: 'segment/segment.ts',
      find: 'readSync(target, offset) { if (this.#isClosed)',
      replace: 'readSync(target, offset) { if (false)',
    }],
    caughtBy: named('unit/random-reads', 'a segment whose file is being used again is read on the calling thread (memory)'),
  },
  {
    name: 'a read-only log does not look whether the file it has read was used again',
    file: 'segment/shared-segment.ts',
    find: 'this.#assertHeader(readHeaderSync((bytes, from) => super.readSync(bytes, from)), offset);',
    replace: '',
    caughtBy: named('unit/random-reads', 'a read-only log answers from a file that another process has used again (memory)'),
  },
  {
    name: 'a mark before an entry is taken for the chain that it continues',
    file: 'segment/entry-start.ts',
    find: 'const chain = format.decodeChunkCrc(bytes, beforeMarks(at)',
    replace: 'const chain = format.decodeChunkCrc(bytes, at',
    caughtBy: named('unit/entries-from-position', 'an iteration cannot begin with the position of some entry, or misses what follows it (memory)'),
  },
  {
    name: 'an iteration begins in the middle of an entry',
    file: 'segment/entry-start.ts',
    find: 'bytes[at - from] !== format.ENTRY_MARKER',
    replace: 'false',
    also: [{
      file: 'segment/entry-start.ts',
      find: 'if (id <= segment.idBefore || id >= Number.MAX_SAFE_INTEGER)',
      replace: 'if (false)',
    }],
    caughtBy: named('unit/entries-from-position', 'a position that is none is begun with, or shows an entry that is not there (memory)'),
  },
  {
    name: 'memory that was given to a reader is read into again',
    file: 'segment/whole-chunk.ts',
    find: 'const copy = Buffer.from(data);',
    replace: 'const copy = data;',
    caughtBy: named('unit/random-reads', 'what one readSync has returned changes with a later one'),
  },
  {
    name: 'readMany answers in the order of the log',
    file: 'engine/read/chunk-reads.ts',
    find: '(found[from + i] = data)',
    replace: 'found.push(data)',
    caughtBy: named('unit/random-reads', 'readMany answers in another order than it was asked in (memory)'),
  },
  {
    name: 'a read by position keeps its segment for ever when it fails',
    file: 'engine/read/chunk-reads.ts',
    find: 'return await readChunk(segment, offset, this.shownEnd(segment)); } finally { segment.unpin(); }',
    replace: 'const data = await readChunk(segment, offset, this.shownEnd(segment)); segment.unpin(); return data; } finally {}',
    caughtBy: named('unit/random-reads', 'read and readMany do not wait until an entry is durable, or for ever (memory)'),
  },
  {
    name: 'a read that is given up lets its segment go while it is under way',
    file: 'engine/read/chunk-reads.ts',
    find: 'return await readChunk(segment, offset, this.shownEnd(segment));',
    replace: 'return await unlessAborted(readChunk(segment, offset, this.shownEnd(segment)), signal);',
    caughtBy: named('unit/random-reads', 'a read that is given up waits on, or keeps its segment for ever (memory)'),
  },
  {
    name: 'a chunk that is read together with others is not verified',
    file: 'segment/whole-chunk.ts',
    find: 'verify(segment, offset, record, format.CHUNK_HEADER_LENGTH, length);',
    replace: '',
    caughtBy: named('unit/random-reads', 'readMany hides that one chunk is gone or damaged, or keeps segments for it (memory)'),
  },
];
