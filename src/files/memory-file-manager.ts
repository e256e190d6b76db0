import path from 'node:path';
import { WalError } from '../base/errors.js';
import type { DirectoryLock, FileHandle, FileManager, OpenOptions } from './file-manager.js';

/** A file's content; its names are elsewhere, and handles stay bound to it without any. */
interface MemoryFile {
  bytes: Uint8Array;
  size: number;
}

/**
 * Stores the log in memory, for tests and for engines that run without a disk. Everyone who uses the
 * same instance sees the same files. Nothing outlives the process, so `durable` means nothing here.
 *
 * @example
 * const fileManager = new MemoryFileManager();
 * const mine = await WriteAheadLog.recover('anywhere', LogVoid, { fileManager });
 * console.log((await mine.append('hello')).id); // 1
 * await mine.shutdown();
 */
export class MemoryFileManager implements FileManager {
  readonly #directories = new Map<string, Map<string, MemoryFile>>();
  readonly #locked = new Set<string>();

  createDirectory(directory: string): Promise<void> {
    return later(() => {
      const missing: string[] = [];
      for (let at = path.resolve(directory); !this.#directories.has(at); at = path.dirname(at)) {
        if (this.#files(path.dirname(at))?.has(path.basename(at))) throw systemError('EEXIST', at);
        missing.push(at);
        if (at === path.dirname(at)) break;
      }
      for (const each of missing) this.#directories.set(each, new Map());
    });
  }

  list(directory: string): Promise<string[]> {
    return later(() => [...this.#existing(directory).keys()]);
  }

  open(file: string, options: OpenOptions): Promise<FileHandle> {
    return later(() => {
      if (this.#files(file) !== undefined) throw systemError('EISDIR', file);
      const files = this.#existing(path.dirname(file));
      const name = path.basename(file);
      let content = files.get(name);
      if (content === undefined) {
        if (options.access !== 'create') throw systemError('ENOENT', file);
        content = { bytes: new Uint8Array(), size: 0 };
        files.set(name, content);
      }
      return new MemoryFileHandle(content, options.access !== 'read');
    });
  }

  rename(from: string, to: string): Promise<void> {
    return later(() => {
      if (this.#files(to) !== undefined) throw systemError('EISDIR', to);
      const files = this.#existing(path.dirname(from));
      const content = files.get(path.basename(from));
      if (content === undefined) throw systemError('ENOENT', from);
      const target = this.#existing(path.dirname(to));
      files.delete(path.basename(from));
      target.set(path.basename(to), content);
    });
  }

  link(from: string, to: string): Promise<void> {
    return later(() => {
      const target = this.#existing(path.dirname(to));
      const content = this.#existing(path.dirname(from)).get(path.basename(from));
      if (content === undefined) throw systemError('ENOENT', from);
      if (target.has(path.basename(to)) || this.#files(to) !== undefined) throw systemError('EEXIST', to);
      target.set(path.basename(to), content);
    });
  }

  remove(file: string): Promise<void> {
    return later(() => {
      if (!this.#existing(path.dirname(file)).delete(path.basename(file))) throw systemError('ENOENT', file);
    });
  }

  syncDirectory(directory: string): Promise<void> {
    return later(() => {
      this.#existing(directory);
    });
  }

  lock(directory: string): Promise<DirectoryLock> {
    return later(() => {
      this.#existing(directory);
      const key = path.resolve(directory);
      if (this.#locked.has(key)) throw new WalError('WAL_LOCKED', `${directory} is open already in this process`);
      this.#locked.add(key);
      let isHeld = true;
      return {
        release: async () => {
          if (isHeld) this.#locked.delete(key);
          isHeld = false;
        },
      };
    });
  }

  #files(directory: string): Map<string, MemoryFile> | undefined {
    return this.#directories.get(path.resolve(directory));
  }

  #existing(directory: string): Map<string, MemoryFile> {
    const files = this.#files(directory);
    if (files === undefined) throw systemError('ENOENT', directory);
    return files;
  }
}

class MemoryFileHandle implements FileHandle {
  readonly durableWrites = true;
  readonly #file: MemoryFile;
  readonly #isWritable: boolean;
  #isClosed = false;

  constructor(file: MemoryFile, isWritable: boolean) {
    this.#file = file;
    this.#isWritable = isWritable;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return later(() => this.readBlocking(target, position));
  }

  readBlocking(target: Uint8Array, position: number): number {
    this.#assertOpen();
    const { bytes, size } = this.#file;
    const source = bytes.subarray(Math.min(position, size), Math.min(position + target.length, size));
    target.set(source);
    return source.length;
  }

  write(parts: readonly Uint8Array[], position: number): Promise<number> {
    return later(() => {
      this.#assertWritable();
      let at = position;
      for (const part of parts) {
        this.#reserve(at + part.length);
        this.#file.bytes.set(part, at);
        at += part.length;
        // Growing keeps what is below the size, so the size must not lag behind.
        this.#file.size = Math.max(this.#file.size, at);
      }
      return at - position;
    });
  }

  sync(): Promise<void> {
    return later(() => {
      this.#assertOpen();
    });
  }

  truncate(length: number): Promise<void> {
    return later(() => {
      this.#assertWritable();
      if (length < this.#file.size) this.#file.bytes.fill(0, length, this.#file.size);
      else this.#reserve(length);
      this.#file.size = length;
    });
  }

  size(): Promise<number> {
    return later(() => {
      this.#assertOpen();
      return this.#file.size;
    });
  }

  close(): Promise<void> {
    return later(() => {
      this.#assertOpen();
      this.#isClosed = true;
    });
  }

  /** Grows by doubling, so that many small writes copy little. */
  #reserve(length: number): void {
    if (length <= this.#file.bytes.length) return;
    const grown = new Uint8Array(Math.max(length, 2 * this.#file.bytes.length));
    grown.set(this.#file.bytes.subarray(0, this.#file.size));
    this.#file.bytes = grown;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw systemError('EBADF', 'the file has been closed');
  }

  #assertWritable(): void {
    this.#assertOpen();
    if (!this.#isWritable) throw systemError('EBADF', 'the file was opened for reading');
  }
}

/**
 * Does `operation` at once, and settles in a later turn of the event loop, as a disk would: whoever loops on this must
 * not keep everything else in the program from running.
 */
function later<T>(operation: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    try {
      const result = operation();
      setImmediate(() => resolve(result));
    } catch (error) {
      setImmediate(() => reject(error as Error));
    }
  });
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
