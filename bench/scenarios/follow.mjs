/** How soon a follower has what was committed, and iteration over a log that is open against its recovery. */
import { emptyDirectory } from '../environment.mjs';
import { median, quantile, withChild } from '../measure.mjs';
import { duration, megabytes, ratio, table } from '../table.mjs';
import * as recovery from './recovery.mjs';

const HERE = import.meta.url;
const ENTRY_BYTES = 256;
const ITERATED_BYTES = 4096;

export const name = 'follow';
export const title = 'Following and iterating';

const FULL = { rounds: 5, commits: 2000, totalBytes: 512 << 20 };
const QUICK = { rounds: 3, commits: 500, totalBytes: 64 << 20 };

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  progress('following, 1 writer');
  const followed = [];
  for (let round = 0; round < plan.rounds; round++) {
    emptyDirectory(directory);
    followed.push(await withChild(HERE, (child) => child.call('follow', { directory, commits: plan.commits })));
  }
  progress(`iteration over ${plan.totalBytes >> 20} MiB in entries of 4 KiB`);
  emptyDirectory(directory);
  const input = { directory, size: ITERATED_BYTES, totalBytes: plan.totalBytes };
  await withChild(HERE, (child) => child.call('build', input));
  const iterated = [];
  for (let round = 0; round < plan.rounds; round++) {
    iterated.push(await withChild(HERE, (child) => child.call('iterate', { directory })));
  }
  emptyDirectory(directory);
  const of = (turns, key) => median(turns.map((turn) => turn[key]));
  return {
    plan,
    commit: of(followed, 'commit'),
    delivery: of(followed, 'delivery'),
    deliveryToCommit: median(followed.map(({ commit, delivery }) => delivery / commit)),
    recovered: of(iterated, 'recovered'),
    iterated: of(iterated, 'iterated'),
    iteratedToRecovered: median(iterated.map((turn) => turn.iterated / turn.recovered)),
  };
}

export const { build } = recovery;

/** In a child: one writer and one follower. Both times begin with the call of `append`. */
export async function follow({ directory, commits }) {
  const { openLog } = await import('../log.mjs');
  const log = await openLog(directory, { manager: 'keeping' });
  const data = Buffer.alloc(ENTRY_BYTES, 'segmented');
  const followed = log.entries({ follow: true });
  const commit = [];
  const delivery = [];
  for (let i = 0; i < commits; i++) {
    const next = followed.next();
    const started = performance.now();
    const delivered = next.then(() => delivery.push((performance.now() - started) * 1000));
    await log.append(data);
    commit.push((performance.now() - started) * 1000);
    await delivered;
  }
  await followed.return();
  await log.shutdown();
  const p50 = (samples) => quantile(samples.slice(commits >> 2).sort((a, b) => a - b), 0.5);
  return { commit: p50(commit), delivery: p50(delivery) };
}

/** In a child: recovers a log, and iterates over it. Bytes/s of both. */
export async function iterate({ directory }) {
  const { openLog } = await import('../log.mjs');
  const started = performance.now();
  const log = await openLog(directory, { manager: 'keeping' });
  const opened = performance.now();
  let entries = 0;
  for await (const entry of log.entries()) entries += entry.id > 0 ? 1 : 0;
  const ended = performance.now();
  const { bytes, entries: expected } = log.recovery;
  await log.shutdown();
  if (entries !== expected) throw new Error(`${entries} of ${expected} entries`);
  return { recovered: bytes / (opened - started) * 1000, iterated: bytes / (ended - opened) * 1000 };
}

export function report({ plan, commit, delivery, deliveryToCommit, recovered, iterated, iteratedToRecovered }) {
  return `Medians of ${plan.rounds} rounds, a new process for each.\n\n` +
    table(['1 writer, entries of 256 B', 'p50', '÷ commit'], [
      ['append to its commit', duration(commit), ''],
      ['append to its delivery to a follower', duration(delivery), ratio(deliveryToCommit)],
    ]) + '\n\n' + table([`${plan.totalBytes >> 20} MiB, entries of 4 KiB`, 'MB/s', '÷ recovery'], [
      ['recover, entries counted', megabytes(recovered), ''],
      ['iterate, entries counted', megabytes(iterated), ratio(iteratedToRecovered)],
    ]);
}
