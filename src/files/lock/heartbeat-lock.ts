import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import path from 'node:path';
import { callbackify } from 'node:util';
import type { DirectoryLock } from '../file-manager.js';
import {
  assertHeld, claim, confirmClaim, hasCode, heartbeatPath, removePrepared, STALE_MS, withdraw,
} from './heartbeat-directory.js';
import { livenessOf, lockedError, parseOwner, thisOwner, type LockOwner } from './lock-owner.js';
import { loadLockfile } from './optional.js';

/**
 * Takes `directory` with proper-lockfile, or throws `WAL_LOCKED`. `onCompromised` hears, at most once and only before
 * `release`, that the heartbeat directory is no longer ours.
 *
 * proper-lockfile keeps the heartbeat and notices its loss. How the directory is made and removed is ours, because its
 * own way of reclaiming one can remove what another opener has made since.
 */
export async function lockByHeartbeat(
  directory: string, onCompromised: (cause: Error) => void,
): Promise<DirectoryLock> {
  const lockfile = await loadLockfile();
  const owner = thisOwner('lockfile');
  const beats = new Beats(directory, owner);
  const target = heartbeatPath(directory);
  // The first argument is only the name by which proper-lockfile remembers this lock in this thread.
  const stop = await lockfile.lock(`${target}-${owner.token}`, {
    lockfilePath: target,
    realpath: false,
    stale: STALE_MS,
    update: STALE_MS / 5,
    fs: {
      ...fs,
      mkdir: callbackify(() => take(directory, owner)),
      utimes: callbackify((_file: string, atime: Date, mtime: Date) => beats.beat(atime, mtime)),
      stat: callbackify(() => beats.look()),
      rmdir: callbackify(async () => {
        await beats.end();
        await withdraw(directory, owner);
      }),
      // Called when the process exits, with writes perhaps still under way in other threads: the directory stays
      // owned until the process has ended, which the next opener sees for itself.
      rmdirSync: () => undefined,
    },
    onCompromised: (cause) => {
      if (!beats.hasEnded) onCompromised(cause);
    },
  });
  let releasing: Promise<void> | undefined;
  return { release: () => (releasing ??= giveUp(directory, owner, beats, stop)) };
}

async function giveUp(
  directory: string, owner: LockOwner, beats: Beats, stop: () => Promise<void>,
): Promise<void> {
  await beats.end();
  try {
    await stop();
  } catch (error) {
    // Once compromised it is stopped already; what is ours of the directory, if anything, is still to be removed.
    if (!hasCode(error, 'ERELEASED', 'ENOTACQUIRED')) throw error;
    await withdraw(directory, owner);
  }
}

/** Claims the heartbeat directory, then looks for an owner by flock, which goes first. */
async function take(directory: string, owner: LockOwner): Promise<void> {
  await claim(directory, owner);
  try {
    await refuseFlockOwner(directory);
    await confirmClaim(directory, owner);
    await removePrepared(directory);
  } catch (error) {
    await withdraw(directory, owner);
    throw error;
  }
}

async function refuseFlockOwner(directory: string): Promise<void> {
  const owner = await readFlockOwner(directory);
  // A half-written record is no owner's: whoever is writing it looks at the heartbeat directory after that.
  if (owner?.provider !== 'flock') return;
  const liveness = livenessOf(owner);
  if (liveness === 'dead') return;
  // A kernel lock has no heartbeat, so one of which nothing is known has to be believed.
  const advice = ' as far as its LOCK file tells; remove that file only if you know that the process has ended';
  throw lockedError(directory, owner, liveness === 'alive' ? '' : advice);
}

async function readFlockOwner(directory: string): Promise<LockOwner | undefined> {
  try {
    return parseOwner(await fsPromises.readFile(path.join(directory, 'LOCK'), 'utf8'));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    // Windows lets nobody read what is locked.
    if (hasCode(error, 'EBUSY')) throw lockedError(directory, undefined);
    throw error;
  }
}

/**
 * The heartbeats of one owner: proper-lockfile sets the directory's time, and then expects to find it.
 *
 * Two owners within one second can set the same time, so that is not what tells whose the directory is. What does is
 * the owner's file in it: while that is there proper-lockfile is shown the time it set, else that nothing is there.
 */
class Beats {
  hasEnded = false;
  readonly #directory: string;
  readonly #owner: LockOwner;
  #mtime = new Date();
  #last: Promise<unknown> = Promise.resolve();

  constructor(directory: string, owner: LockOwner) {
    this.#directory = directory;
    this.#owner = owner;
  }

  /** Rejects with `ENOENT` once the directory is not the owner's any more. */
  async look(): Promise<{ readonly mtime: Date }> {
    await assertHeld(this.#directory, this.#owner);
    return { mtime: this.#mtime };
  }

  async beat(atime: Date, mtime: Date): Promise<void> {
    // A beat that landed after the directory was given up would be on its next owner's.
    if (this.hasEnded) return;
    const beating = fsPromises.utimes(heartbeatPath(this.#directory), atime, mtime);
    this.#last = beating.catch(() => undefined);
    await beating;
    this.#mtime = mtime;
  }

  async end(): Promise<void> {
    this.hasEnded = true;
    await this.#last;
  }
}
