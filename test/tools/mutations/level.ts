import { named, type Mutation } from './mutation.js';

/** What an engine on top of the log can do wrong, with the level of the examples. */
export const LEVEL: readonly Mutation[] = [
  {
    name: 'a level shows changes that are not durable yet',
    file: '../examples/level.ts',
    find: 'await this.#log.append(encodeChanges(changes), { onCommitted: ({ id }) => state.apply(id, changes) });',
    replace: `for (const change of changes) state.pairs.apply(change);
      await this.#log.append(encodeChanges(changes), { onCommitted: ({ id }) => state.apply(id, []) });`,
    caughtBy: named('unit/level', 'a change can be read before it is durable'),
  },
  {
    name: 'a level writes a batch as many entries',
    file: '../examples/level.ts',
    find: 'await this.#write(operations.map((operation) => {',
    replace: 'for (const each of operations) await this.#write([each].map((operation) => {',
    caughtBy: named('unit/level', 'a batch is more than one entry, so that a crash can leave a part of it'),
  },
  {
    name: 'a level takes changes for saved that came while its snapshot was written',
    file: '../examples/level/state.ts',
    find: 'this.#savedId = savedId;',
    replace: 'this.#savedId = this.#lastId;',
    caughtBy: named('unit/level', 'every segment takes a snapshot of its own, although one includes them all'),
  },
  {
    name: 'a level lets the log free what its snapshot does not have yet',
    file: '../examples/level/state.ts',
    find: 'await this.#file.save(',
    replace: 'void this.#file.save(',
    caughtBy: named(
      'crash/level-crashes', 'a level loses a change when it crashes, makes one up, or has a part of a batch or of a clear',
    ),
  },
];
