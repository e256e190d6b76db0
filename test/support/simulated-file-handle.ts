import type { FileHandle, OpenOptions } from '../../src/files/file-manager.js';
import type { Inode } from './disk-content.js';
import type { CallKind, SimulatedFileManager } from './simulated-file-manager.js';

/** What an operation does when its time has come. */
export interface Operation<T> {
  readonly begin?: () => (() => void) | undefined;
  readonly finish: () => T;
  /** For a write that is cut short. */
  readonly finishPartly?: () => T;
  readonly fail?: () => void;
  /** Called when it has finished, well or not. */
  readonly settled?: () => void;
}

/** An open file of a SimulatedFileManager. */
export class SimulatedFileHandle implements FileHandle {
  readonly durableWrites: boolean;
  /** Only where `write` is durable. */
  readonly writeVolatile?: (parts: readonly Uint8Array[], position: number) => Promise<number>;
  readonly #manager: SimulatedFileManager;
  readonly #path: string;
  readonly #inode: Inode;
  readonly #isReadOnly: boolean;
  readonly #writes = new Set<{ readonly start: number; readonly end: number }>();
  #inProgress = 0;
  #isClosed = false;
  readonly #settled = (): void => void this.#inProgress--;

  constructor(manager: SimulatedFileManager, path: string, inode: Inode, options: OpenOptions) {
    this.#manager = manager;
    this.#path = path;
    this.#inode = inode;
    this.#isReadOnly = options.access === 'read';
    this.durableWrites = options.durableWrites === true && manager.grantsDurableWrites;
    if (this.durableWrites) {
      this.writeVolatile = (parts, position) => this.#call('write', this.#writing(parts, position, false));
    }
    manager.openFiles.add(path);
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#call('read', { finish: () => this.#inode.read(target, position), settled: this.#settled });
  }

  readBlocking(target: Uint8Array, position: number): number {
    return this.#callBlocking('read', { finish: () => this.#inode.read(target, position), settled: this.#settled });
  }

  write(parts: readonly Uint8Array[], position: number): Promise<number> {
    return this.#call('write', this.#writing(parts, position));
  }

  writeBlocking(parts: readonly Uint8Array[], position: number): number {
    return this.#callBlocking('write', this.#writing(parts, position));
  }

  sync(): Promise<void> {
    return this.#call('sync', this.#syncing());
  }

  syncBlocking(): void {
    this.#callBlocking('sync', this.#syncing());
  }

  truncate(length: number): Promise<void> {
    const { disk } = this.#manager;
    return this.#call('truncate', {
      begin: () => disk.beginTruncate(this.#inode, length),
      finish: () => {
        if (this.#isReadOnly) throw systemError('EINVAL', 'ftruncate', this.#path);
        disk.truncate(this.#inode, length);
      },
      settled: this.#settled,
    });
  }

  size(): Promise<number> {
    return this.#call('size', { finish: () => this.#inode.size, settled: this.#settled });
  }

  close(): Promise<void> {
    if (this.#inProgress > 0) this.#breach('a close beside another operation');
    const closed = this.#call('close', { finish: () => {}, settled: this.#settled });
    this.#isClosed = true;
    this.#manager.openFiles.delete(this.#path);
    return closed;
  }

  #writing(parts: readonly Uint8Array[], position: number, isDurable = this.durableWrites): Operation<number> {
    const bytes = Buffer.concat(parts);
    const range = { start: position, end: position + bytes.length };
    for (const other of this.#writes) {
      if (range.start < other.end && other.start < range.end) this.#breach('overlapping writes');
    }
    this.#writes.add(range);
    const apply = (length: number): number => {
      if (this.#isReadOnly) throw systemError('EBADF', 'write', this.#path);
      if (!isConcatenation(bytes, parts)) this.#breach('bytes changed while they were being written');
      const fitting = Math.min(length, this.#manager.disk.roomFor(this.#inode) - position);
      if (fitting <= 0 && length > 0) throw systemError('ENOSPC', 'write', this.#path);
      this.#apply(position, bytes.subarray(0, fitting), isDurable);
      return fitting;
    };
    return {
      begin: () => (bytes.length > 0 ? this.#manager.disk.beginWrite(this.#inode, position, bytes) : undefined),
      finish: () => apply(bytes.length),
      finishPartly: () => apply(Math.max(1, bytes.length >> 1)),
      fail: () => {
        // A durable write can fail when its bytes are in the cache already; a plain one fails before.
        const { disk, survives } = this.#manager;
        if (isDurable && bytes.length > 0) disk.failDurableWrite(this.#inode, position, bytes, survives);
      },
      settled: () => {
        this.#writes.delete(range);
        this.#settled();
      },
    };
  }

  #syncing(): Operation<void> {
    const { disk, survives } = this.#manager;
    const { time } = disk;
    return {
      finish: () => disk.sync(this.#inode, time),
      fail: () => disk.failSync(this.#inode, time, survives),
      settled: this.#settled,
    };
  }

  #call<T>(kind: CallKind, operation: Operation<T>): Promise<T> {
    if (this.#isClosed) return Promise.reject(systemError('EBADF', kind, this.#path));
    this.#inProgress++;
    return this.#manager.call(kind, this.#path, operation);
  }

  #callBlocking<T>(kind: CallKind, operation: Operation<T>): T {
    if (this.#isClosed) throw systemError('EBADF', kind, this.#path);
    this.#inProgress++;
    return this.#manager.callBlocking(kind, this.#path, operation);
  }

  #apply(position: number, bytes: Uint8Array, isDurable: boolean): void {
    const { disk } = this.#manager;
    if (bytes.length === 0) return;
    if (isDurable) disk.writeDurably(this.#inode, position, bytes);
    else disk.write(this.#inode, position, bytes);
  }

  #breach(what: string): void {
    this.#manager.breach(`${what}: ${this.#path}`);
  }
}

function isConcatenation(bytes: Buffer, parts: readonly Uint8Array[]): boolean {
  let position = 0;
  return parts.every((part) => {
    const from = position;
    position += part.length;
    return bytes.compare(part, 0, part.length, from, position) === 0;
  });
}

/** The error that the operating system would report. */
export function systemError(code: string, doing: string, path: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${code}: ${doing} '${path}'`);
  error.code = code;
  error.syscall = doing;
  return error;
}
