import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { unlessAborted } from '../base/abort.js';
import { absolutePath } from '../base/absolute-path.js';
import { hasCode } from '../base/errno.js';
import { NodeFileManager, readFully, writeFully } from '../index.js';
import type { FileHandle, FileManager, OpenOptions } from '../index.js';
import type { ObjectStore } from './object-store.js';

/** Between the name of an object and what makes the name of its unfinished file different. No name has it. */
const UNFINISHED = '~';
const UNFINISHED_BYTES = 8;
/** What file systems allow, less what the name of an unfinished file has more. */
const MAX_NAME_LENGTH = 255 - UNFINISHED.length - 2 * UNFINISHED_BYTES;

/**
 * Objects as the files of one directory: on another disk, or a mount of another machine's. `directory` is a path or a
 * `file:` URL, and is created when it is needed.
 *
 * A key is a file's name, with `+` for `/`. All are in one directory, so that the sync after one object also makes
 * those before it durable. After a sync that failed, every request rejects: make another store, in a new process.
 * Throws a TypeError for a FileManager that cannot link.
 *
 * @example
 * const store = directoryStore('/mnt/other-disk/archive', new MemoryFileManager());
 * const { signal } = new AbortController();
 * console.log(await store.create('a/b', Buffer.from('hello'), { signal })); // created
 * for await (const key of store.list('a/', { signal })) console.log(key); // a/b
 */
export function directoryStore(directory: string | URL, files: FileManager = new NodeFileManager()): ObjectStore {
  return new DirectoryStore(absolutePath('directory', directory), withLink(files));
}

type LinkingFileManager = FileManager & Required<Pick<FileManager, 'link'>>;

type Options = Parameters<ObjectStore['get']>[1];

class DirectoryStore implements ObjectStore {
  readonly #directory: string;
  readonly #files: LinkingFileManager;
  /** Requests that were given up and have not ended. */
  readonly #abandoned = new Set<Promise<unknown>>();
  #isMade = false;
  /** Why nothing in the directory can be relied on any more. */
  #failure: Error | undefined;

  constructor(directory: string, files: LinkingFileManager) {
    this.#directory = directory;
    this.#files = files;
  }

  async create(key: string, body: Uint8Array, { signal }: Options): Promise<'created' | 'exists'> {
    assertFits(key);
    return this.#request(signal, () => this.#create(key, body));
  }

  async get(key: string, { signal, from = 0, to = Infinity }: Options): Promise<Uint8Array | undefined> {
    return this.#request(signal, () => this.#get(key, from, to));
  }

  async *list(prefix: string, { after = '', signal }: Options & { after?: string }): AsyncGenerator<string> {
    for (const key of await this.#request(signal, () => this.#keys())) {
      if (key.startsWith(prefix) && key > after) yield key;
    }
  }

  async delete(keys: readonly string[], { signal }: Options): Promise<void> {
    await this.#request(signal, () => this.#delete(keys));
  }

  /**
   * Makes a request, when those that were given up have ended: on a mount that does not answer, each of them holds one
   * of the few threads that the log writes with.
   */
  async #request<T>(signal: AbortSignal, make: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    while (this.#abandoned.size > 0) await unlessAborted(Promise.all(this.#abandoned), signal);
    if (this.#failure !== undefined) throw this.#failure;
    const request = make();
    try {
      return await unlessAborted(request, signal);
    } finally {
      if (signal.aborted) this.#abandon(request);
    }
  }

  #abandon(request: Promise<unknown>): void {
    const ended = request.then(() => undefined, () => undefined);
    this.#abandoned.add(ended);
    void ended.then(() => this.#abandoned.delete(ended));
  }

