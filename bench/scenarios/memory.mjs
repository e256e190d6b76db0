/** Memory while 100,000 commits are pending. */
import path from 'node:path';
import { emptyDirectory } from '../environment.mjs';
import { interleave, median, withChild } from '../measure.mjs';
import { duration, mebibytes, table } from '../table.mjs';

const HERE = import.meta.url;
const SIZE = 256;
const PENDING = 100_000;

export const name = 'memory';
export const title = 'Memory with 100,000 commits pending';

const CONTESTANTS = [
  { name: 'log-append', title: 'log, append' },
  { name: 'log-entry', title: 'log, beginEntry' },
  { name: 'ceiling', title: 'ceiling' },
  { name: 'lmdb', title: 'lmdb' },
];

export async function run({ quick, directory, progress }) {
  progress(`memory with ${PENDING} commits pending`);
  const rounds = quick ? 1 : 3;
  const names = CONTESTANTS.map((contestant) => contestant.name);
  const turns = await interleave(names, rounds, async (contestant) => {
    const own = path.join(directory, contestant);
    emptyDirectory(own);
    return withChild(HERE, (child) => child.call('commitAtOnce', { contestant, directory: own }), ['--expose-gc']);
  });
  emptyDirectory(directory);
  return { rounds, of: Object.fromEntries([...turns].map(([contestant, of]) => [contestant, {
    growthBytes: median(of.map((turn) => turn.growthBytes)),
    milliseconds: median(of.map((turn) => turn.milliseconds)),
  }])) };
}

/** In a child: asks for all commits in one tick and watches the resident set until the last is durable. */
export async function commitAtOnce({ contestant, directory }) {
  const { open } = await import(`../contestants/${contestant}.mjs`);
  const store = await open(directory, SIZE);
  const data = Buffer.alloc(SIZE, 'segmented');
  // What any use brings along, such as compiled code, is not what is asked for.
  for (let i = 0; i < 1000; i++) await store.commit(data);
  const pending = new Array(PENDING);
  globalThis.gc();
  const before = process.memoryUsage.rss();
  let highest = before;
  const look = () => { highest = Math.max(highest, process.memoryUsage.rss()); };

  const started = performance.now();
  for (let i = 0; i < PENDING; i++) pending[i] = store.commit(data);
  look();
  let done = false;
  const watch = () => {
    look();
    if (!done) setImmediate(watch);
  };
  setImmediate(watch);
  await Promise.all(pending);
  done = true;
  look();
  const milliseconds = performance.now() - started;
  await store.close();
  return { growthBytes: highest - before, milliseconds };
}

export function report({ rounds, of }) {
  const rows = CONTESTANTS.map(({ name: contestant, title: label }) =>
    [label, mebibytes(of[contestant].growthBytes), duration(of[contestant].milliseconds * 1000)]);
  return `${PENDING.toLocaleString('en')} commits of ${SIZE} B asked for at once: growth of the resident set at its ` +
    `highest, and the time until all are durable. The data alone is ${mebibytes(PENDING * SIZE)} MiB. ` +
    `${rounds === 1 ? 'One round' : `Medians of ${rounds} rounds`}, a new process for each.\n\n` +
    table(['', 'RSS growth (MiB)', 'all durable after'], rows);
}
