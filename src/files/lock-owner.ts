import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';

/** Which kind of lock an owner holds. The kinds do not see one another. */
export type LockProvider = 'flock' | 'lockfile';

/** What the LOCK file says of the directory's owner. */
export interface LockOwner {
  readonly provider: LockProvider;
  readonly pid: number;
  /** When the process started, in the kernel's ticks since boot: tells a reused pid from the owner. Linux only. */
  readonly startTime?: string;
  readonly host: string;
  /** Changes with every boot. Linux only. */
  readonly bootId?: string;
  /** Different for every owner there ever was. */
  readonly token: string;
}

/** The record of this process as a new owner. */
export function thisOwner(provider: LockProvider): LockOwner {
  const startTime = processState(process.pid)?.startTime;
  const bootId = readBootId();
  return {
    provider,
    pid: process.pid,
    ...(startTime === undefined ? {} : { startTime }),
    host: os.hostname(),
    ...(bootId === undefined ? {} : { bootId }),
    token: randomUUID(),
  };
}

/** The owner a LOCK file names; undefined if it names none, or was left half written. */
export function parseOwner(text: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(text) as Partial<LockOwner> | null;
    const isWhole = typeof owner?.pid === 'number' && typeof owner.host === 'string' && typeof owner.token === 'string';
    return isWhole && (owner.provider === 'flock' || owner.provider === 'lockfile') ? (owner as LockOwner) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether an owner still runs. Only one on this machine can be told for certain. */
export function livenessOf(owner: LockOwner): 'alive' | 'dead' | 'unknown' {
  if (owner.host !== os.hostname()) return 'unknown';
  const bootId = readBootId();
  if (owner.bootId !== undefined && bootId !== undefined && owner.bootId !== bootId) return 'dead';
  if (!processExists(owner.pid)) return 'dead';
  const state = processState(owner.pid);
  if (state === undefined) return 'alive';
  const isReused = owner.startTime !== undefined && owner.startTime !== state.startTime;
  return isReused || state.isZombie ? 'dead' : 'alive';
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not being allowed to signal it means that it is there.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** What /proc tells of a process. A zombie is dead, though nobody has taken note yet. */
function processState(pid: number): { readonly startTime: string; readonly isZombie: boolean } | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name and may hold anything; the third is the state, the 22nd the start time.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { startTime: fields[19], isZombie: fields[0] === 'Z' || fields[0] === 'X' };
  } catch {
    return undefined;
  }
}

function readBootId(): string | undefined {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return undefined;
  }
}
