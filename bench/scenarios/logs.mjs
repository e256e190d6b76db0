/** Several logs in one process, for example one per partition: the same writers over 1, 4, 16 and 64 logs. */
import path from 'node:path';
import { emptyDirectory } from '../environment.mjs';
import { Child, interleave, summarise } from '../measure.mjs';
import { duration, rate, ratio, size as sizeName, table } from '../table.mjs';

const HERE = import.meta.url;
const SIZE = 256;
const WRITERS = 64;
const COUNTS = [1, 4, 16, 64];
const MAX_SAMPLES = 1 << 20;
/** What the tuning advice says of many small logs. */
const SETTINGS = { bufferBytes: 64 << 10, maxPendingBytes: 1 << 20, preallocateBytes: 4 << 20 };

export const name = 'logs';
export const title = 'Several logs in one process';

const FULL = { rounds: 7, milliseconds: 400 };
const QUICK = { rounds: 3, milliseconds: 100 };

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  progress(`${WRITERS} writers over ${COUNTS.join(', ')} logs`);
  const children = new Map(COUNTS.map((count) => [String(count), new Child(HERE)]));
  try {
    for (const [count, child] of children) {
      const own = path.join(directory, count);
      emptyDirectory(own);
      await child.call('open', { directory: own, count: Number(count), milliseconds: plan.milliseconds });
    }
    const turns = await interleave([...children.keys()], plan.rounds, (count) =>
      children.get(count).call('turn', { milliseconds: plan.milliseconds }));
    for (const child of children.values()) await child.call('close');
    emptyDirectory(directory);
    return { plan, of: Object.fromEntries([...turns].map(([count, of]) => [count, summarise(of)])) };
  } finally {
    for (const child of children.values()) await child.end();
  }
}

/** In a child. */
let logs;

export async function open({ directory, count, milliseconds }) {
  const { openLog } = await import('../log.mjs');
  const opening = Array.from({ length: count }, (_, i) => openLog(path.join(directory, String(i)), SETTINGS));
  logs = await Promise.all(opening);
  await turn({ milliseconds });
}

/** Lets the writers commit, each to one log, for `milliseconds`. Latencies are in microseconds. */
export async function turn({ milliseconds }) {
  const data = Buffer.alloc(SIZE, 'segmented');
  const samples = [];
  const cpu = process.cpuUsage();
  const started = performance.now();
  await Promise.all(Array.from({ length: WRITERS }, async (_, writer) => {
    const log = logs[writer % logs.length];
    for (let before = started; before < started + milliseconds;) {
      await log.append(data);
      const after = performance.now();
      if (samples.length < MAX_SAMPLES) samples.push((after - before) * 1000);
      before = after;
    }
  }));
  const elapsed = performance.now() - started;
  const used = process.cpuUsage(cpu);
  return {
    commits: samples.length,
    milliseconds: elapsed,
    cpuMicros: used.user + used.system,
    bytesPerCommit: SIZE,
    latencies: Float32Array.from(samples),
  };
}

export async function close() {
  await Promise.all(logs.map((log) => log.shutdown()));
}

export function report({ plan, of }) {
  const rows = COUNTS.map((count) => [count, of[count]]).map(([count, { perSecond, spread, p50, p99, cpuMicros }]) => [
    count, rate(perSecond), ratio(perSecond / of[1].perSecond), ratio(spread), ...[p50, p99, cpuMicros].map(duration),
  ]);
  return `${WRITERS} writers of ${sizeName(SIZE)} in all, spread evenly over the logs of one process, on one disk. ` +
    `Medians of ${plan.rounds} interleaved rounds of ${plan.milliseconds} ms; the spread is the fastest round ÷ the ` +
    'slowest.\n\n' + table(['logs', 'commits/s', '÷ one log', 'spread', 'p50', 'p99', 'CPU/commit'], rows);
}
