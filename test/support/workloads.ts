import type { SyncMode } from '../../src/model/options.js';
import type { CheckpointBehaviour, Streamed } from './modelled-log.js';
import type { Random } from './random.js';

/** One step of a workload. Steps are data, so that a failing workload can be printed, repeated and shrunk. */
export type Step =
  /** Appends an entry with chunks of these lengths and waits for it. */
  | { readonly do: 'append'; readonly lengths: readonly number[]; readonly durable?: boolean }
  /** Appends `count` entries side by side; `settle` waits for them. */
  | { readonly do: 'append many'; readonly count: number; readonly length: number; readonly durable?: boolean }
  /** Appends entries of these lengths as one unit; `settle` waits for them. */
  | { readonly do: 'append a batch'; readonly lengths: readonly number[]; readonly durable?: boolean }
  /** Makes everything durable that was committed. */
  | { readonly do: 'sync' }
  /** Drops so many of the last entries that are there. */
  | { readonly do: 'truncate after'; readonly dropped: number }
  /** Appends a few entries, and drops the last while all that is there is iterated over. */
  | { readonly do: 'truncate while reading'; readonly dropped: number }
  /** Both at once: the last entries are dropped, and the first given up. */
  | { readonly do: 'truncate at both ends'; readonly kept: number; readonly dropped: number }
  /** Appends entries side by side that need not be durable, and makes them so. */
  | { readonly do: 'sync after appends'; readonly count: number; readonly length: number }
  /** Appends an entry, and waits until it is durable in a log that syncs at intervals. */
  | { readonly do: 'wait until durable' }
  /** Commits an entry, rolls back another that is flushed in part with it, and commits a third. */
  | { readonly do: 'roll back what was flushed'; readonly length: number }
  /** Passes over so many ids, durably. */
  | { readonly do: 'skip ids'; readonly count: number }
  /** The same, and appends an entry in the same moment. */
  | { readonly do: 'skip ids and append'; readonly count: number; readonly length: number }
  | { readonly do: 'ask for the identity' }
  /** Gives up all but so many of the last entries that are there. */
  | { readonly do: 'truncate before'; readonly kept: number }
  | { readonly do: 'hold' }
  | { readonly do: 'advance the hold' }
  | { readonly do: 'release the hold' }
  /** Goes through all entries that are there, from the hold on if there is one. */
  | { readonly do: 'iterate' }
  /** Goes on through the entries to come, as long as the log is open. */
  | { readonly do: 'follow' }
  /** Appends entries that differ in nothing, side by side, as a program does that tries again. */
  | { readonly do: 'append the same'; readonly count: number; readonly length: number }
  /** Appends a chunk whose bytes are a copy of one of the log's own files. */
  | { readonly do: 'append a copy of the log'; readonly length: number }
  /** Writes an entry through an EntryWriter. */
  | {
    readonly do: 'write'; readonly lengths: readonly number[]; readonly end: EntryEnd;
    readonly isStreamed?: Streamed; readonly durable?: boolean;
  }
  /** Finishes a streamed chunk too early, then rolls back. */
  | { readonly do: 'finish too early'; readonly length: number }
  | { readonly do: 'checkpoint the active segment' }
  | { readonly do: 'checkpoints will'; readonly behave: CheckpointBehaviour }
  /** Reads back every chunk whose position is known. */
  | { readonly do: 'read back' }
  | { readonly do: 'hold a reader' }
  | { readonly do: 'release readers' }
  /** Waits for everything in flight and in the background. */
  | { readonly do: 'settle' }
  /** Lets the timer that is next go off. */
  | { readonly do: 'let time pass' }
  | { readonly do: 'shut down' }
  /** Opens the log again, after shutting it down if that has not been done. */
  | { readonly do: 'reopen' }
  /** Opens it again and abandons this many of the oldest segments. */
  | { readonly do: 'reopen, abandoning'; readonly segments: number }
  /** Shuts it down; a live segment's file gets the name of the id that comes `ahead` after the last. Opens it again. */
  | { readonly do: 'rename a segment'; readonly ahead: number }
  /** As the first step of a workload: the log is the predecessor's, of segments with entries of these lengths. */
  | { readonly do: 'take over from the predecessor'; readonly segments: readonly (readonly number[])[] }
  /** As the first step of a workload: the log is made with this first id and identity, rather than by being opened. */
  | { readonly do: 'create'; readonly nextId: number; readonly identity: string }
  /** The process ends without a word, and another one opens the log. */
  | { readonly do: 'end the process' }
  /** The power goes, and any part of what is pending with it. */
  | { readonly do: 'lose power' };

