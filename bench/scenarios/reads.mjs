/**
 * Random reads of values of 256 B and 4 KiB, from the page cache and from the disk: on the calling thread and on the
 * thread pool, against the bare calls and against the peers. What each does is written at the head of its file in
 * readers/.
 */
import path from 'node:path';
import { dropPageCache, emptyDirectory } from '../environment.mjs';
import { Child, interleave, median, summarise } from '../measure.mjs';
import { duration, rate, ratio, size as sizeName, table } from '../table.mjs';

const HERE = import.meta.url;
const MAX_SAMPLES = 1 << 18;
/** What is done between two looks at the clock, on the calling thread. */
const BATCH = 16;

export const name = 'reads';
export const title = 'Random reads';

const FULL = { bytes: 192 << 20, maxChunks: 200_000, rounds: 7, milliseconds: 200, readers: [1, 4, 16] };
const QUICK = { bytes: 32 << 20, maxChunks: 20_000, rounds: 5, milliseconds: 60, readers: [1, 16] };
const SIZES = [256, 4096];

/** [contestant, method, label], those of the calling thread and those of the thread pool. */
const SYNC = [
  ['bare', 'readSync', 'bare fs.readSync'],
  ['log', 'readSync', 'log, readSync'],
  ['classic-level', 'readSync', 'classic-level, getSync'],
  ['lmdb', 'readSync', 'lmdb, getBinary'],
  ['better-sqlite3', 'readSync', 'better-sqlite3, get'],
];
const ASYNC = [
  ['bare', 'read', 'bare fs.read'],
  ['log', 'read', 'log, read'],
  ['log', 'readAt', 'log, readAt + readAll + close'],
  ['key-value-store', 'read', 'key-value store of the examples, get'],
  ['classic-level', 'read', 'classic-level, get'],
];
const TOGETHER = [['log', 'read64', 'log, 64 reads at once'], ['log', 'readMany64', 'log, readMany of the same']];
const CONTESTANTS = [...new Set([...SYNC, ...ASYNC].map(([contestant]) => contestant))];

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const cells = [];
  const missing = new Set();
  let canDrop = true;
  for (const size of SIZES) {
    const chunks = Math.min(plan.maxChunks, plan.bytes / size);
    emptyDirectory(directory);
    const children = await openAll({ directory, size, chunks, progress });
    for (const contestant of CONTESTANTS) if (!children.has(contestant)) missing.add(contestant);
    try {
      for (const cold of [false, true]) {
        const measure = async (ways, readers) => {
          const there = ways.filter(([contestant]) => children.has(contestant));
          progress(`random reads, ${sizeName(size)}, ${cold ? 'cold' : 'hot'}, ${there[0][1]}, ${readers} readers`);
          const turns = await interleave(there.map(([,, label]) => label), plan.rounds, (label) => {
            const [contestant, method] = there.find((way) => way[2] === label);
            if (cold) canDrop &&= dropPageCache();
            return children.get(contestant).call('turn', { method, readers, milliseconds: plan.milliseconds, size });
          });
          if (cold && !canDrop) return;
          cells.push({ size, cold, readers, of: new Map([...turns].map(([label, of]) => [label, summarise(of)])) });
        };
        await measure(SYNC, 1);
        for (const readers of plan.readers) await measure(ASYNC, readers);
        if (!cold) await measure(TOGETHER, 1);
        if (!canDrop) break;
      }
      for (const child of children.values()) await child.call('close');
    } finally {
      for (const child of children.values()) await child.end();
    }
  }
  emptyDirectory(directory);
  return { cells, plan, canDrop, missing: [...missing] };
}

/** A process for each contestant. A peer that is not installed is left out. */
async function openAll({ directory, size, chunks, progress }) {
  const children = new Map();
  for (const contestant of CONTESTANTS) {
    const own = path.join(directory, contestant);
    emptyDirectory(own);
    const child = new Child(HERE);
    try {
      await child.call('open', { contestant, directory: own, size, chunks });
      children.set(contestant, child);
    } catch (error) {
      progress(`${contestant} is left out: ${error.message.split('\n')[0]}`);
      await child.end();
    }
  }
  return children;
}

let source;
let samples;

/** In a child: stores `chunks` values. */
export async function open({ contestant, directory, size, chunks }) {
  samples = new Float32Array(MAX_SAMPLES);
  const { open: openReader } = await import(`../readers/${contestant}.mjs`);
  source = await openReader(directory, { size, chunks });
  for (const method of ['readSync', 'read', 'readAt', 'read64', 'readMany64']) {
    if (source[method] !== undefined) await readFor(method, 150, 16, size);
  }
}

