import { named, type Mutation } from './mutation.js';

const FULL = 'crash/full-disk';
const LOST = 'a log whose reserve was lost cannot be opened on a full disk although its segments have room to give (seed 1)';
const ALONE = 'a log of one segment whose reserve was lost cannot be opened on a full disk although the segment has room to give (seed 1)';
const OUTGROWN = 'a log that ends with an entry larger than a segment finds no space to continue, and cannot be opened (seed 1)';
const TAKEN = 'a log cannot be opened on a full disk where its own space goes to another program';
const TAKEN_SMALLER = 'a log cannot be opened on a full disk where its own space, smaller than segments are now, goes to another program';

/** What shuts a log in on a full disk. */
export const SPACE: readonly Mutation[] = [
  {
    name: 'nothing is kept in reserve for the copy of a tail',
    file: 'engine/log/open.ts',
    find: 'await foundation.reserve.keep();',
    replace: '',
    caughtBy: named(FULL, TAKEN),
  },
  {
    name: 'the space of the reserve is only promised',
    file: 'engine/directory/reserve.ts',
    find: 'await this.#allocate(file, this.#bytes); await file.sync();',
    replace: 'await this.#allocate(file, this.#bytes);',
    caughtBy: named(FULL, 'the reserve is not on the disk yet when the first entry is taken'),
  },
  {
    name: 'segments give nothing back to the disk although the log cannot be opened',
    file: 'engine/recover/room-maker.ts',
    find: 'of this.#ends)',
    replace: 'of [])',
    caughtBy: named(FULL, LOST),
  },
  {
    name: 'a closed segment gives back bytes of its entries',
    file: 'engine/recover/room-maker.ts',
    find: 'Math.max(end, size - this.#stepBytes)',
    replace: 'end - 8',
    caughtBy: named(FULL, LOST),
  },
  {
    name: 'the last segment gives nothing back to the disk',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'this.#room.offerEnd(segment, to + LINK_LENGTH);',
    replace: ';',
    caughtBy: named(FULL, ALONE),
  },
  {
    name: 'a spare file is emptied while the disk may still know it by the name of its segment',
    file: 'engine/directory/log-directory.ts',
    find: 'await this.sync(); try { await this.use',
    replace: 'try { await this.use',
    caughtBy: named(FULL, 'a spare file is emptied while the disk may still know it by the name of its segment'),
  },
  {
    name: 'the reserve is no help when a directory has to grow for a name',
    file: 'engine/directory/reserve.ts',
    find: '!isNoSpace(error) || !(await this.free())',
    replace: 'true',
    caughtBy: named('unit/rare-faults', 'a checkpointed segment keeps its space because its new name needs a little more'),
  },
  {
    name: 'a log is not opened as long as there is no space for its next segment',
    file: 'engine/log/continue.ts',
    find: '!isNoSpace(error) ||',
    replace: 'true ||',
    caughtBy: named(FULL, OUTGROWN),
  },
  {
    name: 'a spare file that is too small is thrown away on a full disk',
    file: 'engine/directory/spare-files.ts',
    find: '!isNoSpace(error) || size < MIN_SEGMENT_BYTES',
    replace: 'true',
    caughtBy: named(FULL, TAKEN_SMALLER),
  },
  {
    name: 'a log that was abandoned whole has nowhere to continue on a full disk',
    file: 'engine/log/continue.ts',
    find: 'await spareFiles.giveBack(first);',
    replace: 'throw error;',
    caughtBy: named(FULL, 'a full disk keeps what is to be abandoned, because the log has nowhere to continue (all of 3)'),
  },
  {
    name: 'a log of one full segment has nowhere to continue on a full disk',
    file: 'engine/log/continue.ts',
    find: '(isGivenUp || first === last)',
    replace: 'isGivenUp',
    caughtBy: named(FULL, 'a log of one full segment never takes an entry again, because there is no space for another'),
  },
  {
    name: 'the beginning of an abandoned segment finds no space on a full disk',
    file: 'engine/directory/spare-files.ts',
    find: 'return this.#reserve.spend(create);',
    replace: 'throw error;',
    caughtBy: named('unit/rare-faults', 'a full disk keeps a segment from being abandoned that has older ones before it'),
  },
];
