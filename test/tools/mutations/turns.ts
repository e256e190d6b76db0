import { named, type Mutation } from './mutation.js';

/** What holds the event loop, or is done in another order because it takes more than one turn of it. */
export const TURNS: readonly Mutation[] = [
  {
    name: 'a batch of very many entries is encoded in one turn',
    file: 'engine/write/large-append.ts',
    find: 'if (turn.spend(0)) await turn.nextTurn(); batch[i] =',
    replace: 'batch[i] =',
    also: [{
      file: 'engine/write/large-append.ts',
      find: 'if (turn.spend(bytes.length)) await turn.nextTurn();',
      replace: '',
    }],
    caughtBy: named('unit/long-work', 'a batch of very many entries holds the event loop (memory)'),
  },
  {
    name: 'appends in line are all written in one turn',
    file: 'engine/write/write-queue.ts',
    find: 'if (turn.spend(request.length) && this.waiting > 0)',
    replace: 'if (false)',
    caughtBy: named('unit/long-work', 'very many appends that have waited in line hold the event loop (memory)'),
  },
  {
    name: 'all the appends of a flush are acknowledged in one turn',
    file: 'engine/flush/acknowledgements.ts',
    find: 'const PER_TURN = 4096;',
    replace: 'const PER_TURN = Infinity;',
    caughtBy: named('unit/turns', 'very many appends that share a flush are acknowledged in one turn of the event loop (memory)'),
  },
  {
    name: 'a flush that is short is acknowledged before a long one that came first',
    file: 'engine/flush/acknowledgements.ts',
    find: 'if (this.isIdle && commits.waiters.length <= PER_TURN)',
    replace: 'if (commits.waiters.length <= PER_TURN)',
    caughtBy: named('unit/turns', 'very many appends that share a flush are acknowledged in one turn of the event loop (memory)'),
  },
  {
    name: 'each link is followed by a search through all segments',
    file: 'engine/view/segment-chain.ts',
    find: 'keptById.get(id) ??',
    replace: 'linked.find(({ segment }) => segment.segmentId === id) ??',
    caughtBy: named('unit/segment-chain', 'the time to follow the links of segments grows with the square of their number'),
  },
];