/** In a child: `readers` readers read one random value after the other. */
export async function turn({ method, readers, milliseconds, size }) {
  const cpu = process.cpuUsage();
  const started = performance.now();
  const { count, sampled } = await readFor(method, milliseconds, readers, size);
  const elapsed = performance.now() - started;
  const used = process.cpuUsage(cpu);
  return {
    commits: count, milliseconds: elapsed, cpuMicros: used.user + used.system, bytesPerCommit: size,
    latencies: samples.slice(0, Math.min(sampled, MAX_SAMPLES)),
  };
}

export async function close() {
  await source.close();
}

async function readFor(method, milliseconds, readers, size) {
  const deadline = performance.now() + milliseconds;
  const isSync = method === 'readSync';
  let count = 0;
  let sampled = 0;
  const loop = async () => {
    let before = performance.now();
    do {
      for (let i = 0; i < (isSync ? BATCH : 1); i++) {
        const length = isSync ? source.readSync() : await source[method]();
        if (length !== size) throw new Error(`read ${length} bytes, not ${size}`);
        count++;
      }
      const after = performance.now();
      samples[sampled++ % MAX_SAMPLES] = ((after - before) * 1000) / (isSync ? BATCH : 1);
      before = after;
    } while (before < deadline);
  };
  await Promise.all(Array.from({ length: isSync ? 1 : readers }, loop));
  return { count, sampled };
}

/** How much more `of` a cell does than `base`: the median of the rounds, in each of which both had a turn. */
export function perRound(cell, of, base) {
  const [ours, theirs] = [cell.of.get(of), cell.of.get(base)];
  return ours && theirs && median(ours.rates.map((each, round) => each / theirs.rates[round]));
}

/** The ratios of the targets, for each size. */
export function ratios({ cells }) {
  return SIZES.map((size) => {
    const hot = cells.filter((cell) => cell.size === size && !cell.cold);
    const sync = hot.find(({ of }) => of.has('log, readSync'));
    const peers = SYNC.slice(2).map(([,, label]) => perRound(sync, 'log, readSync', label)).filter(Number.isFinite);
    const together = hot.find(({ of }) => of.has('log, 64 reads at once'));
    return {
      size,
      syncToBare: perRound(sync, 'log, readSync', 'bare fs.readSync'),
      syncToBestPeer: peers.length > 0 ? Math.min(...peers) : undefined,
      readToBare: hot.filter(({ of }) => of.has('log, read')).map((cell) => {
        return { readers: cell.readers, measured: perRound(cell, 'log, read', 'bare fs.read') };
      }),
      manyToSingle: perRound(together, 'log, readMany of the same', 'log, 64 reads at once'),
    };
  });
}

export function report({ cells, plan, canDrop, missing }) {
  const cold = canDrop
    ? 'Cold: the page cache is dropped before each turn and fills during it.'
    : 'Cold reads were left out: emptying the page cache takes root on Linux, and Node has no posix_fadvise.';
  const rounds = `Medians of ${plan.rounds} interleaved rounds of ${plan.milliseconds} ms, also of their ratios`;
  const leftOut = missing.length > 0 ? ` Not installed, and left out: ${missing.join(', ')}.` : '';
  const parts = [`${rounds}. The log verifies what it reads; the peers do not. ${cold}${leftOut}`];
  for (const size of SIZES) {
    for (const isCold of [false, true]) {
      const own = cells.filter((cell) => cell.size === size && cell.cold === isCold);
      if (own.length > 0) parts.push(`### ${sizeName(size)}, ${isCold ? 'cold' : 'hot'}`, tableOf(own));
    }
  }
  return parts.join('\n\n');
}

function tableOf(cells) {
  const rows = cells.flatMap((cell) => [...cell.of].map(([label, summary]) => {
    const [base] = cell.of.keys();
    const readers = label.includes('64') || label.includes('same') ? '' : cell.readers;
    return [
      label, readers, rate(summary.perSecond),
      ...[summary.p50, summary.p99, summary.cpuMicros].map(duration),
      label === base ? '' : ratio(perRound(cell, label, base)), summary.spread.toFixed(1),
    ];
  }));
  return table(['', 'at once', 'per second', 'p50', 'p99', 'CPU each', '÷ first', 'spread'], rows);
}
