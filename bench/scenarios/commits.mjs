/** Commits of several sizes from several numbers of writers: the log, its peers, the floor and the ceiling. */
import path from 'node:path';
import { emptyDirectory } from '../environment.mjs';
import { Child, interleave, median, ratioOf, summarise } from '../measure.mjs';
import { lineChart } from '../plot.mjs';
import { duration, megabytes, rate, ratio, size as sizeName, table } from '../table.mjs';

const TURNS = new URL('../commit-turns.mjs', import.meta.url).href;
const MIB = 1 << 20;

export const name = 'commits';
export const title = 'Commits';

/** More than three segments: from then on they are recycled. */
const RECYCLED = { circulateBytes: 160 * MIB };

/** `single`: its commit blocks the thread, so it has one writer. `onlyFor`: the one size it takes part in. */
const CONTESTANTS = [
  { name: 'log-append', title: 'log, append', settings: RECYCLED },
  { name: 'log-entry', title: 'log, beginEntry', settings: RECYCLED },
  { name: 'log-blocking', title: 'log, append, blockingFlush', settings: RECYCLED },
  { name: 'ceiling', title: 'ceiling', reference: true },
  { name: 'lmdb', title: 'lmdb' },
  { name: 'classic-level', title: 'classic-level' },
  { name: 'better-sqlite3', title: 'better-sqlite3', single: true },
  { name: 'node-sqlite', title: 'node:sqlite', single: true, available: hasNodeSqlite },
  { name: 'floor-write-fdatasync', title: 'floor, write + fdatasync', single: true, reference: true },
  { name: 'floor-dsync', title: 'floor, O_DSYNC', single: true, available: () => process.platform === 'linux' },
  { name: 'floor-bandwidth', title: 'floor, 8 MiB synced', single: true, onlyFor: MIB },
];

/** Too close to another line to be told from it, or with entries of another size. */
const UNCHARTED = ['log-blocking', 'floor-dsync', 'floor-bandwidth'];

/** The warm-up is long enough for the compiler to have settled before the first turn. */
const FULL = {
  sizes: [256, 1024, 4096, MIB],
  writers: [1, 2, 4, 8, 16, 64, 256, 1000],
  rounds: 5,
  milliseconds: 180,
  warmUpMilliseconds: 600,
};
const QUICK = { sizes: [256, 4096], writers: [1, 64, 1000], rounds: 3, milliseconds: 70, warmUpMilliseconds: 150 };

function hasNodeSqlite() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 13);
}

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const contestants = CONTESTANTS.filter(({ available }) => available?.() ?? true);
  const children = new Map(contestants.map((contestant) => [contestant.name, new Child(TURNS)]));
  const cells = [];
  try {
    for (const size of plan.sizes) {
      const taking = contestants.filter(({ onlyFor }) => onlyFor === undefined || onlyFor === size);
      await openAll(taking, children, directory, size, plan);
      for (const writers of writersFor(size, plan)) {
        progress(`commits of ${sizeName(size)} from ${writers} writers`);
        cells.push({ size, writers, of: await measureCell(taking, children, size, writers, plan) });
      }
      for (const contestant of taking) await children.get(contestant.name).call('close');
      emptyDirectory(directory);
    }
  } finally {
    for (const child of children.values()) await child.end();
  }
  return { cells, contestants, plan };
}

async function openAll(contestants, children, directory, size, plan) {
  for (const contestant of contestants) {
    const own = path.join(directory, contestant.name);
    emptyDirectory(own);
    const { name: contestantName, settings } = contestant;
    await children.get(contestantName).call('open', {
      contestant: contestantName, directory: own, size, settings, warmUpMilliseconds: plan.warmUpMilliseconds,
    });
  }
}

/** One size, one number of writers. Those with a single writer are measured beside 1 and beside 64 of the others. */
async function measureCell(contestants, children, size, writers, plan) {
  const taking = contestants.filter(({ single }) => !single || writers === 1 || writers === 64);
  const turns = await interleave(taking.map((contestant) => contestant.name), plan.rounds, (contestant) =>
    children.get(contestant).call('turn', { writers, milliseconds: plan.milliseconds }));
  return Object.fromEntries([...turns].map(([contestant, of]) => [contestant, summarise(of)]));
}

/** Every writer commits at least once in a turn: with entries of 1 MiB, more than 64 would take minutes. */
function writersFor(size, { writers }) {
  return size < MIB ? writers : writers.filter((count) => count <= 64);
}

export function report({ cells, contestants, plan }) {
  const parts = [explanation(plan), disturbance(cells)];
  for (const size of plan.sizes) {
    parts.push(`### ${sizeName(size)}: commits/s by number of writers`, ratesTable(cells, contestants, size, plan));
    parts.push(`### ${sizeName(size)}: details`, detailsTable(cells, contestants, size, plan));
  }
  return parts.join('\n\n');
}