/** `commit later` leaves the commit in flight. */
export type EntryEnd = 'commit' | 'commit later' | 'rollback';

export interface Workload {
  readonly name: string;
  readonly steps: readonly Step[];
  /** When its commits have resolved. Default: what the seed says. */
  readonly sync?: SyncMode;
}

const append = (...lengths: number[]): Step => ({ do: 'append', lengths });
const many = (count: number, length: number): Step => ({ do: 'append many', count, length });
const same = (count: number, length: number): Step => ({ do: 'append the same', count, length });
const write = (end: EntryEnd, ...lengths: number[]): Step => ({ do: 'write', lengths, end });
const stream = (end: EntryEnd, ...lengths: number[]): Step => ({ do: 'write', lengths, end, isStreamed: true });
const openEnded = (end: EntryEnd, ...lengths: number[]): Step =>
  ({ do: 'write', lengths, end, isStreamed: 'to an open end' });
const batch = (...lengths: number[]): Step => ({ do: 'append a batch', lengths });
const loose = (...lengths: number[]): Step => ({ do: 'append', lengths, durable: false });
const firm = (...lengths: number[]): Step => ({ do: 'append', lengths, durable: true });
const truncateAfter = (dropped: number): Step => ({ do: 'truncate after', dropped });
const truncateBefore = (kept: number): Step => ({ do: 'truncate before', kept });
const checkpointsWill = (behave: CheckpointBehaviour): Step => ({ do: 'checkpoints will', behave });
const settle: Step = { do: 'settle' };
const reopen: Step = { do: 'reopen' };
const endProcess: Step = { do: 'end the process' };
const losePower: Step = { do: 'lose power' };
const checkpointActive: Step = { do: 'checkpoint the active segment' };
const readBack: Step = { do: 'read back' };
const letTimePass: Step = { do: 'let time pass' };
const sync: Step = { do: 'sync' };
const hold: Step = { do: 'hold' };
const advanceHold: Step = { do: 'advance the hold' };
const releaseHold: Step = { do: 'release the hold' };
const iterate: Step = { do: 'iterate' };
const follow: Step = { do: 'follow' };
const renameSegment = (ahead: number): Step => ({ do: 'rename a segment', ahead });
const takeOver = (...segments: number[][]): Step => ({ do: 'take over from the predecessor', segments });
const skip = (count: number): Step => ({ do: 'skip ids', count });
const skipAndAppend = (count: number, length: number): Step => ({ do: 'skip ids and append', count, length });
const askForIdentity: Step = { do: 'ask for the identity' };
const create = (nextId: number): Step => ({ do: 'create', nextId, identity: '0f8fad5b-d9cb-469f-a165-70867728950e' });
const ALL = 1000;

/** Fills about one segment of the size the tests use, which is closed at about 1 KiB. */
const segmentful: readonly Step[] = [append(400), append(400), append(400)];

