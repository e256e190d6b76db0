import path from 'node:path';
import { assert } from '../../src/base/assert.js';
import { deferred } from '../../src/base/async.js';
import type { DirectoryLock, FileHandle, FileManager, OpenOptions } from '../../src/index.js';

export type Operation =
  | 'createDirectory' | 'list' | 'open' | 'rename' | 'remove' | 'syncDirectory' | 'lock' | 'release'
  | 'read' | 'readBlocking' | 'write' | 'sync' | 'truncate' | 'size' | 'close';

/** One call of the log to its storage. */
export interface FileCall {
  readonly operation: Operation;
  /** The file's name now; the directory's for calls that concern the directory. */
  readonly name: string;
  /** The new name, for a rename. */
  readonly to?: string;
  /** Where a read or write begins. */
  readonly position?: number;
  /** How many bytes a read or write asks for. */
  readonly length?: number;
}

/** Runs before or after a call. What it throws is what the call rejects with; what it awaits, the call awaits. */
export type Hook = (call: FileCall) => void | Promise<void>;

/** A FileManager that records every call, and lets a test delay or fail the ones it chooses. */
export class FaultyFileManager implements FileManager {
  readonly calls: FileCall[] = [];
  /** How many calls have begun and not ended. */
  inFlight = 0;
  before: Hook = () => undefined;
  after: Hook = () => undefined;
  /** How many bytes of a write are taken; the rest is for the next call. */
  shorten: (call: FileCall) => number = (call) => call.length ?? 0;
  /** How many bytes a read on the calling thread gets at most. */
  shortenRead: (call: FileCall) => number = (call) => call.length ?? 0;
  /** What handles say of themselves: false makes the log call `sync`. */
  durableWrites = false;
  /** Tells the log that it has lost its lock. */
  compromise: (cause: Error) => void = () => undefined;
  /** Whether the lock says that it can be relied on. */
  isHeld = true;
  /** What throws on the calling thread, as code that does not keep to its contract may. */
  throws: 'sync' | 'isHeld' | undefined;
  /** Takes the lock although another owner has it, of which nothing is known. */
  takesOver = false;
  /** How often the log has said that its previous owner can do no harm any more. */
  forgotten = 0;
  readonly #inner: FileManager;
  readonly #handles = new Set<FaultyFileHandle>();

  constructor(inner: FileManager) {
    this.#inner = inner;
  }

  throwIf(what: FaultyFileManager['throws']): void {
    if (this.throws === what) throw new TypeError(`${what} throws`);
  }

  createDirectory(directory: string): Promise<void> {
    return this.run({ operation: 'createDirectory', name: directory }, () => this.#inner.createDirectory(directory));
  }

  list(directory: string): Promise<string[]> {
    return this.run({ operation: 'list', name: directory }, () => this.#inner.list(directory));
  }

  open(file: string, options: OpenOptions): Promise<FileHandle> {
    return this.run({ operation: 'open', name: path.basename(file) }, async () => {
      const handle = new FaultyFileHandle(this, await this.#inner.open(file, options), path.basename(file));
      this.#handles.add(handle);
      return handle;
    });
  }

  rename(from: string, to: string): Promise<void> {
    const [name, newName] = [path.basename(from), path.basename(to)];
    return this.run({ operation: 'rename', name, to: newName }, async () => {
      await this.#inner.rename(from, to);
      for (const handle of this.#handles) if (handle.name === name) handle.name = newName;
    });
  }

  remove(file: string): Promise<void> {
    return this.run({ operation: 'remove', name: path.basename(file) }, () => this.#inner.remove(file));
  }

  syncDirectory(directory: string): Promise<void> {
    return this.run({ operation: 'syncDirectory', name: directory }, () => this.#inner.syncDirectory(directory));
  }

  lock(directory: string, onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
    return this.run({ operation: 'lock', name: directory }, async () => {
      this.compromise = onCompromised;
      const lock = this.takesOver ? undefined : await this.#inner.lock(directory, onCompromised);
      return {
        release: () => this.run({ operation: 'release', name: directory }, async () => lock?.release()),
        isHeld: () => {
          this.throwIf('isHeld');
          return this.isHeld;
        },
        previousOwnerMayRun: this.takesOver,
        forgetPreviousOwner: async () => void this.forgotten++,
      };
    });
  }

  /** The calls of one kind so far. */
  of(operation: Operation): FileCall[] {
    return this.calls.filter((call) => call.operation === operation);
  }

  /** How many handles have not been closed. */
  get openHandles(): number {
    return this.#handles.size;
  }

  async run<T>(call: FileCall, operation: () => Promise<T>): Promise<T> {
    this.calls.push(call);
    this.inFlight++;
    try {
      await this.before(call);
      const result = await operation();
      await this.after(call);
      return result;
    } finally {
      this.inFlight--;
    }
  }

  /** As `run`, for a call on the calling thread: its hooks may throw, and what they return is not awaited. */
  runBlocking<T>(call: FileCall, operation: () => T): T {
    this.calls.push(call);
    void this.before(call);
    const result = operation();
    void this.after(call);
    return result;
  }

  forget(handle: FaultyFileHandle): void {
    this.#handles.delete(handle);
  }
}

class FaultyFileHandle implements FileHandle {
  name: string;
  readonly #manager: FaultyFileManager;
  readonly #inner: FileHandle;

  constructor(manager: FaultyFileManager, inner: FileHandle, name: string) {
    this.#manager = manager;
    this.#inner = inner;
    this.name = name;
  }

  get durableWrites(): boolean {
    return this.#manager.durableWrites;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    const call: FileCall = { operation: 'read', name: this.name, position, length: target.length };
    return this.#manager.run(call, () => this.#inner.read(target, position));
  }

  readBlocking(target: Uint8Array, position: number): number {
    const call: FileCall = { operation: 'readBlocking', name: this.name, position, length: target.length };
    return this.#manager.runBlocking(call, () => {
      assert(this.#inner.readBlocking !== undefined, 'the FileManager within reads on the calling thread');
      return this.#inner.readBlocking(target.subarray(0, this.#manager.shortenRead(call)), position);
    });
  }

  write(parts: readonly Uint8Array[], position: number): Promise<number> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const call: FileCall = { operation: 'write', name: this.name, position, length };
    return this.#manager.run(call, () => {
      const taken = this.#manager.shorten(call);
      if (taken >= length) return this.#inner.write(parts, position);
      return this.#inner.write([Buffer.concat(parts).subarray(0, taken)], position);
    });
  }

  sync(): Promise<void> {
    this.#manager.throwIf('sync');
    return this.#manager.run({ operation: 'sync', name: this.name }, () => this.#inner.sync());
  }

  truncate(length: number): Promise<void> {
    return this.#manager.run({ operation: 'truncate', name: this.name, length }, () => this.#inner.truncate(length));
  }

  size(): Promise<number> {
    return this.#manager.run({ operation: 'size', name: this.name }, () => this.#inner.size());
  }

  async close(): Promise<void> {
    this.#manager.forget(this);
    await this.#manager.run({ operation: 'close', name: this.name }, () => this.#inner.close());
  }
}

/** An error as the operating system reports it. */
export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** Holds back the calls that it is put in front of until it is opened. */
export class Gate {
  readonly #opened = deferred();
  /** How many calls have come to it. */
  arrivals = 0;

  async pass(): Promise<void> {
    this.arrivals++;
    await this.#opened.promise;
  }

  open(): void {
    this.#opened.resolve();
  }
}