function explanation({ rounds, milliseconds }) {
  return [
    'Each writer commits one entry after the other and waits until it is durable.',
    `${rounds} interleaved rounds of ${milliseconds} ms for each contestant,`,
    'every contestant in a process of its own; commits/s and CPU time (of all threads) are medians over the rounds,',
    'latencies quantiles of all samples, the spread is the fastest round ÷ the slowest. Ratios are taken round by',
    'round: their median, and in brackets the least and the greatest. The log has its default options and LogVoid,',
    'and recycles its segments.',
    'The floors and the SQLite peers block the thread: they have one writer, whatever the number, and are measured',
    'beside 1 and 64.',
  ].join(' ');
}

/** How evenly the disk went: on a machine that does other work beside, the ratios below say little. */
function disturbance(cells) {
  const spreads = cells.flatMap(({ of }) => of['floor-write-fdatasync']?.spread ?? []);
  const numbers = `${ratio(median(spreads))} in the middle, ${ratio(Math.max(...spreads))} at most`;
  return `The floor's (write + fdatasync) fastest round ÷ its slowest: ${numbers}. Above 2 the machine was not quiet.`;
}

function ratesTable(cells, contestants, size, plan) {
  const rows = [];
  const allWriters = writersFor(size, plan);
  for (const contestant of contestants) {
    const row = allWriters.map((writers) => cell(cells, size, writers)?.[contestant.name]);
    if (row.every((summary) => summary === undefined)) continue;
    rows.push([contestant.title, ...row.map((summary) => (summary === undefined ? '' : rate(summary.perSecond)))]);
  }
  const ratios = (one, other) => allWriters.map((writers) => cell(cells, size, writers))
    .map((of) => showRatio(ratioOf(of[one], of[other])));
  rows.push(['log, append ÷ ceiling', ...ratios('log-append', 'ceiling')]);
  rows.push(['log, beginEntry ÷ append', ...ratios('log-entry', 'log-append')]);
  return table(['writers', ...allWriters], rows);
}

function showRatio({ middle, least, greatest }) {
  return `${ratio(middle)} (${ratio(least)}–${ratio(greatest)})`;
}

function detailsTable(cells, contestants, size, plan) {
  const rows = [];
  for (const writers of writersFor(size, plan).filter((count) => [1, 16, 64, 256, 1000].includes(count))) {
    for (const contestant of contestants) {
      const summary = cell(cells, size, writers)?.[contestant.name];
      if (summary === undefined) continue;
      rows.push([
        `${writers}: ${contestant.title}`, rate(summary.perSecond), ratio(summary.spread),
        megabytes(summary.bytesPerSecond),
        ...[summary.p50, summary.p99, summary.p999, summary.cpuMicros].map(duration), summary.samples,
      ]);
    }
  }
  return table(['writers', 'commits/s', 'spread', 'MB/s', 'p50', 'p99', 'p99.9', 'CPU/commit', 'samples'], rows);
}

/** The summaries of one cell by contestant, or undefined. */
export function cell(cells, size, writers) {
  return cells.find((candidate) => candidate.size === size && candidate.writers === writers)?.of;
}

/** The charts of one run: file name and SVG. */
export function plots({ cells, contestants, plan }) {
  return plan.sizes.flatMap((size) => [
    {
      file: `commits-${sizeName(size).replace(' ', '').toLowerCase()}.svg`,
      svg: chart(`Durable commits of ${sizeName(size)}`, 'commits per second', rate, (summary) => summary.perSecond),
    },
    {
      file: `latency-${sizeName(size).replace(' ', '').toLowerCase()}.svg`,
      svg: chart(`p99 latency of durable commits of ${sizeName(size)}`, 'p99', duration, (summary) => summary.p99),
    },
  ].map(({ file, svg }) => ({ file, svg: svg(size) })));

  function chart(title, yLabel, yFormat, value) {
    const shown = contestants.filter((contestant) => !UNCHARTED.includes(contestant.name));
    return (size) => lineChart({
      title, yLabel, xLabel: 'concurrent writers', xTicks: plan.writers, yFormat: (y) => yFormat(y).replace(/\.0+/, ''),
      series: shown.map((contestant) => ({
        name: contestant.title,
        reference: contestant.reference,
        points: pointsOf(contestant, size, value),
      })),
    });
  }

  function pointsOf(contestant, size, value) {
    return writersFor(size, plan).map((writers) => [writers, cell(cells, size, writers)?.[contestant.name]])
      .filter(([, summary]) => summary !== undefined)
      .map(([writers, summary]) => [writers, value(summary)]);
  }
}
