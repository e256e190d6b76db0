import fs, { type FileHandle } from 'node:fs/promises';
import { constants } from 'node:fs';
import path from 'node:path';
import timers from 'node:timers/promises';
import { hasCode } from '../../base/errno.js';
import type { DirectoryLock } from '../file-manager.js';
import { evict, readHolder, STALE_MS, type Holder } from './heartbeat-directory.js';
import {
  encodeOwner, hasEndedByKernel, isBlank, lockedError, parseOwner, RECORD_LENGTH, thisOwner,
} from './lock-owner.js';
import { isSameFile } from './identity.js';
import type { Flock } from './optional.js';
import { clearTakeover, isTakeoverMarked, markTakeover } from './takeover-mark.js';

/** In what pauses flock looks whether a claim has been decided, and how often. Deciding takes a few system calls. */
const CLAIM_PAUSE_MS = 5;
const CLAIM_LOOKS = STALE_MS / CLAIM_PAUSE_MS;

/** What a file system without locks answers. */
const UNSUPPORTED = ['ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'ENOLCK'];

/** Descriptors that hold a lock: a handle that nothing refers to would be closed, and the lock lost, at any time. */
const held = new Set<FileHandle>();

/** Takes `directory` by the kernel's lock on its LOCK file; resolves with null if the file system has no such locks. */
export async function lockByKernel(directory: string, flock: Flock): Promise<DirectoryLock | null> {
  // A link of that name is not the log's: what it points to must not be written over. Windows has no such flag.
  const noFollow = (constants.O_NOFOLLOW as number | undefined) ?? 0;
  const file = await fs.open(path.join(directory, 'LOCK'), constants.O_RDWR | constants.O_CREAT | noFollow, 0o644);
  let previousOwnerMayRun: boolean;
  try {
    if (!(await takeFlock(directory, file, flock))) {
      await file.close();
      return null;
    }
    await markUnprovenEnd(directory, file);
    previousOwnerMayRun = await publishAndLook(directory, file);
  } catch (error) {
    await file.close();
    throw error;
  }
  held.add(file);
  let releasing: Promise<void> | undefined;
  return {
    previousOwnerMayRun,
    forgetPreviousOwner: () => clearTakeover(directory),
    isInPlace: async () => isSameFile(path.join(directory, 'LOCK'), await file.stat({ bigint: true })),
    release: () => (releasing ??= giveUp(file)),
  };
}

/** Resolves with false if the file system has no such locks. */
async function takeFlock(directory: string, file: FileHandle, flock: Flock): Promise<boolean> {
  try {
    flock.flockSync(file.fd, 'exnb');
    return true;
  } catch (error) {
    if (hasCode(error, ...UNSUPPORTED)) return false;
    if (!hasCode(error, 'EAGAIN', 'EWOULDBLOCK')) throw error;
    // The record only names the owner: it may be half written, and Windows lets no other process read it.
    const record = await fs.readFile(path.join(directory, 'LOCK'), 'utf8').catch(() => '');
    throw lockedError(directory, parseOwner(record));
  }
}

/**
 * Marks the takeover unless the previous owner by flock has given up or is proven to have ended. That the lock is free
 * proves it for this machine; of another one it says no more than the file system knows. To be called with the lock
 * held, before the record is written over.
 */
async function markUnprovenEnd(directory: string, file: FileHandle): Promise<void> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(RECORD_LENGTH), 0, RECORD_LENGTH, 0);
  const record = buffer.toString('utf8', 0, bytesRead);
  if (isBlank(record)) return;
  const owner = parseOwner(record);
  if (owner === undefined || !hasEndedByKernel(owner)) await markTakeover(directory);
}

/** Resolves with whether a previous owner may still run. */
async function publishAndLook(directory: string, file: FileHandle): Promise<boolean> {
  try {
    await writeRecord(file, encodeOwner(thisOwner('flock')));
    await excludeHeartbeat(directory);
    return await isTakeoverMarked(directory);
  } catch (error) {
    await clearRecord(file);
    throw error;
  }
}

/** Frees a heartbeat directory whose owner is gone. Throws `WAL_LOCKED` if its owner may be alive. */
async function excludeHeartbeat(directory: string): Promise<void> {
  let holder: Holder | undefined;
  for (let looks = 0; looks < CLAIM_LOOKS; looks++) {
    holder = await readHolder(directory);
    if (holder === undefined) return;
    if (holder.isGone) await evict(directory, holder);
    else if (holder.hasDecided) break;
    // It will see our record, or has seen that there was none and is about to say so.
    else await timers.setTimeout(CLAIM_PAUSE_MS);
  }
  throw lockedError(directory, holder?.owner);
}

async function giveUp(file: FileHandle): Promise<void> {
  await clearRecord(file);
  held.delete(file);
  await file.close();
}

/** If this fails, the record names a process that has given the directory up: only the heartbeat lock reads it. */
async function clearRecord(file: FileHandle): Promise<void> {
  await writeRecord(file, encodeOwner()).catch(() => undefined);
}

async function writeRecord(file: FileHandle, record: Buffer): Promise<void> {
  const { bytesWritten } = await file.write(record, 0, record.length, 0);
  if (bytesWritten < record.length) {
    throw Object.assign(new Error('ENOSPC: the LOCK file could not be written whole'), { code: 'ENOSPC' });
  }
}
