import { lstat, mkdir, readdir, realpath, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { NodeFileManager } from '../index.js';
import { InputError, UsageError } from './command.js';

/** The file that tells a directory whose content is not complete. No command reads a log beside it. */
export const UNFINISHED_NAME = 'UNFINISHED-COPY';

const UNFINISHED_TEXT = 'segmented-wal has not finished the copy in this directory: entries are missing from it.\n'
  + 'Unless a copy is being made right now, delete the directory and make the copy again.\n';

/** What the system says of a directory that cannot be renamed. */
const PINNED = new Set(['EACCES', 'EBUSY', 'EPERM', 'EROFS', 'EXDEV']);

/**
 * A directory that is filled under the name `NEWDIR.partial` and gets its own name only when it is complete. Until then
 * a file in it says that it is not.
 */
export class NewDirectory {
  /** Where it is in the end. */
  readonly #target: string;
  /** Where it is until it is complete. */
  readonly workPath: string;
  readonly #files = new NodeFileManager();
  #isMade = false;
  /** Whether there was an empty directory, which is filled. */
  #wasThere = false;

  private constructor(target: string) {
    this.#target = target;
    this.workPath = `${target}.partial`;
  }

  static async at(target: string): Promise<NewDirectory> {
    // A link to an empty directory may be in the very log that is copied: the directory is renamed, not the link.
    return new NewDirectory(await resolveAll(target));
  }

  /** Does nothing the second time. */
  async make(): Promise<void> {
    if (this.#isMade) return;
    if (await isThere(this.workPath)) {
      const what = 'a copy is being made there, or was interrupted; if it was, delete that directory';
      throw new InputError(`${this.workPath} exists: ${what}`);
    }
    await this.#files.createDirectory(path.dirname(this.#target));
    this.#wasThere = await isThere(this.#target);
    // Each of the two fails for the second of two commands that make it at once. A directory that is renamed keeps its
    // owner and its permissions.
    if (this.#wasThere) await rename(this.#target, this.workPath).catch((error: unknown) => this.#refuse(error));
    else await mkdir(this.workPath);
    this.#isMade = true;
    const flag = 'wx';
    await writeFile(path.join(this.workPath, UNFINISHED_NAME), UNFINISHED_TEXT, { flag, flush: true });
    await this.#files.syncDirectory(this.workPath);
    await this.#files.syncDirectory(path.dirname(this.#target));
  }

  /** Gives the directory, all files of which are durable, its own name. */
  async complete(): Promise<void> {
    await this.#files.remove(path.join(this.workPath, UNFINISHED_NAME));
    await this.#files.syncDirectory(this.workPath);
    await this.#files.rename(this.workPath, this.#target);
    this.#isMade = false;
    await this.#files.syncDirectory(path.dirname(this.#target));
  }

  /** Removes everything but the mark, to begin again. */
  async clear(): Promise<void> {
    for (const name of await readdir(this.workPath)) {
      if (name !== UNFINISHED_NAME) await rm(path.join(this.workPath, name), { recursive: true });
    }
    await this.#files.syncDirectory(this.workPath);
  }

  /** Leaves nothing of it, if it is not complete. */
  async discard(): Promise<void> {
    if (!this.#isMade) return;
    await this.clear();
    await rm(path.join(this.workPath, UNFINISHED_NAME), { force: true });
    if (this.#wasThere) await this.#files.rename(this.workPath, this.#target);
    else await rmdir(this.workPath);
    this.#isMade = false;
  }

  #refuse(error: unknown): never {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (!PINNED.has(code)) throw error;
    throw new UsageError(`${this.#target} cannot be renamed, as a finished copy is: ${message}; name one in it`);
  }
}

/** Rejects unless `to` is missing or empty, and not in `directory`: nothing that is there is overwritten. */
export async function assertNew(to: string, directory: string): Promise<void> {
  const between = path.relative(await resolveAll(directory), await resolveAll(to));
  const isInside = between !== '..' && !between.startsWith(`..${path.sep}`) && !path.isAbsolute(between);
  if (isInside) throw new UsageError(`${to} is in ${directory}, which must not change; name a directory elsewhere`);
  const names = await readdir(to).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    if (error.code === 'ENOTDIR') throw new UsageError(`${to} is not a directory; name a new one`);
    throw new InputError(`${to} cannot be written to: ${error.message}`);
  });
  if (names.length > 0) throw new UsageError(`${to} is not empty; name a new directory`);
}

function isThere(name: string): Promise<boolean> {
  return lstat(name).then(() => true, () => false);
}

/** A path without links, although its end may be missing. */
async function resolveAll(name: string): Promise<string> {
  const absolute = path.resolve(name);
  return realpath(absolute).catch(async (error: NodeJS.ErrnoException) => {
    const parent = path.dirname(absolute);
    if (error.code !== 'ENOENT' || parent === absolute) return absolute;
    return path.join(await resolveAll(parent), path.basename(absolute));
  });
}
