import { crashes, named, random, type Mutation } from './mutation.js';

/** What truncation drops too much of, or too little. */
export const TRUNCATION: readonly Mutation[] = [
  {
    name: 'the log is cut before what names the place of the cut is durable',
    file: 'engine/write/rotation.ts',
    find: '{ committed: () => linked.resolve(), failed: (error) => linked.reject(error) });',
    replace: '{ committed: () => {}, failed: () => {} }); linked.resolve();',
    caughtBy: random(13),
  },
  {
    name: 'a cut looks for its place by the numbers of the segments',
    file: 'engine/log/truncate.ts',
    find: '.filter(({ idBefore }) => idBefore < id)',
    replace: '.filter(({ segmentId }) => segmentId <= id)',
    caughtBy: crashes('a segment with another name', 0, 0),
  },
  {
    name: "a segment of the predecessor's that was cut off is taken for damage",
    file: 'engine/view/segment-chain.ts',
    find: 'if (!isCutOff) throw',
    replace: 'throw',
    caughtBy: crashes("the predecessor's log, cut and used", 0, 98),
  },
  {
    name: 'a truncation looks for its place in what is durable only',
    file: 'engine/log/truncate.ts',
    find: 'await queue.sync();',
    replace: '',
    caughtBy: named('crash/crash-interplay', 'a truncation drops what was committed before its place and is not durable yet (memory)'),
  },
  {
    name: 'truncateBefore is not told that what it waits for was truncated',
    file: 'engine/checkpoint/retirement.ts',
    find: 'id: Math.min(below, id + 1), done })); this.#settle();',
    replace: 'id: Math.min(below, id + 1), done }));',
    caughtBy: named('crash/crash-interplay', 'truncateBefore waits for ever when what it waits for is truncated to 0'),
  },
  {
    name: 'entries that get the ids of a truncation count as released',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'this.#releasedBelow = Math.min(this.#releasedBelow, id + 1);',
    replace: '',
    caughtBy: named('unit/truncate', 'entries that get ids of a cut are checkpointed, though those ids had been released'),
  },
  {
    name: 'a truncation takes damage for the end of a segment',
    file: 'engine/log/truncate.ts',
    find: 'if (entry === undefined && scanner.end < segment.durableEnd) throw damaged(segment, scanner.end, scanner.lastId);',
    replace: '',
    caughtBy: named('crash/crash-interplay', 'a cut takes damage for the end of a segment, and drops entries that were to stay (memory)'),
  },
  {
    name: 'a truncated segment that could not be renamed is forgotten',
    file: 'engine/log/truncate.ts',
    find: 'checkpointer.retirement.discard(segment);',
    replace: '',
    caughtBy: named('crash/crash-interplay', 'a segment that was cut off but kept its name makes the log look damaged later'),
  },
  {
    name: 'the durable id stays above a truncation',
    file: 'engine/log/truncate.ts',
    find: 'queue.durableId.set(id);',
    replace: '',
    caughtBy: named('unit/follow', 'the durable id is that of the last entry after reopening, and after a cut (memory)'),
  },
  {
    name: 'iterators do not hear of a truncation',
    file: 'engine/log/truncate.ts',
    find: 'segments.cuts.push(id);',
    replace: '',
    caughtBy: named('unit/follow', 'a follower is told when the log is cut behind what it has, and goes on if it is not (memory)'),
  },
  {
    name: 'a checkpoint of what is truncated goes on',
    file: 'engine/log/truncate.ts',
    find: 'await checkpointer.suspend(beyond);',
    replace: '',
    caughtBy: named('unit/truncate', 'a cut does not wait for a checkpoint that never ends, and gives it up if its entries are dropped'),
  },
];
