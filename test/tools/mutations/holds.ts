import { crashes, named, type Mutation } from './mutation.js';

/** What holds keep too little of, or too long. */
export const HOLDS: readonly Mutation[] = [
  {
    name: 'a segment can still be held when it is on its way out',
    file: 'engine/checkpoint/retirement.ts',
    find: "if (segment.phase !== 'discarded')\n            this.#events.onRetiring(segment);",
    replace: '',
    caughtBy: named('crash/crash-interplay', 'a hold is promised entries whose segment is already on its way out'),
  },
  {
    name: 'a holds file is read without its checksum',
    file: 'format/holds-format.ts',
    find: 'if (end === 0 || text.slice(end) !== `${checksum(text.slice(0, end))}\\n`)',
    replace: 'if (end === 0)',
    caughtBy: named('crash/crash-interplay', 'a damaged holds file is read as if it were whole (memory)'),
  },
  {
    name: 'a hold keeps nothing while it is being stored',
    file: 'engine/checkpoint/holds.ts',
    find: 'if (early !== undefined) this.#wanted.add(early);',
    replace: '',
    also: [{ file: 'engine/checkpoint/holds.ts', find: 'if (after !== undefined) this.#wanted.add(after);', replace: '' }],
    caughtBy: named('unit/hold-races', 'a segment that a new hold wants does not go while that is being stored'),
  },
  {
    name: 'a hold lets entries go before that is durable',
    file: 'engine/checkpoint/holds.ts',
    find: 'try { await this.#file.replace(',
    replace: 'this.#holds = holds; try { await this.#file.replace(',
    caughtBy: named('unit/hold-races', 'a segment does not go because of a move that is not stored yet, and then fails'),
  },
  {
    name: 'the file of the holds is not synced',
    file: 'engine/directory/log-directory.ts',
    find: 'await this.write(file, [bytes], 0); await file.sync();',
    replace: 'await this.write(file, [bytes], 0);',
    caughtBy: crashes('a hold across checkpoints', 0, 0),
  },
  {
    name: 'the name of the file of the holds is not synced',
    file: 'engine/directory/log-directory.ts',
    find: 'await this.rename(newName, name); await this.sync();',
    replace: 'await this.rename(newName, name);',
    caughtBy: named('unit/holds', 'a hold is said to be durable by a directory sync that came after one that failed'),
  },
  {
    name: 'truncateBefore takes away what is held',
    file: 'engine/checkpoint/holds.ts',
    find: 'if (!isBroken && from < id) throw heldError(name, from);',
    replace: ';',
    caughtBy: named('unit/holds', 'truncateBefore leaves what is held, and says who holds it (memory)'),
  },
  {
    name: 'truncateAfter takes away what a hold has moved past',
    file: 'engine/checkpoint/holds.ts',
    find: 'if (!isBroken && from > id) throw heldError(name, from);',
    replace: ';',
    caughtBy: named('unit/holds', 'truncateAfter does not take away what a hold has moved past (memory)'),
  },
  {
    name: 'a hold after what a loss of power has taken stays there',
    file: 'engine/log/log.ts',
    find: 'await this.holds.clamp(this.rotation.nextId);',
    replace: '',
    caughtBy: named('unit/hold-races', 'a hold ahead of the log, after a loss of power, wants what comes instead in every later opening too'),
  },
  {
    name: 'what is held is handed over again when the log is opened',
    file: 'engine/checkpoint/holds.ts',
    find: 'this.#checkpointedId = stored.checkpointedId;',
    replace: '',
    caughtBy: named('unit/holds', 'a hold survives reopening, and what was checkpointed is not handed over again (memory)'),
  },
];