/** The workloads that are crashed at every single call. Each begins with opening a log that does not exist yet. */
export const WORKLOADS: readonly Workload[] = [
  { name: 'first commit', steps: [append(10), append(20)] },
  { name: 'entries of several chunks', steps: [append(1, 2, 3), write('commit', 5, 0, 700), append(0)] },
  { name: 'empty entries', steps: [append(), write('commit'), append(0), append()] },
  {
    name: 'concurrent writers',
    steps: [many(5, 30), write('commit later', 40), many(3, 300), write('commit', 10), settle],
  },
  { name: 'rotation', steps: [...segmentful, append(50), settle] },
  { name: 'recycling', steps: [...segmentful, settle, ...segmentful, settle, ...segmentful, settle, append(10)] },
  {
    name: 'entries around the end of a segment',
    steps: [append(1000), append(3000), append(4000), append(60), settle, append(60)],
  },
  { name: 'an entry larger than a segment', steps: [append(20), append(6000), append(20), settle, append(20)] },
  { name: 'a streamed chunk larger than the buffers', steps: [append(9), stream('commit', 9000), append(9), settle] },
  {
    name: 'checkpointing the active segment',
    steps: [checkpointActive, append(20), checkpointActive, append(30), settle, checkpointActive],
  },
  {
    name: 'a failing checkpoint',
    steps: [
      checkpointsWill('reject'), ...segmentful, append(30), settle, letTimePass, settle,
      checkpointsWill('succeed'), letTimePass, settle, append(30),
    ],
  },
  {
    name: 'a checkpoint that never ends',
    steps: [checkpointsWill('hang'), ...segmentful, ...segmentful, endProcess, append(5)],
  },
  {
    name: 'a rollback in between',
    steps: [
      append(20), write('rollback', 50, 60), append(20), write('commit later', 9), write('rollback', 9), settle,
    ],
  },
  {
    name: 'a rollback, then a smaller entry',
    steps: [stream('rollback', 5000), append(3), append(4), endProcess, append(5)],
  },
  { name: 'a chunk finished too early', steps: [append(9), { do: 'finish too early', length: 100 }, append(9)] },
  { name: 'reopening', steps: [append(30), reopen, append(40), ...segmentful, settle, reopen, append(9)] },
  {
    name: 'reopening after the process ended',
    steps: [append(30), many(4, 100), endProcess, append(40), many(2, 9), endProcess, append(5)],
  },
  {
    name: 'reopening after power losses',
    steps: [append(30), many(4, 100), losePower, append(40), many(4, 400), losePower, losePower, append(5)],
  },
  {
    name: 'recovering several segments',
    steps: [checkpointsWill('hang'), ...segmentful, ...segmentful, many(3, 20), losePower, settle, append(5)],
  },
  {
    name: 'reading across recycling',
    steps: [
      append(30), { do: 'hold a reader' }, ...segmentful, settle, ...segmentful, settle, readBack,
      { do: 'release readers' }, settle, ...segmentful, readBack,
    ],
  },
  {
    name: 'reading what is not durable yet',
    steps: [
      append(30), write('commit later', 40, 50), readBack, many(3, 300), write('commit later', 9), readBack, loose(20),
      write('commit later', 700), readBack, settle, stream('commit later', 5000), readBack, losePower, readBack,
      write('rollback', 30), readBack, ...segmentful, write('commit later', 600), readBack, truncateAfter(1), readBack,
    ],
  },
  {
    name: 'reading a large chunk across recycling',
    steps: [
      stream('commit', 20_000), { do: 'hold a reader' }, ...segmentful, settle, ...segmentful, settle, ...segmentful,
      settle, { do: 'release readers' }, settle, append(400),
    ],
  },
  {
    name: 'the same entries again after power losses',
    steps: [same(3, 500), losePower, same(3, 500), losePower, same(2, 500), losePower, same(2, 0)],
  },
  {
    name: 'everything checkpointed, reopened again and again',
    steps: [
      append(20), checkpointActive, settle, reopen, reopen, endProcess, append(5), checkpointActive, settle, reopen,
      append(5),
    ],
  },
  {
    name: 'abandoning segments',
    steps: [
      checkpointsWill('hang'), ...segmentful, ...segmentful, append(20), settle, endProcess,
      checkpointsWill('hang'), { do: 'reopen, abandoning', segments: 2 }, append(20), settle, endProcess, append(20),
    ],
  },
  {
    name: 'shutting down in flight',
    steps: [append(10), many(4, 200), { do: 'shut down' }, reopen, append(9), { do: 'shut down' }],
  },
  {
    name: 'payloads that look like the log',
    steps: [
      append(50), { do: 'append a copy of the log', length: 150 }, append(9),
      { do: 'append a copy of the log', length: 900 }, losePower, { do: 'append a copy of the log', length: 600 },
      append(9),
    ],
  },
  { name: 'batches', steps: [batch(30, 0, 700), append(9), batch(5, 5), batch(400, 800), settle, batch(9), settle] },
  {
    name: 'a batch larger than the buffers',
    steps: [append(9), batch(9000, 20, 30_000, 40_000, 5), append(9), settle, batch(2000, 2500), settle],
  },
  {
    name: 'chunks of unknown length',
    steps: [append(9), openEnded('commit', 100), openEnded('commit', 9000, 0), openEnded('commit later', 20_000), settle],
  },
  {
    name: 'a rollback of a chunk of unknown length',
    steps: [
      append(9), openEnded('rollback', 9000), append(3), openEnded('rollback', 5000, 30), openEnded('commit', 9000), loose(5),
      openEnded('commit later', 9000), write('rollback', 9), append(5),
    ],
  },
  {
    name: 'commits that need not be durable',
    steps: [loose(30), loose(700), append(20), loose(400), loose(5), sync, loose(40), loose(60), losePower, loose(9)],
  },
  {
    name: 'commits that need not be durable, and a change of segments',
    steps: [loose(400), loose(400), loose(400), settle, loose(300), loose(20), openEnded('commit', 9000), loose(9), settle],
  },
  {
    name: 'syncing by hand', sync: 'manual',
    steps: [append(30), many(3, 200), settle, sync, append(40), firm(9), batch(30, 40), settle, stream('rollback', 6000), append(5)],
  },
  {
    name: 'syncing now and then', sync: 'interval',
    steps: [append(30), letTimePass, settle, ...segmentful, settle, append(40), letTimePass, append(5), settle],
  },
  {
    name: 'shutting down and reopening without a sync', sync: 'manual',
    steps: [append(30), append(700), reopen, append(40), endProcess, append(50), append(600), { do: 'shut down' }, reopen, append(9)],
  },
  {
    name: 'cutting the active segment',
    steps: [append(30), append(40), batch(50, 60), append(9), truncateAfter(2), append(8), append(7), endProcess, append(5)],
  },
  {
    name: 'cutting a closed segment',
    steps: [
      checkpointsWill('reject'), ...segmentful, settle, ...segmentful, settle, ...segmentful, settle, truncateAfter(7), append(30),
      checkpointsWill('succeed'), reopen, ...segmentful, settle, ...segmentful, settle, append(9), reopen, iterate,
    ],
  },
  {
    name: 'cutting everything',
    steps: [checkpointsWill('hang'), ...segmentful, settle, append(9), truncateAfter(ALL), append(9), append(8), losePower, append(5)],
  },
  {
    name: 'cutting again and again',
    steps: [
      append(30), append(40), truncateAfter(1), append(50), truncateAfter(1), many(2, 30), truncateAfter(1), append(9), reopen,
      truncateAfter(1), append(5), append(6), truncateAfter(1),
    ],
  },
  {
    name: 'cutting during a checkpoint',
    steps: [
      checkpointsWill('hang'), ...segmentful, settle, ...segmentful, settle, truncateAfter(4), checkpointsWill('succeed'),
      append(700), append(700), settle, append(9),
    ],
  },
  {
    name: 'cutting what is not durable', sync: 'manual',
    steps: [append(30), append(40), append(50), truncateAfter(1), append(9), append(8), sync, append(7), truncateAfter(2), append(6)],
  },
  {
    name: 'giving up entries, then cutting',
    steps: [
      ...segmentful, append(30), append(40), settle, truncateBefore(0), truncateBefore(1), truncateAfter(1), append(400), append(400),
      append(400), settle, reopen, append(9),
    ],
  },
  {
    name: 'a hold across checkpoints',
    steps: [
      hold, ...segmentful, settle, ...segmentful, settle, iterate, reopen, iterate, advanceHold, settle, ...segmentful, settle,
      iterate, losePower, hold, iterate, releaseHold, settle, append(9),
    ],
  },
  {
    name: 'a hold and a cut',
    steps: [
      append(20), hold, ...segmentful, settle, append(30), append(40), truncateAfter(1), append(50), reopen, ...segmentful, settle,
      iterate, append(60), truncateAfter(1), append(9), losePower, iterate,
    ],
  },
  {
    name: 'following across segments',
    steps: [
      append(20), follow, ...segmentful, loose(20), settle, batch(30, 500), sync, truncateAfter(1), follow, ...segmentful, settle,
      loose(9), { do: 'shut down' },
    ],
  },
  {
    name: "the predecessor's log, cut and used",
    steps: [
      takeOver([30, 40], [], [20, 30], []), checkpointsWill('hang'), append(30), append(40), truncateAfter(1), append(50),
      truncateAfter(3), append(9), endProcess, truncateAfter(ALL), append(8), losePower, append(7),
    ],
  },
  {
    name: 'a segment with another name',
    steps: [
      checkpointsWill('reject'), append(30), append(40), renameSegment(2), append(50), checkpointActive, append(60), append(70),
      truncateAfter(1), append(9), renameSegment(1), checkpointActive, append(8), truncateAfter(2), append(7), losePower, iterate,
    ],
  },
  {
    name: 'skipping ids',
    steps: [
      append(30), skip(100), append(40), skip(5), endProcess, append(9), skip(7), losePower, append(5), skipAndAppend(50, 60),
      batch(30, 40), skip(3), ...segmentful, settle, skip(9), reopen, append(8), write('rollback', 30), skip(0), losePower, append(7),
    ],
  },
  {
    name: 'skipping ids in a segment without entries',
    steps: [
      skip(10), skip(20), losePower, losePower, append(30), checkpointActive, settle, skip(5), skip(6), endProcess, losePower,
      append(400), skip(3), truncateAfter(0), append(9), truncateAfter(ALL), append(8),
    ],
  },
  {
    name: 'skipping ids that are not durable', sync: 'manual',
    steps: [append(30), many(3, 200), skip(0), losePower, append(9), skip(4), append(8), skip(0), losePower, append(7)],
  },
  {
    name: 'a log that continues another',
    steps: [
      create(1000), append(30), askForIdentity, ...segmentful, settle, losePower, askForIdentity, append(9), truncateAfter(ALL), append(8),
    ],
  },
  {
    name: 'asking for the identity',
    steps: [
      append(30), askForIdentity, losePower, askForIdentity, ...segmentful, settle, askForIdentity, truncateAfter(ALL), reopen,
      askForIdentity, append(9), endProcess, askForIdentity,
    ],
  },
];

