import { posix } from 'node:path';
import { WalError } from '../../src/base/errors.js';
import type { DirectoryLock, FileHandle, FileManager, OpenOptions } from '../../src/files/file-manager.js';
import { half, type SimulatedDisk, type Survives } from './simulated-disk.js';
import { Random } from './random.js';
import { Scheduler } from './scheduler.js';
import { SimulatedFileHandle, systemError, type Operation } from './simulated-file-handle.js';

/** The operations of FileManager, FileHandle and DirectoryLock. */
export type CallKind =
  | 'createDirectory' | 'list' | 'open' | 'create' | 'rename' | 'link' | 'remove' | 'syncDirectory' | 'lock' | 'unlock'
  | 'read' | 'write' | 'sync' | 'truncate' | 'size' | 'close';

/** One call of the program under test: its number, counted from 0, and what it asks for. */
export interface Call {
  /** Its number. */
  readonly index: number;
  /** The operation. */
  readonly kind: CallKind;
  /** The file or directory concerned. */
  readonly path: string;
}

/** How a call fails: with this error code, or, for a write, by writing only a part. */
export type Fault = 'EIO' | 'ENOSPC' | 'EROFS' | 'EMFILE' | 'EACCES' | 'short';

/** What a SimulatedFileManager does besides. */
export interface SimulatedFileManagerOptions {
  /** Decides which operation finishes next. By default the oldest one does. */
  readonly scheduler?: Scheduler;
  /** Whether handles opened with `durableWrites` have them. Default: true. */
  readonly durableWrites?: boolean;
  /** Asked at each call; a fault that does not apply to its kind is ignored (see `applies`). */
  readonly faultAt?: (call: Call) => Fault | undefined;
  /** What of a failed sync or durable write has reached the disk all the same. Default: half, by chance. */
  readonly survives?: Survives;
  /** Called when an operation is in progress and when it has finished: the moments a crash can choose. */
  readonly onStep?: (call: Call) => void;
  /** Calls beyond which none is answered any more, so that a loop without end shows up as a hang. Default: 100,000. */
  readonly maxCalls?: number;
}

/** Whether `fault` can befall a call of this kind. */
export function applies(fault: Fault, kind: CallKind): boolean {
  // A lock is the kernel's: giving it up cannot fail.
  if (fault === 'EIO') return kind !== 'unlock';
  if (fault === 'short') return kind === 'write';
  const names = kind === 'create' || kind === 'rename' || kind === 'link' || kind === 'createDirectory';
  if (fault === 'ENOSPC') return names || kind === 'write' || kind === 'truncate';
  if (fault === 'EMFILE') return kind === 'open' || kind === 'create' || kind === 'list' || kind === 'lock';
  return names || kind === 'remove' || kind === 'open' || kind === 'write' || kind === 'lock';
}

/** Fails the call with this index, and with `isPersistent` every later call that the fault applies to. */
export function faultAtCall(index: number, fault: Fault, isPersistent = false): (call: Call) => Fault | undefined {
  return (call) => (call.index === index || (isPersistent && call.index > index) ? fault : undefined);
}

/**
 * A FileManager on a simulated disk. Every operation takes effect at a moment that the scheduler
 * chooses, may be made to fail, and is a moment at which a crash can be tried (`onStep`).
 *
 * It also watches its caller: `breaches` lists what the contract of FileManager does not allow, such
 * as overlapping writes, bytes changed while they are being written, or a close beside another operation.
 *
 * @example
 * const fileManager = new SimulatedFileManager(new SimulatedDisk(), { faultAt: faultAtCall(3, 'EIO') });
 * const opening = WriteAheadLog.recover('/log', LogVoid, { fileManager, preallocateBytes: 4096 });
 * await opening.catch((error: WalError) => console.log(error.code)); // WAL_IO
 */
export class SimulatedFileManager implements FileManager {
  /** Where everything is stored. */
  readonly disk: SimulatedDisk;
  /** Decides which operation finishes next. */
  readonly scheduler: Scheduler;
  /** What its caller did against the contract. */
  readonly breaches: string[] = [];
  /** Files that are open. */
  readonly openFiles = new Set<string>();
  readonly #options: SimulatedFileManagerOptions;
  readonly #survives: Survives;
  #calls = 0;
  #isDead = false;

  constructor(disk: SimulatedDisk, options: SimulatedFileManagerOptions = {}) {
    this.disk = disk;
    this.#options = options;
    this.scheduler = options.scheduler ?? new Scheduler();
    this.#survives = options.survives ?? half(new Random(1));
  }

  /** Calls made so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Whether handles opened with `durableWrites` have them. */
  get grantsDurableWrites(): boolean {
    return this.#options.durableWrites ?? true;
  }

  /** The process ends: what is in progress never takes effect, and nothing settles any more. */
  kill(): void {
    this.#isDead = true;
  }

  createDirectory(name: string): Promise<void> {
    const directory = posix.resolve(name);
    return this.call('createDirectory', directory, {
      finish: () => {
        for (let path = directory; path !== '/'; path = posix.dirname(path)) {
          if (this.disk.lookup(path) !== undefined) throw systemError('EEXIST', 'mkdir', path);
        }
        for (let path = directory; path !== '/'; path = posix.dirname(path)) this.disk.directories.add(path);
      },
    });
  }

  list(name: string): Promise<string[]> {
    const directory = posix.resolve(name);
    return this.call('list', directory, {
      finish: () => {
        this.#expectDirectory(directory, 'scandir');
        const paths = this.disk.paths().filter((path) => posix.dirname(path) === directory);
        return paths.map((path) => posix.basename(path));
      },
    });
  }

