import { hasCode } from '../../base/errno.js';
import { isNoSpace } from '../../base/errors.js';
import { NEW_TAIL_FILE_NAME } from '../../format/file-names.js';
import type { FileHandle } from '../../files/file-manager.js';
import type { LogDirectory } from './log-directory.js';

const MOST_BYTES = 1024 * 1024;
/** Less than this is of no use. */
const LEAST_BYTES = 512;

/**
 * The space that a log keeps for an opening on a full disk: a file, `wal-tail-new`, that is allocated and whose content
 * means nothing.
 */
export class Reserve {
  readonly #directory: LogDirectory;
  readonly #bytes: number;

  constructor(directory: LogDirectory, preallocateBytes: number) {
    this.#directory = directory;
    this.#bytes = Math.min(MOST_BYTES, preallocateBytes);
  }

  /** Opens the file when it has `wanted` bytes, or the most there is space for: `size`. */
  use(wanted: number, use: (file: FileHandle, size: number) => Promise<void>): Promise<void> {
    return this.#directory.use(NEW_TAIL_FILE_NAME, { access: 'create' }, async (file) => {
      await use(file, await this.#allocate(file, Math.min(this.#bytes, wanted)));
    });
  }

  /** Sees to it that the next opening finds the reserve, durably, if there is space for it. */
  async keep(): Promise<void> {
    try {
      await this.#directory.use(NEW_TAIL_FILE_NAME, { access: 'create' }, async (file) => {
        const size = await file.size();
        if (size === this.#bytes) return;
        if (size > this.#bytes) await this.#directory.truncate(file, this.#bytes);
        else await this.#allocate(file, this.#bytes);
        await file.sync();
        await this.#directory.sync();
      });
    } catch (error) {
      if (!isNoSpace(error)) throw error;
    }
  }

  /** Gives the space back. Resolves with false if there is none. */
  free(): Promise<boolean> {
    return this.#directory.free(NEW_TAIL_FILE_NAME);
  }

  /** Renames a file. A directory that has to grow for a name takes space. */
  rename(from: string, to: string): Promise<void> {
    return this.spend(() => this.#directory.rename(from, to));
  }

  /** Does what takes a little space, of the reserve if there is no other. */
  async spend(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!isNoSpace(error) || !(await this.free())) throw error;
      await action();
      await this.keep();
    }
  }

  /** Gives the file another name, and another use. Resolves with false if it is not there. */
  async become(name: string): Promise<boolean> {
    try {
      await this.#directory.rename(NEW_TAIL_FILE_NAME, name);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    }
    return true;
  }

  /** Gives the file a size, written with zeros, or as much of it as there is space for. Resolves with its size. */
  async #allocate(file: FileHandle, wanted: number): Promise<number> {
    const size = await file.size();
    if (size >= wanted) return size;
    try {
      await this.#directory.write(file, [Buffer.alloc(wanted - size)], size);
    } catch (error) {
      if (!isNoSpace(error) || (await file.size()) < LEAST_BYTES) throw error;
    }
    return file.size();
  }
}
