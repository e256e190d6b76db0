/** How long the event loop stands still while very much is asked for at once: timers and sockets wait for that. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
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
    const longest = [];
    for (let round = 0; round < plan.rounds; round++) {
      if (way !== 'recovery') emptyDirectory(directory);
      longest.push(await withChild(HERE, (child) => child.call(way, { directory, total })));
    }
    cells.push({ way, label, total, longestMicros: median(longest) });
  }
  emptyDirectory(directory);
  return { cells, plan };
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

/** The longest time that the event loop did not turn while `work` was done, in microseconds. */
async function longestTurn(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await work();
  // What held the loop last is only noticed when it has turned.
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  return delay.max / 1000;
}

export function report({ cells, plan }) {
  const rows = cells.map(({ label, total, longestMicros }) => [label, total, duration(longestMicros)]);
  return `Entries of ${SIZE} B. The longest time that the event loop did not turn, garbage collection included; ` +
    `medians of ${plan.rounds} rounds, a new process for each.\n\n` +
    table(['', 'entries', 'longest turn'], rows);
}