  open(name: string, options: OpenOptions): Promise<FileHandle> {
    const path = posix.resolve(name);
    const creates = options.access === 'create' && this.disk.lookup(path) === undefined;
    return this.call(creates ? 'create' : 'open', path, {
      begin: () => (creates ? this.disk.beginCreate(path) : undefined),
      finish: () => {
        this.#expectDirectory(posix.dirname(path), 'open');
        if (this.disk.directories.has(path)) throw systemError('EISDIR', 'open', path);
        const found = this.disk.lookup(path);
        if (found === undefined && options.access !== 'create') throw systemError('ENOENT', 'open', path);
        return new SimulatedFileHandle(this, path, found ?? this.disk.create(path), options);
      },
    });
  }

  rename(oldName: string, newName: string): Promise<void> {
    const [from, to] = [posix.resolve(oldName), posix.resolve(newName)];
    const exists = this.disk.lookup(from) !== undefined;
    return this.call('rename', from, {
      begin: () => (exists ? this.disk.beginRename(from, to) : undefined),
      finish: () => {
        if (this.disk.lookup(from) === undefined) throw systemError('ENOENT', 'rename', from);
        this.disk.rename(from, to);
      },
    });
  }

  link(oldName: string, newName: string): Promise<void> {
    const [from, to] = [posix.resolve(oldName), posix.resolve(newName)];
    const canLink = this.disk.lookup(from) !== undefined && this.disk.lookup(to) === undefined;
    return this.call('link', from, {
      begin: () => (canLink ? this.disk.beginLink(from, to) : undefined),
      finish: () => {
        if (this.disk.lookup(from) === undefined) throw systemError('ENOENT', 'link', from);
        if (this.disk.lookup(to) !== undefined) throw systemError('EEXIST', 'link', to);
        this.disk.link(from, to);
      },
    });
  }

  remove(name: string): Promise<void> {
    const path = posix.resolve(name);
    const exists = this.disk.lookup(path) !== undefined;
    return this.call('remove', path, {
      begin: () => (exists ? this.disk.beginRemove(path) : undefined),
      finish: () => {
        if (this.disk.lookup(path) === undefined) throw systemError('ENOENT', 'unlink', path);
        this.disk.remove(path);
      },
    });
  }

  /** A failure leaves the names pending: unlike bytes, a later sync makes them durable. */
  syncDirectory(name: string): Promise<void> {
    const directory = posix.resolve(name);
    const { time } = this.disk;
    return this.call('syncDirectory', directory, {
      finish: () => {
        this.#expectDirectory(directory, 'open');
        this.disk.syncDirectory(directory, time);
      },
    });
  }

  lock(name: string, _onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
    const directory = posix.resolve(name);
    return this.call('lock', directory, {
      finish: () => {
        this.#expectDirectory(directory, 'open');
        const isLocked = this.disk.locks.has(directory);
        if (isLocked) throw new WalError('WAL_LOCKED', `${directory} is locked by another opening`);
        this.disk.locks.add(directory);
        return this.#directoryLock(directory);
      },
    });
  }

  /**
   * Runs one operation: `begin` notes it as in progress and returns what ends that, `finish` makes
   * it take effect, `fail` what takes effect although it fails. For the handles of this manager.
   *
   * @internal
   */
  call<T>(kind: CallKind, path: string, operation: Operation<T>): Promise<T> {
    if (this.#isDead || this.#calls >= (this.#options.maxCalls ?? 100_000)) return new Promise(() => {});
    const call: Call = { index: this.#calls++, kind, path };
    const fault = this.#faultAt(call);
    const { onStep } = this.#options;
    const end = operation.begin?.();
    onStep?.(call);
    return new Promise<T>((resolve, reject) => {
      const fail: (reason: unknown) => void = reject;
      this.scheduler.enqueue(() => {
        if (this.#isDead) return;
        end?.();
        try {
          resolve(this.#outcome(call, fault, operation));
        } catch (error) {
          fail(error);
        }
        operation.settled?.();
        onStep?.(call);
      });
    });
  }

  /** @internal As `call`, at once: nothing else happens in between, except a crash. */
  callBlocking<T>(kind: CallKind, path: string, operation: Operation<T>): T {
    if (this.#isDead) throw new Error('a process that has ended calls nothing');
    const call: Call = { index: this.#calls++, kind, path };
    const fault = this.#faultAt(call);
    const end = operation.begin?.();
    this.#options.onStep?.(call);
    end?.();
    this.scheduler.steps++;
    try {
      return this.#outcome(call, fault, operation);
    } finally {
      operation.settled?.();
      this.#options.onStep?.(call);
    }
  }

  /** What a failing sync or durable write leaves on the disk. */
  get survives(): Survives {
    return this.#survives;
  }

  /** Notes something that the contract does not allow. */
  breach(what: string): void {
    this.breaches.push(what);
  }

  #faultAt(call: Call): Fault | undefined {
    const fault = this.#options.faultAt?.(call);
    return fault !== undefined && applies(fault, call.kind) ? fault : undefined;
  }

  #outcome<T>(call: Call, fault: Fault | undefined, operation: Operation<T>): T {
    if (fault === undefined) return operation.finish();
    if (fault === 'short' && operation.finishPartly !== undefined) return operation.finishPartly();
    operation.fail?.();
    throw systemError(fault, call.kind, call.path);
  }

  #directoryLock(directory: string): DirectoryLock {
    let isHeld = true;
    const free = (): void => {
      if (isHeld) this.disk.locks.delete(directory);
      isHeld = false;
    };
    return { release: () => this.call('unlock', directory, { finish: free }) };
  }

  #expectDirectory(directory: string, doing: string): void {
    if (!this.disk.directories.has(directory)) throw systemError('ENOENT', doing, directory);
  }
}