/** A workload made up by chance. */
export function randomWorkload(random: Random): Workload {
  const steps = Array.from({ length: random.between(3, 25) }, () => randomStep(random));
  if (random.oneIn(8)) steps.unshift(randomPredecessor(random));
  else if (random.oneIn(8)) steps.unshift(create(random.pick([1, 2, 1000, 2 ** 40])));
  return { name: 'random', steps };
}

/** The predecessor leaves its newest segment without entries now and then. */
function randomPredecessor(random: Random): Step {
  const lengths = (): number[] => Array.from({ length: random.pick([0, 1, 2, 5]) }, () => random.below(500));
  return takeOver(...Array.from({ length: random.between(1, 4) }, lengths));
}

function randomStep(random: Random): Step {
  const lengths = (): number[] => Array.from({ length: random.pick([0, 1, 1, 1, 2, 4]) }, () => randomLength(random));
  if (random.oneIn(4)) return newerStep(random);
  const durable = random.oneIn(4) ? { durable: random.oneIn(2) } : {};
  switch (random.below(20)) {
    case 0: case 1: case 2: case 3: return { do: 'append', lengths: lengths(), ...durable };
    case 4: case 5: case 6: return { ...many(random.between(1, 6), randomLength(random)), ...durable };
    case 7: case 8: return write(random.pick(['commit', 'commit later', 'rollback']), ...lengths());
    case 9: return stream(random.pick(['commit', 'commit later', 'rollback']), ...lengths());
    case 10:
      if (random.oneIn(2)) return same(random.between(1, 4), random.pick([0, 20, 500]));
      return { do: 'append a copy of the log', length: random.between(1, 800) };
    case 11: return checkpointActive;
    case 12: return checkpointsWill(random.pick(['succeed', 'succeed', 'succeed', 'throw', 'reject', 'hang']));
    case 13: return random.pick([readBack, { do: 'finish too early', length: random.below(200) }]);
    case 14: return { do: 'hold a reader' };
    case 15: return { do: 'release readers' };
    case 16: return random.pick([settle, letTimePass]);
    case 17: {
      const abandoning: Step = { do: 'reopen, abandoning', segments: random.between(1, 3) };
      return random.pick([reopen, { do: 'shut down' }, abandoning, renameSegment(random.between(1, 4))]);
    }
    case 18: return endProcess;
    default: return losePower;
  }
}

