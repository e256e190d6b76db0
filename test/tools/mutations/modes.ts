import { RANDOM, type Mutation } from './mutation.js';

/** What durability on request and flushes on the calling thread do wrong. */
export const MODES: readonly Mutation[] = [
  {
    name: 'a flush on the calling thread is written and not synced',
    file: 'files/transfer.ts',
    find: 'if (!file.durableWrites) file.syncBlocking();',
    replace: '',
    caughtBy: RANDOM,
  },
  {
    name: 'a durable write is taken to cover what was written before it without a sync',
    file: 'engine/flush/flusher.ts',
    find: 'isDurable && file.durableWrites && this.#unsynced === undefined',
    replace: 'isDurable && file.durableWrites',
    caughtBy: RANDOM,
  },
];
