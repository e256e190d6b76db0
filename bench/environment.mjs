/** Where and on what a run takes place. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const BENCH = fileURLToPath(new URL('.', import.meta.url));
const TMPFS_MAGIC = 0x01021994;

/**
 * A new directory for the data of a run, inside `parent` if given. Otherwise inside the directory for temporary
 * files, unless that is in memory, where a sync means nothing; then inside bench/.data.
 */
export function makeDataDirectory(parent) {
  let chosen = parent ?? os.tmpdir();
  if (parent === undefined && isInMemory(chosen)) chosen = path.join(BENCH, '.data');
  fs.mkdirSync(chosen, { recursive: true });
  if (isInMemory(chosen)) throw new Error(`${chosen} is in memory (tmpfs): name one on a disk with --directory`);
  return fs.mkdtempSync(path.join(chosen, 'segmented-wal-bench-'));
}

function isInMemory(directory) {
  return fs.statfsSync(directory).type === TMPFS_MAGIC;
}

/** Empties `directory`, and waits until the file system has done so: its work must not weigh on whoever is next. */
export function emptyDirectory(directory) {
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory, { recursive: true });
  if (process.platform !== 'win32') execFileSync('sync');
}

/** Makes the kernel forget the files it has in memory. False where that is not possible: it takes root on Linux. */
export function dropPageCache() {
  try {
    execFileSync('sync');
    fs.writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

/** One sentence on the machine, for the head of every result. */
export function describeEnvironment(directory) {
  const cpus = os.cpus();
  const memory = Math.round(os.totalmem() / 2 ** 30);
  const date = new Date().toISOString().slice(0, 10);
  return `${cpus[0].model.trim()}, ${cpus.length} cores, ${memory} GiB memory, ${os.type()} ${os.release()}, ` +
    `${fileSystemOf(directory)}, Node ${process.version}, ${date}`;
}

/** Type and options of the file system that holds `directory`, where /proc/mounts tells. */
function fileSystemOf(directory) {
  try {
    const real = fs.realpathSync(directory) + '/';
    const mounts = fs.readFileSync('/proc/mounts', 'utf8').trim().split('\n').map((line) => line.split(' '));
    const holding = mounts.filter(([, point]) => real.startsWith(point.endsWith('/') ? point : `${point}/`));
    const [, , type, options] = holding.reduce((best, mount) => (mount[1].length >= best[1].length ? mount : best));
    return `${type} (${options.split(',').slice(0, 3).join(',')})`;
  } catch {
    return 'unknown file system';
  }
}
