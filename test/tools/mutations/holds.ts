import { named, type Mutation } from './mutation.js';

/** What holds keep too little of, or too long. */
export const HOLDS: readonly Mutation[] = [
  {
    name: 'a segment can still be held when it is on its way out',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'this.#events.onRetiring(segment);',
    replace: '',
    caughtBy: named('crash/crash-interplay', 'a hold is promised entries whose segment is already on its way out'),
  },
];