  async #create(key: string, body: Uint8Array): Promise<'created' | 'exists'> {
    if (!this.#isMade) await this.#files.createDirectory(this.#directory);
    this.#isMade = true;
    const name = nameOf(key);
    // A name that nothing else uses: what a failed sync has left in a file is not known, and must not be linked.
    const unfinished = this.#path(`${name}${UNFINISHED}${randomBytes(UNFINISHED_BYTES).toString('hex')}`);
    let isCreated: boolean;
    try {
      await this.#withFile(unfinished, { access: 'create' }, async (file) => {
        await writeFully(file, body.length === 0 ? [] : [body], 0);
        await file.sync();
      });
      isCreated = await this.#linkTo(unfinished, this.#path(name));
    } finally {
      await this.#files.remove(unfinished).catch(() => undefined);
    }
    // Also where there was one: the process that created it may have died before this.
    await this.#sync();
    return isCreated ? 'created' : 'exists';
  }

  async #linkTo(from: string, to: string): Promise<boolean> {
    try {
      await this.#files.link(from, to);
      return true;
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false;
      throw error;
    }
  }

  async #get(key: string, from: number, to: number): Promise<Uint8Array | undefined> {
    try {
      return await this.#withFile(this.#path(nameOf(key)), { access: 'read' }, async (file) => {
        const length = Math.max(0, Math.min(to, await file.size()) - from);
        const bytes = Buffer.allocUnsafe(length);
        if ((await readFully(file, bytes, from)) < length) throw new Error(`the file of ${key} has become shorter`);
        return bytes;
      });
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** Every key, ascending. */
  async #keys(): Promise<string[]> {
    const names = await this.#names();
    // What is seen now must not be gone after a loss of power: its creator may have died before it was durable.
    if (names.length > 0) await this.#sync();
    return names.map(keyOf).filter((key) => key !== undefined).sort();
  }

  async #names(): Promise<string[]> {
    try {
      return await this.#files.list(this.#directory);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  }

  async #delete(keys: readonly string[]): Promise<void> {
    const deleted = new Set(keys.map(nameOf));
    for (const name of deleted) await this.#removeIfThere(name);
    const names = await this.#names();
    const taken = new Set([...names, ...deleted]);
    for (const name of names) {
      const [object, isUnfinished] = name.split(UNFINISHED);
      // What would become an object that exists, or has existed, is left by a dead process, or is of no use to a living
      // one: it will be told that the object exists, or that it must try again.
      if (isUnfinished !== undefined && taken.has(object)) await this.#removeIfThere(name);
    }
    if (names.length > 0) await this.#sync();
  }

  /**
   * Makes every name durable, or nothing can be relied on: the system tells of a failure once, and the next sync would
   * confirm names that are lost.
   */
  async #sync(): Promise<void> {
    try {
      await this.#files.syncDirectory(this.#directory);
    } catch (cause) {
      const message = `${this.#directory} could not be synced: which of its objects are durable is not known`;
      this.#failure ??= new Error(message, { cause });
      throw this.#failure;
    }
  }

  async #withFile<T>(file: string, options: OpenOptions, use: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await this.#files.open(file, options);
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  }

  async #removeIfThere(name: string): Promise<void> {
    await this.#files.remove(this.#path(name)).catch((error: unknown) => {
      if (!hasCode(error, 'ENOENT')) throw error;
    });
  }

  #path(name: string): string {
    return path.join(this.#directory, name);
  }
}

/** Throws a RangeError if the name of the object's file would be too long for a file system. */
function assertFits(key: string): void {
  if (nameOf(key).length <= MAX_NAME_LENGTH) return;
  throw new RangeError(`the key ${key} is too long for a file's name`);
}

function withLink(files: FileManager): LinkingFileManager {
  if (files.link !== undefined) return files as LinkingFileManager;
  throw new TypeError('this FileManager has no method link, so it cannot create a file without replacing another');
}

function nameOf(key: string): string {
  const name = encodeURIComponent(key).replaceAll('%2F', '+').replace(/[~*!'()]/g, escaped);
  // No name is hidden, and none leads elsewhere.
  return name.startsWith('.') ? `${escaped('.')}${name.slice(1)}` : name;
}

function escaped(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** The key of the object whose file has this name, or undefined for another file. */
function keyOf(name: string): string | undefined {
  try {
    const key = decodeURIComponent(name.replaceAll('+', '/'));
    return nameOf(key) === name ? key : undefined;
  } catch {
    return undefined;
  }
}
