import path from 'node:path';
import { assert } from '../../base/assert.js';
import { hasCode } from '../../base/errno.js';
import type { DirectoryLock, FileHandle, FileManager, OpenOptions } from '../../files/file-manager.js';
import { removeIfThere, withFile, writeFully } from '../../files/transfer.js';
import type { Lifecycle } from './lifecycle.js';

/**
 * The directory of a log that is open for writing: its files by name. Every change of a name, and every write outside
 * the commit path, asks the lifecycle first whether the log may still write here.
 */
export class LogDirectory {
  readonly path: string;
  readonly #fileManager: FileManager;
  readonly #lifecycle: Lifecycle;
  #lock: DirectoryLock | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(fileManager: FileManager, directory: string, lifecycle: Lifecycle) {
    this.#fileManager = fileManager;
    this.path = directory;
    this.#lifecycle = lifecycle;
  }

  /** Creates the directory if it is missing, and takes ownership of it. */
  async acquire(): Promise<void> {
    await this.#fileManager.createDirectory(this.path);
    this.#lock = await this.#fileManager.lock(this.path, (cause) => this.#lifecycle.fail(cause));
    this.#lifecycle.locked(this.#lock);
  }

  /** Whether a previous owner's late writes may still arrive, in any file that it had open. */
  get previousOwnerMayRun(): boolean {
    return this.#lock?.previousOwnerMayRun === true;
  }

  /** No file that a previous owner may have had open is part of the log any more, nor will be. */
  async forgetPreviousOwner(): Promise<void> {
    // Files that were removed must not come back with a crash, when nothing warns of them any more.
    await this.sync();
    await this.#lock?.forgetPreviousOwner?.();
  }

  /** Fails the log if its path does not lead to the directory that it owns any more. */
  async assertInPlace(): Promise<void> {
    if ((await this.#lock?.isInPlace?.()) === false) {
      this.#lifecycle.fail(new Error(`${this.path} is another directory now: its own was removed, moved or replaced`));
    }
    this.#lifecycle.assertMayWrite();
  }

  /** Gives up the directory, if it is owned. Never rejects: a lock that cannot be released ends with the process. */
  async release(): Promise<void> {
    assert(!this.#lifecycle.mayWrite(), 'a directory is released when nothing is written to it any more');
    await this.#lock?.release().catch(() => undefined);
  }

  async open(name: string, options: OpenOptions): Promise<FileHandle> {
    if (options.access !== 'read') this.#lifecycle.assertMayWrite();
    return this.#fileManager.open(this.#pathOf(name), options);
  }

  /** Opens a file for `use` and closes it again. */
  async use<T>(name: string, options: OpenOptions, use: (file: FileHandle) => Promise<T>): Promise<T> {
    if (options.access !== 'read') this.#lifecycle.assertMayWrite();
    return withFile(this.#fileManager, this.#pathOf(name), options, use);
  }

  /** Writes all of `parts` to an open file of the directory. */
  async write(file: FileHandle, parts: readonly Uint8Array[], position: number): Promise<void> {
    this.#lifecycle.assertMayWrite();
    await writeFully(file, parts, position);
  }

  /** Sets the length of an open file of the directory. */
  async truncate(file: FileHandle, length: number): Promise<void> {
    this.#lifecycle.assertMayWrite();
    await file.truncate(length);
  }

  async rename(from: string, to: string): Promise<void> {
    this.#lifecycle.assertMayWrite();
    await this.#fileManager.rename(this.#pathOf(from), this.#pathOf(to));
  }

  async remove(name: string): Promise<void> {
    this.#lifecycle.assertMayWrite();
    await this.#fileManager.remove(this.#pathOf(name));
  }

  async removeIfThere(name: string): Promise<void> {
    this.#lifecycle.assertMayWrite();
    await removeIfThere(this.#fileManager, this.#pathOf(name));
  }

  /**
   * Puts a file with `bytes` in the place of the one called `name`, or where none is. It is called `newName` until all
   * of it is durable. Resolves when its name is durable, too.
   */
  async replace(name: string, newName: string, bytes: Uint8Array): Promise<void> {
    // A crash can leave the new name beside the other one, for the same file, which must not be written in place.
    await this.removeIfThere(newName);
    await this.use(newName, { access: 'create' }, async (file) => {
      await this.write(file, [bytes], 0);
      await file.sync();
    });
    await this.rename(newName, name);
    await this.sync();
  }

  /**
   * Removes a file that is of no use any more. Its space is free when this resolves, even if it is open. Resolves with
   * false if there is no such file.
   */
  async free(name: string): Promise<boolean> {
    // As long as the disk knows it by another name, it must keep its content.
    await this.sync();
    try {
      await this.use(name, { access: 'write' }, async (file) => {
        await this.truncate(file, 0);
        await file.sync();
      });
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    }
    await this.remove(name);
    return true;
  }

  /**
   * Resolves when every change of names that had resolved before the call is durable. Callers that come while a sync
   * runs share the next one, because the running one may have looked at the directory already.
   *
   * The system reports a failed sync once: a second one says that all is well although the names are not on the disk.
   * So a failure is a state of the log. It is set before any caller hears of it, and no sync is begun after it.
   */
  sync(): Promise<void> {
    if (this.#running === undefined) return this.#run();
    this.#next ??= this.#running.catch(() => undefined).then(() => this.#run());
    return this.#next;
  }

  async #run(): Promise<void> {
    this.#next = undefined;
    this.#lifecycle.assertMayWrite();
    const running = this.#syncOnce();
    this.#running = running;
    try {
      await running;
    } finally {
      if (this.#running === running) this.#running = undefined;
    }
  }

  async #syncOnce(): Promise<void> {
    try {
      await this.#fileManager.syncDirectory(this.path);
    } catch (error) {
      this.#lifecycle.fail(error);
      throw error;
    }
    // What failed meanwhile may be what this sync was to make durable, and the directory another owner's.
    this.#lifecycle.assertMayWrite();
  }

  #pathOf(name: string): string {
    return path.join(this.path, name);
  }
}
