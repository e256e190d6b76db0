import fs from 'node:fs';
import { link, mkdir, open as openFile, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { hasCode } from '../base/errno.js';
import { lockDirectory } from './lock/directory-lock.js';
import type { DirectoryLock, FileHandle, FileManager, OpenOptions } from './file-manager.js';

const { O_CREAT, O_RDONLY, O_RDWR } = fs.constants;
/** Undefined where the system has none, as their types do not say. */
const O_DSYNC = fs.constants.O_DSYNC as number | undefined;
const O_NOFOLLOW = fs.constants.O_NOFOLLOW as number | undefined;
/** Elsewhere O_DSYNC is missing or, on macOS, does not reach through the drive's cache. */
const HAS_DURABLE_WRITES = process.platform === 'linux' && O_DSYNC !== undefined;
/** What the system says of a directory that this user may not open, or that has nothing to sync. */
const NOT_SYNCABLE = ['EACCES', 'EPERM', 'EINVAL', 'EROFS', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'];
/** What one writev call takes on every system. */
const MAX_PARTS = 1024;
/** Linux cuts a read or write off just below 2 GiB, and the count of a writev wraps at 4 GiB. */
const MAX_CALL_BYTES = 1024 * 1024 * 1024;

/**
 * Stores the log in the file system, through `node:fs`.
 *
 * @example
 * const fileManager = new NodeFileManager();
 * const mine = await WriteAheadLog.recover('mine', LogVoid, { fileManager, preallocateBytes: 65536 });
 * console.log((await fileManager.list('mine')).includes('wal-1')); // true
 * await mine.shutdown();
 */
export class NodeFileManager implements FileManager {
  async createDirectory(directory: string): Promise<void> {
    const target = path.resolve(directory);
    const parent = path.dirname(target);
    let isNew: boolean;
    try {
      isNew = await createEntry(target);
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || parent === target) throw error;
      await this.createDirectory(parent);
      isNew = await createEntry(target);
    }
    // Nothing above it can have been left unsynced, because each directory is durable before the next is created in it.
    if (parent !== target) await this.#syncName(target, isNew);
  }

  async list(directory: string): Promise<string[]> {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  }

  async open(file: string, options: OpenOptions): Promise<FileHandle> {
    // `list` names no links, so none is followed: what one leads to is not ours to write.
    let flags = (options.access === 'read' ? O_RDONLY : O_RDWR) | (O_NOFOLLOW ?? 0);
    if (options.access === 'create') flags |= O_CREAT;
    const handle = new NodeFileHandle(await openDescriptor(file, flags));
    // For reading, the system opens directories too.
    if (options.access === 'read') await handle.assertFile(file);
    else if (options.durableWrites === true && HAS_DURABLE_WRITES) await handle.addDurableDescriptor(file, flags);
    return handle;
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(from, to);
  }

  async link(from: string, to: string): Promise<void> {
    await link(from, to);
  }

  async remove(file: string): Promise<void> {
    await unlink(file);
  }

  async syncDirectory(directory: string): Promise<void> {
    if (process.platform === 'win32') {
      // Windows cannot open a directory for this, and NTFS journals names by itself.
      await stat(directory);
      return;
    }
    const handle = await openFile(directory, O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /**
   * Makes a directory's name durable by syncing its parent. That is tried for one that was there, too, since the
   * process that created it may have died before this. But most likely it is durable then, and its parent may belong
   * to another user, or to a file system that cannot be synced.
   */
  async #syncName(directory: string, isNew: boolean): Promise<void> {
    try {
      await this.syncDirectory(path.dirname(directory));
    } catch (error) {
      if (!isNew) {
        if (hasCode(error, ...NOT_SYNCABLE)) return;
        throw error;
      }
      // If it stayed, the next call would find it there, and take its name for durable.
      await rmdir(directory).catch(() => undefined);
      throw error;
    }
  }

  lock(directory: string, onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
    return lockDirectory(directory, onCompromised);
  }
}

/** Creates a directory whose parent is there, or resolves with false if it was there, or a link to one. */
async function createEntry(directory: string): Promise<boolean> {
  try {
    await mkdir(directory);
    return true;
  } catch (error) {
    // Other errors too may come before EEXIST: EROFS, say, or EPERM for a drive's root.
    const stats = await stat(directory).catch((statError: unknown) => {
      throw hasCode(statError, 'ENOENT', 'ENOTDIR') ? error : statError;
    });
    if (!stats.isDirectory()) throw error;
    return false;
  }
}

/** A bare descriptor: every commit passes through `write`, and FileHandle of `node:fs/promises` costs more. */
class NodeFileHandle implements FileHandle {
  #descriptor: number | undefined;
  /** The same file, opened so that a write is a write and a sync in one. */
  #durableDescriptor: number | undefined;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  get durableWrites(): boolean {
    return this.#durableDescriptor !== undefined;
  }

  /** Opens the file once more, for durable writes. Closes the handle if that fails. */
  async addDurableDescriptor(file: string, flags: number): Promise<void> {
    try {
      this.#durableDescriptor = await openDescriptor(file, flags | (O_DSYNC ?? 0));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Closes the handle and rejects with `EISDIR` if it is a directory's. */
  async assertFile(file: string): Promise<void> {
    const stats = await this.#stat().catch(async (error: unknown) => {
      await this.close();
      throw error;
    });
    if (!stats.isDirectory()) return;
    await this.close();
    throw Object.assign(new Error(`EISDIR: ${file} is a directory`), { code: 'EISDIR' });
  }

  read(target: Uint8Array, position: number): Promise<number> {
    const length = Math.min(target.length, MAX_CALL_BYTES);
    return this.#call((descriptor, done) => fs.read(descriptor, target, 0, length, position, done));
  }

  readBlocking(target: Uint8Array, position: number): number {
    return fs.readSync(this.#open(), target, 0, Math.min(target.length, MAX_CALL_BYTES), position);
  }

  write(parts: readonly Uint8Array[], position: number): Promise<number> {
    return this.#call((descriptor, done) => writeParts(this.#durableDescriptor ?? descriptor, parts, position, done));
  }

  writeVolatile(parts: readonly Uint8Array[], position: number): Promise<number> {
    return this.#call((descriptor, done) => writeParts(descriptor, parts, position, done));
  }

  writeBlocking(parts: readonly Uint8Array[], position: number): number {
    const descriptor = this.#open();
    return fs.writevSync(this.#durableDescriptor ?? descriptor, firstParts(parts), position);
  }

  syncBlocking(): void {
    if (process.platform === 'darwin') fs.fsyncSync(this.#open());
    else fs.fdatasyncSync(this.#open());
  }

  sync(): Promise<void> {
    // On macOS only Node's fsync, which is F_FULLFSYNC there, reaches through the drive's cache.
    return this.#call(process.platform === 'darwin' ? fs.fsync : fs.fdatasync);
  }

  truncate(length: number): Promise<void> {
    return this.#call((descriptor, done) => fs.ftruncate(descriptor, length, done));
  }

  async size(): Promise<number> {
    return (await this.#stat()).size;
  }

  async close(): Promise<void> {
    const closings = [this.#call<void>(fs.close)];
    const durable = this.#durableDescriptor;
    // The system may give the numbers to other files at once: they must not be used again.
    this.#descriptor = this.#durableDescriptor = undefined;
    if (durable !== undefined) closings.push(new Promise((resolve) => fs.close(durable, () => resolve())));
    await Promise.all(closings);
  }

  #stat(): Promise<fs.Stats> {
    return this.#call((descriptor, done) => fs.fstat(descriptor, done));
  }

  #call<T>(operation: (descriptor: number, done: (error: Error | null, result?: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      operation(this.#open(), (error, result) => {
        if (error) reject(error);
        else resolve(result as T);
      });
    });
  }

  #open(): number {
    if (this.#descriptor !== undefined) return this.#descriptor;
    throw Object.assign(new Error('EBADF: the file has been closed'), { code: 'EBADF' });
  }
}

function writeParts(
  descriptor: number, parts: readonly Uint8Array[], position: number, done: (error: Error | null, n?: number) => void,
): void {
  const batch = firstParts(parts);
  if (batch.length === 1) fs.write(descriptor, batch[0], 0, batch[0].length, position, done);
  else fs.writev(descriptor, batch, position, done);
}

function openDescriptor(file: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(file, flags, 0o644, (error, descriptor) => {
      if (error !== null) reject(error);
      else resolve(descriptor);
    });
  });
}

/** As many of `parts` as one call takes. A single part that is too long is cut. */
function firstParts(parts: readonly Uint8Array[]): Uint8Array[] {
  const batch: Uint8Array[] = [];
  let room = MAX_CALL_BYTES;
  for (const part of parts) {
    if (batch.length === MAX_PARTS || room === 0) break;
    const taken = part.length > room ? part.subarray(0, room) : part;
    if (taken.length > 0) batch.push(taken);
    room -= taken.length;
  }
  return batch;
}
