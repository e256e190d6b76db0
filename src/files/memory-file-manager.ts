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
 */
export class MemoryFileManager implements FileManager {
  readonly #directories = new Map<string, Map<string, MemoryFile>>();
  readonly #locked = new Set<string>();

  async createDirectory(directory: string): Promise<void> {
    for (let at = path.resolve(directory); ; at = path.dirname(at)) {
      if (this.#files(path.dirname(at))?.has(path.basename(at))) throw systemError('EEXIST', at);
      if (!this.#directories.has(at)) this.#directories.set(at, new Map());
      if (at === path.dirname(at)) return;
    }
  }

  async list(directory: string): Promise<string[]> {
    return [...this.#existing(directory).keys()];
  }

  async open(file: string, options: OpenOptions): Promise<FileHandle> {
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
  }

  async rename(from: string, to: string): Promise<void> {
    if (this.#files(to) !== undefined) throw systemError('EISDIR', to);
    const files = this.#existing(path.dirname(from));
    const content = files.get(path.basename(from));
    if (content === undefined) throw systemError('ENOENT', from);
    const target = this.#existing(path.dirname(to));
    files.delete(path.basename(from));
    target.set(path.basename(to), content);
  }

  async remove(file: string): Promise<void> {
    if (!this.#existing(path.dirname(file)).delete(path.basename(file))) throw systemError('ENOENT', file);
  }

  async syncDirectory(directory: string): Promise<void> {
    this.#existing(directory);
  }

  async lock(directory: string): Promise<DirectoryLock> {
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

  async read(target: Uint8Array, position: number): Promise<number> {
    this.#assertOpen();
    const { bytes, size } = this.#file;
    const source = bytes.subarray(Math.min(position, size), Math.min(position + target.length, size));
    target.set(source);
    return source.length;
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<number> {
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
  }

  async sync(): Promise<void> {
    this.#assertOpen();
  }

  async truncate(length: number): Promise<void> {
    this.#assertWritable();
    if (length < this.#file.size) this.#file.bytes.fill(0, length, this.#file.size);
    else this.#reserve(length);
    this.#file.size = length;
  }

  async size(): Promise<number> {
    this.#assertOpen();
    return this.#file.size;
  }

  async close(): Promise<void> {
    this.#assertOpen();
    this.#isClosed = true;
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

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
