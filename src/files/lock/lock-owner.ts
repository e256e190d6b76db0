import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import { hasCode } from '../../base/errno.js';
import { WalError } from '../../base/errors.js';

/** Which kind of lock an owner holds. The kinds do not see one another. */
export type LockProvider = 'flock' | 'lockfile';

/** Who owns a directory, as its lock records it. What the system does not tell is left out. */
export interface LockOwner {
  readonly provider: LockProvider;
  readonly pid: number;
  /** When the process started, in the kernel's ticks since boot: tells a reused pid from the owner. Linux only. */
  readonly startTime?: string;
  readonly host: string;
  /** Tells two machines of one name apart. Linux only. */
  readonly machineId?: string;
  /** Changes with every boot. Linux only. */
  readonly bootId?: string;
  /** A pid means nothing in another namespace, such as another container on the same machine. Linux only. */
  readonly pidNamespace?: string;
  /** Different for every owner there ever was. */
  readonly token: string;
}

/** Records have one length, so that writing one over another takes no space, not even on a full disk. */
export const RECORD_LENGTH = 1024;

/** The record of this process as a new owner. */
export function thisOwner(provider: LockProvider): LockOwner {
  return {
    provider,
    pid: process.pid,
    ...known('startTime', processState(process.pid)?.startTime),
    ...thisPlace(),
    token: randomUUID(),
  };
}

/** A record as it is stored. Without an owner it is blank. */
export function encodeOwner(owner?: LockOwner): Buffer {
  const text = owner === undefined ? '' : JSON.stringify(owner);
  return Buffer.from(`${text.padEnd(RECORD_LENGTH - 1)}\n`);
}

/** Whether a record says that the directory has no owner: it was given up, or never had one. */
export function isBlank(text: string): boolean {
  return text.trim() === '';
}

/** The owner a record names; undefined if it names none, or was left half written. */
export function parseOwner(text: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(text) as Partial<LockOwner> | null;
    const isWhole = Number.isSafeInteger(owner?.pid) && Number(owner?.pid) > 0 && typeof owner?.host === 'string'
      && typeof owner.token === 'string' && (owner.provider === 'flock' || owner.provider === 'lockfile');
    return isWhole ? (owner as LockOwner) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether an owner still runs. Only one on this machine can be told for certain. A stopped process is alive. */
export function livenessOf(owner: LockOwner): 'alive' | 'dead' | 'unknown' {
  const here = thisPlace();
  if (owner.host !== here.host || owner.machineId !== here.machineId) return 'unknown';
  if (owner.bootId !== here.bootId) {
    return owner.bootId === undefined || here.bootId === undefined ? 'unknown' : 'dead';
  }
  if (owner.pidNamespace !== here.pidNamespace) return 'unknown';
  if (!processExists(owner.pid)) return 'dead';
  const state = processState(owner.pid);
  // A process has that pid. Whether it is the owner, only the start time tells.
  if (state === undefined || owner.startTime === undefined) return 'unknown';
  return state.startTime !== owner.startTime || state.hasEnded ? 'dead' : 'alive';
}

/**
 * Whether an owner by flock has ended, given that the kernel's lock is free: of a process under the same kernel that is
 * proof, whatever container it is in.
 */
export function hasEndedByKernel(owner: LockOwner): boolean {
  const { bootId } = thisPlace();
  return (bootId !== undefined && owner.bootId === bootId) || livenessOf(owner) === 'dead';
}

/** The refusal of a directory that has an owner; `advice` is what can be done where that cannot be told for certain. */
export function lockedError(directory: string, owner: LockOwner | undefined, advice = ''): WalError {
  const holder = owner === undefined ? 'another opening' : `process ${owner.pid} on ${owner.host}`;
  return new WalError('WAL_LOCKED', `${directory} is owned by ${holder}${advice}`);
}

function thisPlace(): Pick<LockOwner, 'host' | 'machineId' | 'bootId' | 'pidNamespace'> {
  return {
    host: os.hostname(),
    ...known('machineId', attempt(() => fs.readFileSync('/etc/machine-id', 'utf8').trim())),
    ...known('bootId', attempt(() => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())),
    ...known('pidNamespace', attempt(() => fs.readlinkSync('/proc/self/ns/pid'))),
  };
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not being allowed to signal it means that it is there.
    return !hasCode(error, 'ESRCH');
  }
}

/** What /proc tells of a process. */
function processState(pid: number): { readonly startTime: string; readonly hasEnded: boolean } | undefined {
  const stat = attempt(() => fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (stat === undefined) return undefined;
  // Fields are counted from 1. The second is the program's name and may hold anything, so the third is found from
  // its end: the state. The 20th is the number of threads, the 22nd the start time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const isZombie = fields[0] === 'Z' || fields[0] === 'X';
  // A killed process whose first thread has ended can still have another one inside a write: it has not ended yet.
  return { startTime: fields[19], hasEnded: isZombie && Number(fields[17]) <= 1 };
}

function attempt<T>(operation: () => T): T | undefined {
  try {
    return operation();
  } catch {
    return undefined;
  }
}

function known<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return value === undefined || value === '' ? {} : ({ [key]: value } as { readonly [P in K]?: string });
}
