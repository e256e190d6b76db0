/**
 * node lock-opener.js DIRECTORY default|flock|lockfile: an opener of a directory in a process of its own, or in a
 * worker thread. It says "ready", obeys one command a line (lock, release, end), and answers each with a line.
 */
import { createInterface } from 'node:readline';
import { isMainThread, parentPort } from 'node:worker_threads';
import { lockDirectory } from '../../src/files/lock/directory-lock.js';
import { loadFlock, type Flock } from '../../src/files/lock/optional.js';
import type { DirectoryLock } from '../../src/files/file-manager.js';
import type { WalError } from '../../src/index.js';

const [directory, provider] = process.argv.slice(2);
let lock: DirectoryLock | undefined;

function say(line: string): void {
  if (isMainThread) process.stdout.write(`${line}\n`);
  else parentPort?.postMessage(line);
}

async function requiredFlock(): Promise<Flock> {
  const flock = await loadFlock();
  if (flock === null) throw new Error('fs-ext cannot be loaded here');
  return flock;
}

async function open(): Promise<string> {
  const onCompromised = (): void => say('compromised');
  try {
    if (provider === 'default') lock = await lockDirectory(directory, onCompromised);
    else lock = await lockDirectory(directory, onCompromised, provider === 'flock' ? requiredFlock() : null);
    return 'owner';
  } catch (error) {
    const { code, message } = error as WalError;
    return `refused ${code}: ${message}`;
  }
}

async function obey(command: string): Promise<void> {
  if (command === 'lock') say(await open());
  else if (command === 'release') {
    await lock?.release();
    say('released');
  } else if (command === 'end') process.exit(0);
}

if (isMainThread) createInterface({ input: process.stdin }).on('line', (line) => void obey(line));
else parentPort?.on('message', (line: string) => void obey(line));
say('ready');
