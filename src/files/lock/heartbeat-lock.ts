import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import path from 'node:path';
import { callbackify } from 'node:util';
import { systemEnvironment } from '../../base/environment.js';
import { hasCode } from '../../base/errno.js';
import type { DirectoryLock } from '../file-manager.js';
import {
  claim, confirmClaim, heartbeatPath, heldPath, removePrepared, STALE_MS, withdraw,
} from './heartbeat-directory.js';
import { BEAT_MS, Heartbeat } from './heartbeat.js';
import { isSameFile } from './identity.js';
import { isBlank, livenessOf, lockedError, parseOwner, thisOwner, type LockOwner } from './lock-owner.js';
import { loadLockfile } from './optional.js';
import { clearTakeover, isTakeoverMarked, markTakeover } from './takeover-mark.js';

/**
 * Takes `directory` with proper-lockfile, or throws `WAL_LOCKED`. `onCompromised` hears, at most once and only before
 * `release`, that the ownership cannot be relied on any more. `now` is a clock that only goes forward.
 *
 * proper-lockfile says when to beat. What a beat is and when the lock is lost is decided here, because it goes by the
 * clock of the day, and its own way of reclaiming a directory can remove what another opener has made since.
 */
export async function lockByHeartbeat(
  directory: string, onCompromised: (cause: Error) => void, now = () => systemEnvironment.now(),
): Promise<DirectoryLock> {
  const lockfile = await loadLockfile();
  const owner = thisOwner('lockfile');
  const heartbeat = new Heartbeat(directory, owner, onCompromised, now);
  const target = heartbeatPath(directory);
  let taken!: Taken;
  // The first argument is only the name by which proper-lockfile remembers this lock in this thread.
  const stop = await lockfile.lock(`${target}-${owner.token}`, {
    lockfilePath: target,
    realpath: false,
    stale: STALE_MS,
    update: BEAT_MS,
    fs: {
      ...fs,
      mkdir: callbackify(async () => {
        taken = await take(directory, owner);
      }),
      utimes: callbackify((_file: string, _atime: Date, mtime: Date) => heartbeat.beat(mtime)),
      // It compares this with the time it set last. Whose the directory is, the next beat finds out.
      stat: callbackify(async () => ({ mtime: heartbeat.time })),
      rmdir: callbackify(async () => {
        await heartbeat.end();
        await withdraw(directory, owner);
      }),
      // Called when the process exits, with writes perhaps still under way in other threads: the directory stays
      // owned until the process has ended, which the next opener sees for itself.
      rmdirSync: () => undefined,
    },
    // It stops beating then. The heartbeat has reported the loss itself.
    onCompromised: () => undefined,
  });
  let releasing: Promise<void> | undefined;
  return {
    isHeld: () => heartbeat.isHeld(),
    previousOwnerMayRun: taken.previousOwnerMayRun,
    forgetPreviousOwner: async () => {
      if (heartbeat.isHeld()) await clearTakeover(directory);
    },
    isInPlace: () => isSameFile(heldPath(directory, owner), taken.record),
    release: () => (releasing ??= giveUp(directory, owner, heartbeat, stop)),
  };
}

async function giveUp(
  directory: string, owner: LockOwner, heartbeat: Heartbeat, stop: () => Promise<void>,
): Promise<void> {
  await heartbeat.end();
  try {
    await stop();
  } catch (error) {
    // Once compromised it is stopped already; what is ours of the directory, if anything, is still to be removed.
    if (!hasCode(error, 'ERELEASED', 'ENOTACQUIRED')) throw error;
    await withdraw(directory, owner);
  }
}

/** What was found when the heartbeat directory was taken. */
interface Taken {
  readonly previousOwnerMayRun: boolean;
  /** The owner's file in it. */
  readonly record: fs.BigIntStats;
}

/** Claims the heartbeat directory, then looks for an owner by flock, which goes first. */
async function take(directory: string, owner: LockOwner): Promise<Taken> {
  await claim(directory, owner);
  try {
    await refuseFlockOwner(directory);
    await confirmClaim(directory, owner);
    await removePrepared(directory);
    const record = await fsPromises.stat(heldPath(directory, owner), { bigint: true });
    return { previousOwnerMayRun: await isTakeoverMarked(directory), record };
  } catch (error) {
    await withdraw(directory, owner);
    throw error;
  }
}

async function refuseFlockOwner(directory: string): Promise<void> {
  const record = await readFlockRecord(directory);
  if (isBlank(record)) return;
  const owner = parseOwner(record);
  if (owner?.provider !== 'flock') {
    // If it is only half written yet, its owner will look at the heartbeat directory, and withdraw.
    await markTakeover(directory);
    return;
  }
  const liveness = livenessOf(owner);
  if (liveness === 'dead') return;
  // A kernel lock has no heartbeat, so one of which nothing is known has to be believed.
  const advice = ' as far as its LOCK file tells; remove that file only if you know that the process has ended';
  throw lockedError(directory, owner, liveness === 'alive' ? '' : advice);
}

async function readFlockRecord(directory: string): Promise<string> {
  try {
    return await fsPromises.readFile(path.join(directory, 'LOCK'), 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return '';
    // Windows lets no other process read what is locked.
    if (hasCode(error, 'EBUSY')) throw lockedError(directory, undefined);
    throw error;
  }
}
