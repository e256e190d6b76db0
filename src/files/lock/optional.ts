/**
 * The packages that a lock may need, loaded only by the lock that needs them. Bundlers follow the import of
 * proper-lockfile, and must not follow that of fs-ext, whose native part cannot be bundled: it is left to the runtime.
 */
import { isMainThread } from 'node:worker_threads';
import type ProperLockfile from 'proper-lockfile';

/** The part of fs-ext that is used. Its other forms can abort the process or keep it from ending. */
export interface Flock {
  flockSync(descriptor: number, flags: 'exnb'): void;
}

/**
 * fs-ext is native and optional: it may not be installed or not be built. It keeps handles of the thread that loaded
 * it, so that loading it in a worker can abort the process when that worker has ended.
 */
export async function loadFlock(): Promise<Flock | null> {
  if (!isMainThread) return null;
  const name: string = 'fs-ext';
  try {
    const loaded = await import(/* webpackIgnore: true */ /* @vite-ignore */ name) as { default?: Partial<Flock> };
    return typeof loaded.default?.flockSync === 'function' ? (loaded.default as Flock) : null;
  } catch {
    return null;
  }
}

/** Loaded late, because it listens for signals from then on. */
export async function loadLockfile(): Promise<typeof ProperLockfile> {
  const { default: lockfile } = await import('proper-lockfile');
  return lockfile;
}
