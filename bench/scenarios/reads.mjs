/** Random reads of chunks of 4 KiB, from the page cache and from the disk, against a bare fs.read. */
import fs from 'node:fs';
import path from 'node:path';
import { dropPageCache, emptyDirectory } from '../environment.mjs';
import { Child, interleave, summarise } from '../measure.mjs';
import { duration, rate, ratio, table } from '../table.mjs';

const HERE = import.meta.url;
const CHUNK_BYTES = 4096;
const MAX_SAMPLES = 1 << 20;

export const name = 'reads';
export const title = 'Random reads of 4 KiB';

const FULL = { chunks: 48 << 10, rounds: 5, milliseconds: 250, readers: [1, 16] };
const QUICK = { chunks: 8 << 10, rounds: 3, milliseconds: 60, readers: [1, 16] };
const WAYS = ['log', 'bare'];

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const children = new Map(WAYS.map((way) => [way, new Child(HERE)]));
  const cells = [];
  let canDrop = true;
  try {
    for (const way of WAYS) {
      const own = path.join(directory, way);
      emptyDirectory(own);
      await children.get(way).call('open', { way, directory: own, chunks: plan.chunks });
    }
    for (const cold of [false, true]) {
      for (const readers of plan.readers) {
        progress(`random reads, ${cold ? 'cold' : 'hot'}, ${readers} readers`);
        const turns = await interleave(WAYS, plan.rounds, (way) => {
          if (cold) canDrop &&= dropPageCache();
          return children.get(way).call('turn', { readers, milliseconds: plan.milliseconds });
        });
        if (cold && !canDrop) break;
        cells.push({ cold, readers, ...Object.fromEntries([...turns].map(([way, of]) => [way, summarise(of)])) });
      }
    }
    for (const child of children.values()) await child.call('close');
  } finally {
    for (const child of children.values()) await child.end();
  }
  emptyDirectory(directory);
  return { cells, plan, canDrop };
}

let source;
let samples;

/** In a child: stores `chunks` chunks, in a log or in a plain file. */
export async function open({ way, directory, chunks }) {
  samples = new Float32Array(MAX_SAMPLES);
  source = way === 'log' ? await openLogSource(directory, chunks) : openBareSource(directory, chunks);
  await readFor(200, 16);
}

async function openLogSource(directory, chunks) {
  const { fill, openLog } = await import('../log.mjs');
  const log = await openLog(directory, { manager: 'keeping' });
  const positions = [];
  const each = (entry) => positions.push(entry.chunks[0].position);
  await fill(log, { total: chunks, size: CHUNK_BYTES, concurrency: 64, each });
  return {
    async read() {
      const reader = await log.readAt(positions[Math.floor(Math.random() * positions.length)]);
      try {
        const data = await reader.readAll();
        if (data.length !== CHUNK_BYTES) throw new Error(`read ${data.length} bytes`);
      } finally {
        await reader.close();
      }
    },
    close: () => log.shutdown(),
  };
}

function openBareSource(directory, chunks) {
  const file = path.join(directory, 'data');
  fs.writeFileSync(file, Buffer.alloc(chunks * CHUNK_BYTES, 'segmented'), { flush: true });
  const fd = fs.openSync(file);
  return {
    read: () => new Promise((resolve, reject) => {
      // A buffer for each read, as the caller of a log gets one, and as there an offset that is no multiple of a page.
      const data = Buffer.allocUnsafe(CHUNK_BYTES);
      const offset = Math.floor(Math.random() * (chunks - 1)) * CHUNK_BYTES + 1000;
      fs.read(fd, data, 0, CHUNK_BYTES, offset, (error, read) => {
        if (error === null && read === CHUNK_BYTES) resolve();
        else reject(error ?? new Error(`read ${read} bytes`));
      });
    }),
    close: () => fs.closeSync(fd),
  };
}

/** In a child: `readers` readers read one random chunk after the other. */
export async function turn({ readers, milliseconds }) {
  const cpu = process.cpuUsage();
  const started = performance.now();
  const count = await readFor(milliseconds, readers);
  const elapsed = performance.now() - started;
  const used = process.cpuUsage(cpu);
  return {
    commits: count, milliseconds: elapsed, cpuMicros: used.user + used.system, bytesPerCommit: CHUNK_BYTES,
    latencies: samples.slice(0, Math.min(count, MAX_SAMPLES)),
  };
}

export async function close() {
  await source.close();
}

async function readFor(milliseconds, readers) {
  let count = 0;
  const deadline = performance.now() + milliseconds;
  await Promise.all(Array.from({ length: readers }, async () => {
    let before = performance.now();
    do {
      await source.read();
      const after = performance.now();
      samples[count++ % MAX_SAMPLES] = (after - before) * 1000;
      before = after;
    } while (before < deadline);
  }));
  return count;
}

export function report({ cells, plan, canDrop }) {
  const rows = cells.flatMap(({ cold, readers, log, bare }) => {
    const label = `${cold ? 'cold' : 'hot'}, ${readers} ${readers === 1 ? 'reader' : 'readers'}`;
    return [
      [`${label}: bare fs.read`, ...numbers(bare), ''],
      [`${label}: readAt + readAll, verified`, ...numbers(log), ratio(log.perSecond / bare.perSecond)],
    ];
  });
  const cold = canDrop
    ? 'Cold: the page cache is dropped before each turn and fills during it.'
    : 'Cold reads were left out: emptying the page cache takes root on Linux, and Node has no posix_fadvise.';
  const rounds = `medians of ${plan.rounds} interleaved rounds of ${plan.milliseconds} ms`;
  return `${plan.chunks} chunks; ${rounds}. ${cold}\n\n` +
    table(['', 'reads/s', 'p50', 'p99', 'CPU/read', '÷ bare'], rows);
}

function numbers(summary) {
  return [rate(summary.perSecond), duration(summary.p50), duration(summary.p99), duration(summary.cpuMicros)];
}