function newerStep(random: Random): Step {
  const durable = random.oneIn(3) ? { durable: random.oneIn(2) } : {};
  const end = random.pick(['commit', 'commit later', 'rollback'] as const);
  switch (random.below(21)) {
    case 18: return skip(random.pick([0, 1, 2, 1000]));
    case 19: return random.oneIn(2) ? skipAndAppend(random.pick([0, 1, 1000]), randomLength(random)) : skip(random.pick([0, 1]));
    case 20: return askForIdentity;
    case 0: case 1: {
      const lengths = Array.from({ length: random.between(1, 5) }, () => randomLength(random));
      return { do: 'append a batch', lengths, ...durable };
    }
    case 2: return { ...openEnded(end, randomLength(random), randomLength(random)), ...durable };
    case 3: return sync;
    case 4: case 5: return truncateAfter(random.pick([0, 1, 1, 2, 5, ALL]));
    case 6: return truncateBefore(random.below(5));
    case 7: return random.pick([hold, hold, advanceHold, releaseHold]);
    case 8: return iterate;
    case 9: return follow;
    case 10: case 17: return { do: 'truncate while reading', dropped: random.pick([1, 2, ALL, ALL]) };
    case 11: case 12: return { do: 'truncate at both ends', kept: random.below(3), dropped: random.pick([1, 2, 5, ALL]) };
    case 16: return { do: 'sync after appends', count: random.between(2, 5), length: random.between(500, 3500) };
    case 13: return { do: 'wait until durable' };
    case 14: case 15: return { do: 'roll back what was flushed', length: random.between(4500, 9000) };
    default: return sync;
  }
}

function randomLength(random: Random): number {
  const large = random.oneIn(4) ? random.below(9000) : 1;
  return random.pick([random.below(20), random.below(300), random.below(1500), large]);
}
