/**
 * The directory `LOCK.lock`, which is owned where the kernel's lock cannot be used. It holds one file with the
 * owner's record, named `{token}.claim` while the owner looks whether anything stands against it, then `{token}.held`.
 *
 * Its two operations cannot go wrong by being late, which is what makes reclaiming it safe:
 * - It is taken by renaming a prepared directory, record and all, onto it. The system lets that happen only while
 *   there is nothing or an empty directory there, so of any number of openers exactly one succeeds.
 * - It is freed by removing the owner's file by its name, then the directory if it is empty. An opener that found
 *   an owner dead, and removes it after others have reclaimed the directory, finds neither that name nor emptiness.
 *
 * The heartbeat is the time of the owner's file. Its name is never used again, so a beat that arrives late cannot reach
 * the file of the next owner.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { assert } from '../../base/assert.js';
import { hasCode } from '../../base/errno.js';
import { encodeOwner, livenessOf, lockedError, parseOwner, type LockOwner } from './lock-owner.js';
import { markTakeover } from './takeover-mark.js';

/** A heartbeat older than this is taken for silence, where the owner itself cannot be looked at. */
export const STALE_MS = 10_000;
/** Each try that leads to another one means that another opener took a step. */
const MAX_TRIES = 100;
const CLAIM = '.claim';
const HELD = '.held';

/** The owner of a heartbeat directory, as one look at it showed. */
export interface Holder {
  /** The files in it. */
  readonly names: readonly string[];
  /** Undefined if its record cannot be read. */
  readonly owner: LockOwner | undefined;
  /** False while the owner still looks whether anything stands against it, and may withdraw. */
  readonly hasDecided: boolean;
  /** True if it is dead for certain, or has been silent for long and nothing shows that it lives. */
  readonly isGone: boolean;
  /** True if it owned the directory and nothing proves that it has ended. */
  readonly mayRun: boolean;
}

export function heartbeatPath(directory: string): string {
  return path.join(directory, 'LOCK.lock');
}

/** The file of an owner that has decided. */
export function heldPath(directory: string, { token }: LockOwner): string {
  return path.join(heartbeatPath(directory), `${token}${HELD}`);
}

/** Looks at the owner of `directory`'s heartbeat directory; undefined if it has none. */
export async function readHolder(directory: string): Promise<Holder | undefined> {
  const target = heartbeatPath(directory);
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    try {
      const names = await fs.readdir(target);
      if (names.length === 0) return undefined;
      const file = path.join(target, names[0]);
      const owner = parseOwner(await fs.readFile(file, 'utf8'));
      const { mtimeMs } = await fs.stat(file);
      const hasDecided = !names[0].endsWith(CLAIM);
      const liveness = owner === undefined ? 'unknown' : livenessOf(owner);
      const isSilent = Date.now() - mtimeMs > STALE_MS;
      return {
        names,
        owner,
        hasDecided,
        isGone: liveness === 'dead' || (liveness === 'unknown' && isSilent),
        // An opener that only claims has written nothing, and never will once its claim has been removed.
        mayRun: liveness !== 'dead' && hasDecided,
      };
    } catch (error) {
      // The directory may have been freed, or its owner have decided, since its names were read.
      if (!hasCode(error, 'ENOENT')) throw error;
      if (!(await exists(target))) return undefined;
    }
  }
  throw lockedError(directory, undefined);
}

/** Frees the heartbeat directory of an owner that is gone. Does nothing if it has another owner by now. */
export async function evict(directory: string, holder: Holder): Promise<void> {
  assert(holder.isGone, 'an owner that is not gone is evicted');
  if (holder.mayRun) await markTakeover(directory);
  await removeFiles(directory, holder.names);
}

async function removeFiles(directory: string, names: readonly string[]): Promise<void> {
  const target = heartbeatPath(directory);
  for (const name of names) await tolerate(fs.unlink(path.join(target, name)), 'ENOENT');
  await tolerate(fs.rmdir(target), 'ENOENT', 'ENOTEMPTY', 'EEXIST');
}

/** Takes the heartbeat directory as a claim, from an owner that is gone if need be, or throws `WAL_LOCKED`. */
export async function claim(directory: string, owner: LockOwner): Promise<void> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const holder = await readHolder(directory);
    if (holder !== undefined) {
      if (!holder.isGone) throw lockedError(directory, holder.owner);
      await evict(directory, holder);
    }
    if (await install(directory, owner)) return;
  }
  throw lockedError(directory, undefined);
}

/** Makes `owner`'s claim final. Throws `WAL_LOCKED` if another opener has taken it for dead meanwhile. */
export async function confirmClaim(directory: string, owner: LockOwner): Promise<void> {
  const target = heartbeatPath(directory);
  try {
    await fs.rename(path.join(target, `${owner.token}${CLAIM}`), heldPath(directory, owner));
  } catch (error) {
    throw hasCode(error, 'ENOENT') ? lockedError(directory, undefined) : error;
  }
}

/** Sets the heartbeat of `owner`. Rejects with `ENOENT` if the directory is not held by it. */
export async function setBeat(directory: string, owner: LockOwner, time: Date): Promise<void> {
  await fs.utimes(heldPath(directory, owner), time, time);
}

/** Frees `owner`'s heartbeat directory, claimed or held. Does nothing if it has another owner by now. */
export async function withdraw(directory: string, owner: LockOwner): Promise<void> {
  await removeFiles(directory, [`${owner.token}${CLAIM}`, `${owner.token}${HELD}`]);
}

/** Removes directories that openers prepared and did not live to rename. Only an owner may: it makes live ones fail. */
export async function removePrepared(directory: string): Promise<void> {
  const prefix = `${path.basename(heartbeatPath(directory))}-`;
  for (const name of await fs.readdir(directory)) {
    if (name.startsWith(prefix)) await fs.rm(path.join(directory, name), { recursive: true, force: true });
  }
}

/** Resolves with whether the directory is `owner`'s now; if not, another opener was faster. */
async function install(directory: string, owner: LockOwner): Promise<boolean> {
  const target = heartbeatPath(directory);
  const prepared = `${target}-${owner.token}`;
  await fs.mkdir(prepared);
  try {
    // Synced, so that after a loss of power whatever is left of the directory tells whose it was, and in which boot.
    // Its names need no sync: without them it is empty, or not there.
    await fs.writeFile(path.join(prepared, `${owner.token}${CLAIM}`), encodeOwner(owner), { flush: true });
    // Windows does not rename onto an empty directory. An empty one has no owner, on any system.
    await tolerate(fs.rmdir(target), 'ENOENT', 'ENOTEMPTY', 'EEXIST');
    await fs.rename(prepared, target);
    return true;
  } catch (error) {
    await fs.rm(prepared, { recursive: true, force: true });
    // ENOENT: the owner of the directory has removed what was prepared. Windows says EPERM for ENOTEMPTY.
    const isTaken = hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')
      || (process.platform === 'win32' && hasCode(error, 'EPERM', 'EACCES'));
    if (!isTaken) throw error;
    return false;
  }
}

function exists(file: string): Promise<boolean> {
  return fs.stat(file).then(() => true, (error: unknown) => {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  });
}

async function tolerate(operation: Promise<void>, ...codes: readonly string[]): Promise<void> {
  await operation.catch((error: unknown) => {
    if (!hasCode(error, ...codes)) throw error;
  });
}
