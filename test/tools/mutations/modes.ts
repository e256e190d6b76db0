import { named, random, type Mutation } from './mutation.js';

/** What durability on request and flushes on the calling thread do wrong. */
export const MODES: readonly Mutation[] = [
  {
    name: 'a flush on the calling thread is written and not synced',
    file: 'files/transfer.ts',
    find: 'if (!file.durableWrites) file.syncBlocking();',
    replace: '',
    caughtBy: random(11),
  },
  {
    name: 'a durable write is taken to cover what was written before it without a sync',
    file: 'engine/flush/flush-writer.ts',
    find: 'isDurable && file.durableWrites && this.#unsynced === undefined',
    replace: 'isDurable && file.durableWrites',
    caughtBy: random(25),
  },
  {
    name: 'sync is forgotten beside a flush that is in flight',
    file: 'engine/flush/flusher.ts',
    find: 'if (this.#nextEncoder() !== undefined || this.#syncWanted) this.request();',
    replace: 'if (this.#nextEncoder() !== undefined) this.request();',
    caughtBy: named('crash/crash-interplay', 'sync beside a flush in flight, which need not be durable, is forgotten'),
  },
  {
    name: 'sync does not wait for the appends in line',
    file: 'engine/write/write-queue.ts',
    find: 'if (!this.#isFree || this.waiting === 0) return this.#flusher.sync();',
    replace: 'return this.#flusher.sync();',
    caughtBy: named('crash/crash-interplay', 'sync does not wait for the appends that were in line before it'),
  },
  {
    name: 'the interval ends with the first durable commit',
    file: 'engine/flush/sync-timer.ts',
    find: 'this.#cancel?.(); this.#cancel = undefined;',
    replace: 'this.#cancel?.();',
    caughtBy: named('crash/crash-interplay', 'the interval begins no more after a durable commit has ended it early'),
  },
  {
    name: 'no interval begins',
    file: 'engine/flush/flusher.ts',
    find: 'this.#writer.written(flush); this.#timer.start();',
    replace: 'this.#writer.written(flush);',
    caughtBy: named('unit/durability-modes', "with sync 'interval' everything is durable when the interval is over, and no timer runs without need"),
  },
  {
    name: 'a commit that asks to be durable is not',
    file: 'engine/flush/flusher.ts',
    find: 'if (commits.durableCount > 0 || this.#syncWanted ||',
    replace: 'if (this.#syncWanted ||',
    caughtBy: named('unit/durability-modes', "with sync 'manual' a commit that asks for it is durable, and all before it (memory)"),
  },
  {
    name: 'the next segment is written before the one it vouches for is durable',
    file: 'engine/flush/flusher.ts',
    find: 'const mustSyncFirst = unsynced !== undefined && encoder !== undefined && encoder.segment !== unsynced.segment;',
    replace: 'const mustSyncFirst = false;',
    caughtBy: named('unit/durability-modes', 'a closed segment is durable before the next one says so (memory)'),
  },
  {
    name: 'reading what nobody has synced causes no sync',
    file: 'engine/flush/flusher.ts',
    find: 'const reached = this.durableId.placeReached(segment, offset, signal); this.#wantSync();',
    replace: 'const reached = this.durableId.placeReached(segment, offset, signal);',
    caughtBy: named('unit/durability-modes', 'readAt makes an entry durable that nobody has synced, and waits for it'),
  },
  {
    name: 'a blocking flush leaves out the length of a chunk that was flushed before',
    file: 'engine/flush/flush-writer.ts',
    find: 'if (flush.patch !== undefined) writeFullyBlocking(file, [flush.patch.bytes], flush.patch.offset);',
    replace: '',
    caughtBy: named('unit/blocking-flush', 'a chunk whose length was not known when its beginning was flushed on the calling thread stays without it'),
  },
  {
    name: 'a short blocking write is taken for a whole one',
    file: 'files/transfer.ts',
    find: 'const written = file.writeBlocking(rest, position); rest = dropBytes(rest, written);',
    replace: 'const written = file.writeBlocking(rest, position); rest = [];',
    caughtBy: named('unit/blocking-flush', 'a flush on the calling thread takes a short write for a whole one'),
  },
  {
    name: 'a blocking flush that failed is acknowledged',
    file: 'engine/flush/flusher.ts',
    find: 'catch (error) { this.#lifecycle.fail(error); return; }',
    replace: 'catch (error) { flush.commits.acknowledge(); this.#lifecycle.fail(error); return; }',
    caughtBy: random(8),
  },
];
