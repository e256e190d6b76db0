/**
 * The ownership of a directory. The kernel's lock on the LOCK file is the first choice: it ends with
 * its process. Without fs-ext, proper-lockfile keeps a directory `LOCK.lock` with a heartbeat.
 *
 * The two kinds do not see one another, so each first makes itself visible to the other and then looks:
 * flock takes its lock, writes its record into LOCK and then looks for LOCK.lock; lockfile makes LOCK.lock and
 * then looks for the record. Whichever way their steps fall, at least one of two sees the other and withdraws.
 *
 * A LOCK.lock left by a dead owner is removed only by whoever creates the file `LOCK.taken-{its token}`: that
 * can succeed once, so of two that find the same dead owner one cannot remove what the other has made since.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import lockfile from 'proper-lockfile';
import { WalError } from '../base/errors.js';
import type { DirectoryLock } from './file-manager.js';
import { livenessOf, parseOwner, thisOwner, type LockOwner } from './lock-owner.js';

/** The part of fs-ext that is used. Its other forms can abort the process or keep it from ending. */
export interface Flock {
  flockSync(descriptor: number, flags: 'exnb'): void;
}

/** A heartbeat older than this is taken for silence, where the owner itself cannot be looked at. */
const STALE_MS = 10_000;
const TAKEN = '.taken-';

/** fs-ext is native and optional: it may not be installed, not be built, or not load in this thread. */
export function loadFlock(): Flock | null {
  try {
    const flock = createRequire(import.meta.url)('fs-ext') as Partial<Flock>;
    return typeof flock.flockSync === 'function' ? (flock as Flock) : null;
  } catch {
    return null;
  }
}

/**
 * Takes `directory`, or throws `WAL_LOCKED`. `onCompromised` hears at once, and once, of a lost heartbeat.
 * Without `flock` proper-lockfile is used.
 */
export async function lockDirectory(
  directory: string, onCompromised: (cause: Error) => void, flock: Flock | null = loadFlock(),
): Promise<DirectoryLock> {
  const file = path.join(directory, 'LOCK');
  return flock === null ? lockByHeartbeat(file, onCompromised) : lockByKernel(file, flock);
}

function lockByKernel(file: string, flock: Flock): DirectoryLock {
  const descriptor = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
  try {
    takeFlock(flock, descriptor, file);
    const text = fs.readFileSync(descriptor, 'utf8');
    writeRecord(descriptor, JSON.stringify(thisOwner('flock')));
    try {
      clearDeadHeartbeat(file, parseOwner(text));
    } catch (error) {
      // The owner that stands in the way is named by the record that was there before.
      writeRecord(descriptor, text);
      throw error;
    }
  } catch (error) {
    fs.closeSync(descriptor);
    throw error;
  }
  let isHeld = true;
  return {
    release: async () => {
      if (!isHeld) return;
      isHeld = false;
      writeRecord(descriptor, '');
      fs.closeSync(descriptor);
    },
  };
}

async function lockByHeartbeat(file: string, onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
  fs.closeSync(fs.openSync(file, 'a', 0o644));
  clearDeadHeartbeat(file, readOwner(file));
  let isCompromised = false;
  const release = await acquireHeartbeat(file, (cause) => {
    isCompromised = true;
    onCompromised(cause);
  });
  const owner = thisOwner('lockfile');
  try {
    refuseLivingFlock(file);
    fs.writeFileSync(file, JSON.stringify(owner));
    // Somebody who reclaims by heartbeat alone may have taken it at the same moment: the record tells.
    if (isCompromised || readOwner(file)?.token !== owner.token) throw lockedError(file);
  } catch (error) {
    await release().catch(() => undefined);
    throw error;
  }
  let isHeld = true;
  return {
    release: async () => {
      if (!isHeld) return;
      isHeld = false;
      if (isCompromised || readOwner(file)?.token !== owner.token) return;
      fs.writeFileSync(file, '');
      await release();
    },
  };
}

async function acquireHeartbeat(file: string, onCompromised: (cause: Error) => void): Promise<() => Promise<void>> {
  try {
    return await lockfile.lock(file, { stale: STALE_MS, update: STALE_MS / 5, realpath: false, onCompromised });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOCKED') throw lockedError(file);
    throw error;
  }
}

function takeFlock(flock: Flock, descriptor: number, file: string): void {
  try {
    flock.flockSync(descriptor, 'exnb');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EAGAIN' || code === 'EWOULDBLOCK') throw lockedError(file);
    throw error;
  }
}

/** Removes a heartbeat directory whose owner is dead. Throws `WAL_LOCKED` if it may be alive. */
function clearDeadHeartbeat(file: string, owner: LockOwner | undefined): void {
  const heartbeat = `${file}.lock`;
  const stats = fs.statSync(heartbeat, { throwIfNoEntry: false });
  if (stats === undefined) {
    removeTakenMarks(file);
    return;
  }
  const isSilent = Date.now() - stats.mtimeMs > STALE_MS;
  const liveness = owner?.provider === 'lockfile' ? livenessOf(owner) : 'unknown';
  if (liveness === 'alive' || (liveness === 'unknown' && !isSilent)) throw lockedError(file);
  takeOver(`${file}${TAKEN}${owner?.token ?? Math.floor(stats.mtimeMs)}`, file);
  // Somebody may have taken it over, and all marks may have been removed, between our first look and the mark.
  const current = fs.statSync(heartbeat, { throwIfNoEntry: false });
  if (current === undefined || current.ino !== stats.ino) throw lockedError(file);
  fs.rmdirSync(heartbeat);
}

/** Wins the right to remove what a dead owner left, or throws `WAL_LOCKED`. Whoever died with that right loses it after a while. */
function takeOver(mark: string, file: string): void {
  const stats = fs.statSync(mark, { throwIfNoEntry: false });
  if (stats !== undefined && Date.now() - stats.mtimeMs > STALE_MS) fs.unlinkSync(mark);
  try {
    fs.closeSync(fs.openSync(mark, 'wx', 0o644));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw lockedError(file);
    throw error;
  }
}

/** Marks are of no use once nothing is left to take over. */
function removeTakenMarks(file: string): void {
  const directory = path.dirname(file);
  const prefix = `${path.basename(file)}${TAKEN}`;
  for (const name of fs.readdirSync(directory)) {
    if (!name.startsWith(prefix)) continue;
    const mark = path.join(directory, name);
    const stats = fs.statSync(mark, { throwIfNoEntry: false });
    if (stats !== undefined && Date.now() - stats.mtimeMs > STALE_MS) fs.rmSync(mark, { force: true });
  }
}

/** With the heartbeat taken: a living owner by flock goes first. */
function refuseLivingFlock(file: string): void {
  const owner = readOwner(file);
  if (owner?.provider === 'flock' && livenessOf(owner) !== 'dead') throw lockedError(file);
}

function readOwner(file: string): LockOwner | undefined {
  return parseOwner(fs.readFileSync(file, 'utf8'));
}

function writeRecord(descriptor: number, text: string): void {
  fs.ftruncateSync(descriptor, 0);
  fs.writeSync(descriptor, text, 0);
}

function lockedError(file: string): WalError {
  const owner = readOwner(file);
  const holder = owner === undefined ? 'somebody' : `process ${owner.pid} on ${owner.host}`;
  return new WalError('WAL_LOCKED', `${path.dirname(file)} is owned by ${holder}`);
}
