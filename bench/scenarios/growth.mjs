/** The same work once, ten and a hundred times over: nothing may grow faster than the work. */
import path from 'node:path';
import { emptyDirectory } from '../environment.mjs';
import { withChild } from '../measure.mjs';
import { mebibytes, rate, table } from '../table.mjs';

const HERE = import.meta.url;
const SIZE = 256;
const WRITERS = 64;
const READS = 2000;

export const name = 'growth';
export const title = 'Growth';

const FULL = { unit: 20_000, times: [1, 10, 100] };
const QUICK = { unit: 1000, times: [1, 10, 100] };

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const cells = [];
  for (const times of plan.times) {
    const total = plan.unit * times;
    progress(`growth: ${total} entries`);
    const own = path.join(directory, String(times));
    emptyDirectory(own);
    const inChild = (step) => withChild(HERE, (child) => child.call(step, { directory: own, total }), ['--expose-gc']);
    cells.push({ times, total, ...await inChild('write'), ...await inChild('recoverAgain') });
  }
  emptyDirectory(directory);
  return { cells, plan };
}

/** In a child: commits `total` entries that stay in the log, then reads some of them at random. */
export async function write({ directory, total }) {
  const { fill, openLog } = await import('../log.mjs');
  const log = await openLog(directory, { manager: 'keeping' });
  await fill(log, { total: 20_000, size: SIZE, concurrency: WRITERS });
  globalThis.gc();
  const before = process.memoryUsage.rss();
  const positions = [];
  const keepOneIn = Math.ceil(total / READS);
  let count = 0;
  const each = (entry) => { if (count++ % keepOneIn === 0) positions.push(entry.chunks[0].position); };
  const started = performance.now();
  await fill(log, { total, size: SIZE, concurrency: WRITERS, each });
  const committed = performance.now() - started;
  globalThis.gc();
  const growthBytes = process.memoryUsage.rss() - before;
  const readsPerSecond = await readRandomly(log, positions);
  await log.shutdown();
  return { commitsPerSecond: total / committed * 1000, growthBytes, readsPerSecond };
}

async function readRandomly(log, positions) {
  const started = performance.now();
  for (let i = 0; i < READS; i++) {
    const reader = await log.readAt(positions[Math.floor(Math.random() * positions.length)]);
    await reader.readAll();
    await reader.close();
  }
  return READS / (performance.now() - started) * 1000;
}

/** In a child: recovers what `write` has left. */
export async function recoverAgain({ directory, total }) {
  const { openLog } = await import('../log.mjs');
  globalThis.gc();
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const log = await openLog(directory, { manager: 'keeping' });
  const milliseconds = performance.now() - started;
  globalThis.gc();
  const recoveryGrowthBytes = process.memoryUsage.rss() - before;
  if (log.recovery.entries < total) throw new Error(`only ${log.recovery.entries} of ${total} entries recovered`);
  const entriesPerSecond = log.recovery.entries / milliseconds * 1000;
  await log.shutdown();
  return { entriesPerSecond, recoveryGrowthBytes };
}

export function report({ cells }) {
  const rows = cells.map((cell) => [
    `${cell.times}×: ${cell.total.toLocaleString('en')}`,
    rate(cell.commitsPerSecond), mebibytes(Math.max(0, cell.growthBytes)), rate(cell.readsPerSecond),
    rate(cell.entriesPerSecond), mebibytes(Math.max(0, cell.recoveryGrowthBytes)),
  ]);
  return `Entries of ${SIZE} B committed by ${WRITERS} writers and kept in the log (20,000 more before, to warm up), ` +
    `${READS} of them read one by one, all of them recovered. Memory is what stays after a garbage collection.\n\n` +
    table(['entries', 'commits/s', 'memory kept (MiB)', 'reads/s', 'recovered entries/s', 'memory kept (MiB)'], rows);
}
