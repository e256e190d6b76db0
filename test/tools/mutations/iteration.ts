import { crashes, named, RANDOM, type Mutation } from './mutation.js';

/** What readers and iterators show wrong, or wait for in vain. */
export const ITERATION: readonly Mutation[] = [
  {
    name: 'the file of a checkpointed segment is used again while a reader holds it',
    file: 'engine/directory/spare-files.ts',
    find: 'await segment.whenUnpinned();',
    replace: '',
    caughtBy: crashes('reading a large chunk across recycling'),
  },
  {
    name: 'a reader does not keep its segment from being recycled',
    file: 'api/write-ahead-log.ts',
    find: 'segment.pin(); try { if (offset >= segment.durableEnd) await this.#log.flusher.whenDurable(segment, offset);',
    replace: 'try { await segment.read(Buffer.alloc(5), offset); segment.pin(); if (offset >= segment.durableEnd) await this.#log.flusher.whenDurable(segment, offset);',
    caughtBy: named('unit/failures-elsewhere-recovery', 'a read that has begun is counted before its segment can be recycled under it (memory)'),
  },
  {
    name: 'those who wait to read are forgotten when the log fails',
    file: 'engine/flush/durable-mark.ts',
    find: 'this.#placeWaiters.reject(reason);',
    replace: '',
    caughtBy: named('unit/failures-elsewhere-writing', 'a sync that fails once fails all commits from then on, and is not retried (memory)'),
  },
  {
    name: 'those who wait to read an entry are forgotten when it is rolled back',
    file: 'engine/flush/durable-mark.ts',
    find: 'this.#placeWaiters.reject(error, (place) => place.segment === segment && place.offset >= offset);',
    replace: '',
    caughtBy: named('unit/chunk-reader', 'a read that waits for an entry hears when that is rolled back, or the log shut down'),
  },
  {
    name: 'an entry can be read before it is durable',
    file: 'api/write-ahead-log.ts',
    find: 'if (offset >= segment.durableEnd) await this.#log.flusher.whenDurable(segment, offset);',
    replace: 'segment.settleDurable(segment.end);',
    caughtBy: RANDOM,
  },
  {
    name: "a chunk's length is trusted by a reader",
    file: 'segment/chunk-source.ts',
    find: 'if (offset + format.CHUNK_OVERHEAD + length > limit) throw noChunk(segment, offset);',
    replace: '',
    caughtBy: named('unit/chunk-reader', 'bytes of a payload that look like a chunk do not pass for a valid one'),
  },
  {
    name: 'a follower takes the durable part of a closed segment for all of it',
    file: 'engine/read/entry-iterator.ts',
    find: 'if (segment.isOpen) return undefined;',
    replace: 'if (segment === [...this.#parts.segments].at(-1)) return undefined;',
    caughtBy: named('crash/crash-interplay', 'a follower passes over entries at the end of a closed segment that are not durable yet'),
  },
  {
    name: 'an iterator shows what was truncated while it waited for a read',
    file: 'engine/read/entry-iterator.ts',
    find: 'if (this.#cutsSeen < this.#parts.segments.cuts.length) continue;',
    replace: '',
    caughtBy: named('crash/crash-interplay', 'an iterator that waited for a read shows what was truncated meanwhile'),
  },
];
