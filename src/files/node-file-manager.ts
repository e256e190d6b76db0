import fs from 'node:fs';
import { mkdir, open as openFile, readdir, rename, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { lockDirectory } from './directory-lock.js';
import type { DirectoryLock, FileHandle, FileManager, OpenOptions } from './file-manager.js';

const { O_CREAT, O_RDONLY, O_RDWR } = fs.constants;
/** Undefined where the system has none, as its types do not say. */
const O_DSYNC = fs.constants.O_DSYNC as number | undefined;
/** Elsewhere O_DSYNC is missing or, on macOS, does not reach through the drive's cache. */
const HAS_DURABLE_WRITES = process.platform === 'linux' && O_DSYNC !== undefined;
/** What one writev call takes on every system. */
const MAX_PARTS = 1024;
/** Linux cuts a write off just below 2 GiB, and the count of a writev wraps at 4 GiB. */
const MAX_WRITE_BYTES = 1024 * 1024 * 1024;

/** Stores the log in the file system, through `node:fs`. */
export class NodeFileManager implements FileManager {
  async createDirectory(directory: string): Promise<void> {
    const target = path.resolve(directory);
    const first = await mkdir(target, { recursive: true });
    if (first === undefined) return;
    // Each directory that was created is an entry in its parent, and durable only when that is synced.
    const top = path.dirname(first);
    for (let parent = path.dirname(target); ; parent = path.dirname(parent)) {
      await this.syncDirectory(parent);
      if (parent === top) return;
    }
  }

  async list(directory: string): Promise<string[]> {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  }

  open(file: string, options: OpenOptions): Promise<FileHandle> {
    const durableWrites = options.durableWrites === true && HAS_DURABLE_WRITES;
    let flags = options.access === 'read' ? O_RDONLY : O_RDWR;
    if (options.access === 'create') flags |= O_CREAT;
    if (durableWrites) flags |= O_DSYNC ?? 0;
    return new Promise((resolve, reject) => {
      fs.open(file, flags, 0o644, (error, descriptor) => {
        if (error !== null) reject(error);
        else resolve(new NodeFileHandle(descriptor, durableWrites));
      });
    });
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(from, to);
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

  lock(directory: string, onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
    return lockDirectory(directory, onCompromised);
  }
}

/** A bare descriptor: every commit passes through `write`, and FileHandle of `node:fs/promises` costs more. */
class NodeFileHandle implements FileHandle {
  readonly durableWrites: boolean;
  #descriptor: number | undefined;

  constructor(descriptor: number, durableWrites: boolean) {
    this.#descriptor = descriptor;
    this.durableWrites = durableWrites;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#call((descriptor, done) => fs.read(descriptor, target, 0, target.length, position, done));
  }

  write(parts: readonly Uint8Array[], position: number): Promise<number> {
    return this.#call((descriptor, done) => {
      const batch = firstParts(parts);
      if (batch.length === 1) fs.write(descriptor, batch[0], 0, batch[0].length, position, done);
      else fs.writev(descriptor, batch, position, done);
    });
  }

  writeBlocking(parts: readonly Uint8Array[], position: number): number {
    return fs.writevSync(this.#open(), firstParts(parts), position);
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
    const stats = await this.#call<fs.Stats>((descriptor, done) => fs.fstat(descriptor, done));
    return stats.size;
  }

  close(): Promise<void> {
    const closing = this.#call<void>(fs.close);
    // The system may give the number to another file at once: it must not be used again.
    this.#descriptor = undefined;
    return closing;
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

/** As many of `parts` as one call takes. A single part that is too long is cut. */
function firstParts(parts: readonly Uint8Array[]): Uint8Array[] {
  const batch: Uint8Array[] = [];
  let room = MAX_WRITE_BYTES;
  for (const part of parts) {
    if (batch.length === MAX_PARTS || room === 0) break;
    const taken = part.length > room ? part.subarray(0, room) : part;
    if (taken.length > 0) batch.push(taken);
    room -= taken.length;
  }
  return batch;
}
