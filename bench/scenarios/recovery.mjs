/** Recovery of a log of small, middling and large entries, against reading the same files with a checksum. */
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { emptyDirectory } from '../environment.mjs';
import { interleave, median, withChild } from '../measure.mjs';
import { duration, megabytes, rate, ratio, size as sizeName, table } from '../table.mjs';

const HERE = import.meta.url;
const READ_BYTES = 1 << 20;

export const name = 'recovery';
export const title = 'Recovery';

const SIZES = [100, 4096, 1 << 20];
const FULL = { totalBytes: 1 << 30, rounds: 3 };
const QUICK = { totalBytes: 32 << 20, rounds: 1 };
const WAYS = ['bare', 'delivered'];

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const cells = [];
  for (const size of SIZES) {
    progress(`recovery of ${plan.totalBytes >> 20} MiB in entries of ${sizeName(size)}`);
    emptyDirectory(directory);
    await withChild(HERE, (child) => child.call('build', { directory, size, totalBytes: plan.totalBytes }));
    // A process for each turn: a recovery happens once in the life of one.
    const turn = (way) => withChild(HERE, (child) => child.call(way, { directory }));
    const turns = await interleave(WAYS, plan.rounds, turn);
    // The manager's own time for the most part, and long with small entries: once is enough.
    turns.set('chunksRead', [await turn('chunksRead')]);
    cells.push({ size, ...Object.fromEntries([...turns].map(([way, of]) => [way, summary(of)])) });
  }
  emptyDirectory(directory);
  return { cells, plan };
}

function summary(turns) {
  const milliseconds = median(turns.map((turn) => turn.milliseconds));
  const { bytes, entries } = turns[0];
  const perSecond = (amount) => amount / milliseconds * 1000;
  return { milliseconds, entries, bytesPerSecond: perSecond(bytes), entriesPerSecond: perSecond(entries) };
}

/** In a child: writes a log of about `totalBytes`, of entries of `size` bytes. */
export async function build({ directory, size, totalBytes }) {
  const { fill, openLog } = await import('../log.mjs');
  const log = await openLog(directory, { manager: 'keeping' });
  await fill(log, { total: Math.ceil(totalBytes / (size + 24)), size, concurrency: size < 4096 ? 4096 : 64 });
  await log.shutdown();
}

/** In a child: reads every file of the log from its beginning to its end and computes its checksum. */
export function bare({ directory }) {
  const files = fs.readdirSync(directory).filter((file) => file.startsWith('wal-')).sort();
  const block = Buffer.alloc(READ_BYTES);
  let bytes = 0;
  let crc = 0;
  const started = performance.now();
  for (const file of files) {
    const fd = fs.openSync(path.join(directory, file));
    for (let read; (read = fs.readSync(fd, block, 0, READ_BYTES, null)) > 0; bytes += read) {
      crc = zlib.crc32(block.subarray(0, read), crc);
    }
    fs.closeSync(fd);
  }
  return { milliseconds: performance.now() - started, bytes, entries: 0, crc };
}

/** In a child: recovers the log, with a manager that counts the entries it is given. */
export function delivered({ directory }) {
  return recover(directory, () => undefined);
}

/** In a child: recovers the log, with a manager that takes every chunk. */
export function chunksRead({ directory }) {
  return recover(directory, (entry) => entry.readAllChunks());
}

async function recover(directory, take) {
  const { MANAGERS, openLog } = await import('../log.mjs');
  let entries = 0;
  const manager = {
    ...MANAGERS.keeping,
    recover(entry) {
      entries++;
      return take(entry);
    },
  };
  const started = performance.now();
  const log = await openLog(directory, { manager });
  const milliseconds = performance.now() - started;
  const { bytes } = log.recovery;
  await log.shutdown();
  return { milliseconds, bytes, entries };
}

export function report({ cells, plan }) {
  const rows = cells.flatMap(({ size, bare: floor, delivered: log, chunksRead: taken }) => [
    bareRow(`${sizeName(size)}: bare read with zlib.crc32`, floor),
    row(`${sizeName(size)}: recover, entries counted`, log, floor),
    row(`${sizeName(size)}: recover, every chunk read`, taken, floor),
  ]);
  return `A log of ${plan.totalBytes >> 20} MiB, in the page cache. Medians of ${plan.rounds} interleaved rounds, ` +
    'a new process for each; every chunk is read in one round only.\n\n' +
    table(['entries of', 'entries', 'time', 'MB/s', 'entries/s', '÷ bare read'], rows);
}

function bareRow(label, floor) {
  return [label, '', duration(floor.milliseconds * 1000), megabytes(floor.bytesPerSecond), '', ''];
}

function row(label, log, floor) {
  return [
    label, log.entries, duration(log.milliseconds * 1000), megabytes(log.bytesPerSecond), rate(log.entriesPerSecond),
    ratio(log.bytesPerSecond / floor.bytesPerSecond),
  ];
}
