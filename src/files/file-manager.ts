/**
 * The contract between the log and its storage. Everything the log does to a disk goes through
 * here, so an implementation decides what a crash can leave behind, and the log promises no more
 * than this contract does. `segmented-wal/testing` has a suite that checks an implementation.
 *
 * Errors are thrown as the operating system names them (`error.code`: `ENOENT`, `ENOSPC`, `EIO`, …);
 * giving them a meaning is the caller's business. Only `lock` throws a WalError, `WAL_LOCKED`.
 *
 * @example
 * const files: FileManager = new MemoryFileManager();
 * await files.createDirectory('data');
 * const file = await files.open('data/new', { access: 'create' });
 * await file.close();
 * await files.rename('data/new', 'data/file');
 * await files.syncDirectory('data');
 * console.log(await files.list('data')); // [ 'file' ]
 */
export interface FileManager {
  /** Creates `directory` and its missing parents, each durably. An existing directory is left alone. */
  createDirectory(directory: string): Promise<void>;

  /** The names of the regular files directly in `directory`, in any order: no subdirectories, no symbolic links. */
  list(directory: string): Promise<string[]>;

  /** Opens a file. The handle stays bound to the file, not to its name, through renames and removal. */
  open(path: string, options: OpenOptions): Promise<FileHandle>;

  /**
   * Renames a file within its directory, atomically replacing one that has the new name. Durable after
   * `syncDirectory`.
   */
  rename(from: string, to: string): Promise<void>;

  /**
   * Gives a file another name in its directory, besides the one it has, or rejects with `EEXIST` if there is a file of
   * that name. Of several calls for one name, in whatever processes, one succeeds. Durable after `syncDirectory`.
   * Optional; `directoryStore` of `segmented-wal/archive` needs it.
   */
  link?(from: string, to: string): Promise<void>;

  /** Removes a file's name. Durable after `syncDirectory`. */
  remove(path: string): Promise<void>;

  /**
   * Resolves when every creation, link, rename and removal in `directory` that had resolved before the call is durable.
   */
  syncDirectory(directory: string): Promise<void>;

  /**
   * Takes ownership of `directory`, exclusive across this process, its threads and other processes,
   * or rejects with `WAL_LOCKED`. `onCompromised` is called at once, at most once, should ownership
   * be lost before `release`.
   */
  lock(directory: string, onCompromised: (cause: Error) => void): Promise<DirectoryLock>;
}

/**
 * How a file is opened.
 *
 * @example
 * const files = new MemoryFileManager();
 * await files.createDirectory('data');
 * const create: OpenOptions = { access: 'create', durableWrites: true };
 * const file = await files.open('data/file', create);
 * console.log(file.durableWrites, await file.size()); // true 0
 * await file.close();
 */
export interface OpenOptions {
  /**
   * `read` and `write` need the file to exist; `write` also reads; `create` is `write` that creates a missing file,
   * empty.
   */
  readonly access: 'read' | 'write' | 'create';
  /**
   * Asks for writes that are durable when they resolve, saving the separate `sync`. May be ignored: see
   * `FileHandle.durableWrites`.
   */
  readonly durableWrites?: boolean;
}

/**
 * An open file. Operations may run side by side; overlapping writes and a `close` beside another operation may not.
 *
 * @example
 * const files = new MemoryFileManager();
 * await files.createDirectory('data');
 * const file: FileHandle = await files.open('data/file', { access: 'create' });
 * await file.write([Buffer.from('hel'), Buffer.from('lo')], 0);
 * await file.sync();
 * console.log(await file.size()); // 5
 * await file.close();
 */
export interface FileHandle {
  /** True when a resolved `write` is as durable as if `sync` had followed it. */
  readonly durableWrites: boolean;

  /**
   * Reads into `target` from `position`. Resolves with the number of bytes read: 0 only at or past the end of the
   * file, and possibly fewer than asked for.
   */
  read(target: Uint8Array, position: number): Promise<number>;

  /** Like `read`, but on the calling thread: nothing else runs until it returns. Optional; `readSync` needs it. */
  readBlocking?(target: Uint8Array, position: number): number;

  /**
   * Writes `parts` one behind the other from `position`, growing the file if need be (a gap reads as
   * zeros). Resolves with the number of bytes written: at least 1, and possibly fewer than given.
   * The parts must not change until it settles. Any number of parts and bytes may be passed.
   */
  write(parts: readonly Uint8Array[], position: number): Promise<number>;

  /** Like `write`, but durable only after a `sync`, for handles whose `write` is durable. Optional. */
  writeVolatile?(parts: readonly Uint8Array[], position: number): Promise<number>;

  /** Like `write`, but on the calling thread: nothing else runs until it returns. Optional. */
  writeBlocking?(parts: readonly Uint8Array[], position: number): number;

  /**
   * Resolves when every write and truncation of this file that had resolved before the call is
   * durable, whichever handle it came through. After a rejection, what had been written since the last
   * sync may be lost even if a later sync succeeds.
   */
  sync(): Promise<void>;

  /** Like `sync`, but on the calling thread. There if `writeBlocking` is. */
  syncBlocking?(): void;

  /** Sets the file's length; what is added reads as zeros. */
  truncate(length: number): Promise<void>;

  /** The file's length in bytes. */
  size(): Promise<number>;

  /** Closes the handle. Later operations reject. */
  close(): Promise<void>;
}

/**
 * The ownership of a directory, held until it is released or the process ends.
 *
 * @example
 * const files = new NodeFileManager();
 * await files.createDirectory('data');
 * const lock: DirectoryLock = await files.lock('data', (cause) => console.error(cause));
 * await files.lock('data', () => {}).catch((error: WalError) => console.log(error.code)); // WAL_LOCKED
 * await lock.release();
 */
export interface DirectoryLock {
  /**
   * Gives the directory up. Idempotent. To be called when every write, sync and change of a name has settled: the next
   * owner may come at once, and takes it that none is under way.
   */
  release(): Promise<void>;

  /**
   * Whether the ownership can be relied on now. A lock that stays until it is released or its process has ended, such
   * as the kernel's, leaves this out.
   *
   * The owner asks before each write, sync and change of a name, and begins none once the answer is false. It asks
   * again before it acknowledges what it wrote: true then proves that no other owner had the directory before the write
   * was complete. So the answer costs no I/O. Once false it stays false, and `onCompromised` is called soon after.
   *
   * This cannot stop a write that was begun while the answer was true. If the process is stopped between the answer and
   * the system call, or the call itself takes too long, the write arrives when there may be another owner. That owner
   * protects itself: see `previousOwnerMayRun`.
   */
  isHeld?(): boolean;

  /**
   * True if the directory was taken from an owner of which nothing proves that it has ended, so that its late writes
   * may still arrive, in every file that it had open. What must survive must not be where they can. It stays true for
   * later owners, however this one ends, until `forgetPreviousOwner` has been called. Left out, it is false.
   */
  readonly previousOwnerMayRun?: boolean;

  /**
   * Resolves with whether the path still leads to the directory that is owned: not if it has been removed, moved or
   * replaced, also by a copy of itself. A lock that cannot tell leaves this out.
   */
  isInPlace?(): Promise<boolean>;

  /**
   * Says that the previous owner's late writes can do no harm any more: what is written from now on, and how it is
   * found, is durably out of their reach. The next owner then finds `previousOwnerMayRun` false. There if
   * `previousOwnerMayRun` can be true. Does nothing once `isHeld` is false.
   */
  forgetPreviousOwner?(): Promise<void>;
}
