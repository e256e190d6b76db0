/**
 * The packages that a lock may need, loaded only by the lock that needs them. Bundlers follow the import of
 * proper-lockfile, and must not follow that of fs-ext, whose native part cannot be bundled.
 */
import { isMainThread } from 'node:worker_threads';
import type ProperLockfile from 'proper-lockfile';
import { messageOf } from '../../base/errors.js';

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
  try {
    const { default: flock } = await importUnbundled<Partial<Flock>>('fs-ext');
    return typeof flock?.flockSync === 'function' ? (flock as Flock) : null;
  } catch {
    return null;
  }
}

/** Loaded late, because it listens for signals from then on. */
export async function loadLockfile(): Promise<typeof ProperLockfile> {
  try {
    return (await import('proper-lockfile')).default;
  } catch (error) {
    // As a CommonJS package it needs `require`, which some bundles that are ES modules lack. The runtime has it.
    const { default: lockfile } = await importUnbundled<typeof ProperLockfile>('proper-lockfile').catch(() => {
      const reason = messageOf(error);
      throw new Error(`proper-lockfile cannot be loaded (${reason}); bundles must leave it external`, { cause: error });
    });
    return lockfile;
  }
}

/** Imports a CommonJS package at run time, from beside the bundle if there is one: bundlers do not see which. */
function importUnbundled<T>(name: string): Promise<{ default: T }> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ name) as Promise<{ default: T }>;
}
