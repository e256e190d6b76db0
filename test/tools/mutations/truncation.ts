import { crashes, RANDOM, type Mutation } from './mutation.js';

/** What truncation drops too much of, or too little. */
export const TRUNCATION: readonly Mutation[] = [
  {
    name: 'the log is cut before what names the place of the cut is durable',
    file: 'engine/write/rotation.ts',
    find: '{ committed: () => linked.resolve(), failed: (error) => linked.reject(error) });',
    replace: '{ committed: () => {}, failed: () => {} }); linked.resolve();',
    caughtBy: RANDOM,
  },
  {
    name: 'a cut looks for its place by the numbers of the segments',
    file: 'engine/log/truncate.ts',
    find: '.filter(({ idBefore }) => idBefore < id)',
    replace: '.filter(({ segmentId }) => segmentId <= id)',
    caughtBy: crashes('a segment with another name'),
  },
  {
    name: "a segment of the predecessor's that was cut off is taken for damage",
    file: 'engine/view/segment-chain.ts',
    find: '&& !isCutOff(segment, chain)',
    replace: '',
    caughtBy: crashes("the predecessor's log, cut and used"),
  },
];
