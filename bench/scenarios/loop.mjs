/** How long the event loop stands still while very much is asked for at once: timers and sockets wait for that. */
import { readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { emptyDirectory } from '../environment.mjs';
import { median, withChild } from '../measure.mjs';
import { duration, table } from '../table.mjs';

const HERE = import.meta.url;
const SIZE = 16;

export const name = 'loop';
export const title = 'Event loop';

const WAYS = [
  { way: 'recovery', title: 'recovery, entries counted', full: 2_000_000, quick: 200_000 },
  { way: 'batch', title: 'one batch', full: 500_000, quick: 50_000 },
  { way: 'appends', title: 'appends at once', full: 300_000, quick: 30_000 },
];
const FULL = { rounds: 3, size: 'full' };
const QUICK = { rounds: 1, size: 'quick' };

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const cells = [];
  for (const { way, title: label, [plan.size]: total } of WAYS) {
    progress(`the event loop during ${label}: ${total} entries`);
    emptyDirectory(directory);
    if (way === 'recovery') await withChild(HERE, (child) => child.call('fill', { directory, total }));
    const turns = [];
    for (let round = 0; round < plan.rounds; round++) {
      if (way !== 'recovery') emptyDirectory(directory);
      turns.push(await withChild(HERE, (child) => child.call(way, { directory, total })));
    }
    const middle = (of) => median(turns.map((turn) => turn[of]));
    cells.push({ way, label, total, ownMicros: middle('ownMicros'), longestMicros: middle('longestMicros') });
  }
  emptyDirectory(directory);
  const bare = await withChild(HERE, (child) => child.call('bare', {}));
  return { cells, plan, bareMicros: bare.longestMicros };
}

/** In a child: writes a log of `total` entries. */
export async function fill({ directory, total }) {
  const { openLog } = await import('../log.mjs');
  const log = await openLog(directory, { manager: 'keeping' });
  const data = Buffer.alloc(SIZE);
  for (let left = total; left > 0; left -= 10_000) {
    await log.appendBatch(Array.from({ length: Math.min(left, 10_000) }, () => data));
  }
  await log.shutdown();
}

/** In a child: opens the log. */
export async function recovery({ directory }) {
  const { openLog } = await import('../log.mjs');
  let log;
  const longest = await longestTurn(async () => (log = await openLog(directory, { manager: 'keeping' })));
  await log.shutdown();
  return longest;
}

/** In a child: appends one batch. */
export async function batch({ directory, total }) {
  const { openLog } = await import('../log.mjs');
  const log = await openLog(directory, { manager: 'keeping' });
  const data = Buffer.alloc(SIZE);
  const entries = Array.from({ length: total }, () => data);
  const longest = await longestTurn(() => log.appendBatch(entries));
  await log.shutdown();
  return longest;
}

/** In a child: appends all entries at once. The loop that calls `append` is the caller's own, and not measured. */
export async function appends({ directory, total }) {
  const { openLog } = await import('../log.mjs');
  const log = await openLog(directory, { manager: 'keeping' });
  const data = Buffer.alloc(SIZE);
  let left = total;
  let done;
  const all = new Promise((resolve) => (done = resolve));
  const count = () => {
    if (--left === 0) done();
  };
  for (let i = 0; i < total; i++) log.append(data).then(count);
  const longest = await longestTurn(() => all);
  await log.shutdown();
  return longest;
}

/** In a child: turns of 2 ms and nothing else, for a second: what they take beyond that is the machine's. */
export async function bare() {
  return longestTurn(async () => {
    for (const end = performance.now() + 1000; performance.now() < end;) {
      for (const turn = performance.now() + 2; performance.now() < turn;);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
}

/**
 * The longest time that the event loop did not turn while `work` was done, and the most that the thread itself computed
 * in one turn, garbage collection and waiting for a processor left out. In microseconds.
 */
async function longestTurn(work) {
  const collections = [];
  const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  const turns = [];
  let [from, cpuFrom] = [performance.now(), threadCpu()];
  let next = setImmediate(function onTurn() {
    const [to, cpuTo] = [performance.now(), threadCpu()];
    turns.push({ from, to, cpu: cpuTo - cpuFrom });
    [from, cpuFrom] = [to, cpuTo];
    next = setImmediate(onTurn);
  });
  await work();
  // The last turn ends, and what was collected is heard of, later.
  await new Promise((resolve) => setTimeout(resolve, 5));
  clearImmediate(next);
  observer.disconnect();
  const own = ({ from, to, cpu }) => cpu - collections
    .filter(({ startTime }) => startTime >= from && startTime < to)
    .reduce((sum, { duration }) => sum + duration, 0);
  const most = (of) => turns.reduce((longest, turn) => Math.max(longest, of(turn)), 0) * 1000;
  return { ownMicros: most(own), longestMicros: most(({ from, to }) => to - from) };
}

/** How long this thread has computed, in milliseconds; how long it has existed, where the system does not say. */
function threadCpu() {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return performance.now();
  }
}

export function report({ cells, plan, bareMicros }) {
  const rows = cells.map(({ label, total, ownMicros, longestMicros }) => (
    [label, total, duration(ownMicros), duration(longestMicros)]
  ));
  return `Entries of ${SIZE} B. The most that one turn of the event loop computed, and the longest that it did not ` +
    `turn, with garbage collection and what else ran on the machine; medians of ${plan.rounds} rounds, a new process ` +
    `for each. Turns of 2 ms beside it: ${duration(bareMicros)} at most.\n\n` +
    table(['', 'entries', 'computed in a turn', 'longest turn'], rows);
}
