import { RANDOM, type Mutation } from './mutation.js';

/** What truncation drops too much of, or too little. */
export const TRUNCATION: readonly Mutation[] = [
  {
    name: 'the log is cut before what names the place of the cut is durable',
    file: 'engine/write/rotation.ts',
    find: 'this.#goOn(successor, { ...link, lastId: this.nextId - 1 }, { committed: resolve, failed: reject });',
    replace: 'this.#goOn(successor, { ...link, lastId: this.nextId - 1 }, { committed: () => {}, failed: reject }); resolve();',
    caughtBy: RANDOM,
  },
];
