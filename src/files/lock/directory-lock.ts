/**
 * The ownership of a directory. The kernel's lock on the LOCK file is the first choice: it ends with its process, and
 * not before. Where it cannot be had, proper-lockfile keeps a directory `LOCK.lock` with a heartbeat.
 *
 * The two kinds do not see one another, so each first makes itself visible to the other and then looks:
 *
 *     flock      takes the lock   writes its record into LOCK     looks at LOCK.lock
 *     lockfile   claims LOCK.lock, its record in it               looks into LOCK      makes its claim final
 *
 * Whichever way the steps fall, at least one of two sees the other. So that exactly one of two that start together
 * gets in, lockfile withdraws whenever it sees flock, and flock waits while it sees a claim that is not yet final.
 *
 * Each kind has a record of its own. Were there one for both, an opener that has to withdraw would have overwritten
 * the record of the owner that it withdraws from.
 */
import type { DirectoryLock } from '../file-manager.js';
import { lockByKernel } from './flock.js';
import { lockByHeartbeat } from './heartbeat-lock.js';
import { loadFlock, type Flock } from './optional.js';

/**
 * Takes `directory`, or throws `WAL_LOCKED`. `onCompromised` hears at once, and once, of a lost heartbeat.
 * Without `flock`, or on a file system that has no such locks, proper-lockfile is used.
 */
export async function lockDirectory(
  directory: string, onCompromised: (cause: Error) => void, flock: Flock | null | Promise<Flock | null> = loadFlock(),
): Promise<DirectoryLock> {
  const loaded = await flock;
  const byKernel = loaded === null ? null : await lockByKernel(directory, loaded);
  return byKernel ?? lockByHeartbeat(directory, onCompromised);
}
