import { assertInternal } from '../base/assert.js';
import { deferred } from '../base/async.js';
import { show } from '../base/bytes.js';
import { toWalError, WalError } from '../base/errors.js';
import type { FileHandle } from '../files/file-manager.js';
import { readFully } from '../files/transfer.js';
import {
  decodeSnapshotHeader, SNAPSHOT_BLOCK_CONTENT, SNAPSHOT_BLOCK_LENGTH, SNAPSHOT_HEADER_LENGTH, SNAPSHOT_VERSION,
  snapshotBlockCrc, snapshotBlockOffset, snapshotFileLength,
} from '../format/snapshot-format.js';
import type { EntryId } from '../model/entry.js';

/** How much of the content one step of an iteration reads. */
const BYTES_AT_ONCE = 64 * SNAPSHOT_BLOCK_CONTENT;

/**
 * A snapshot that has been loaded. Everything that is read of it has been verified. It stays readable when it is
 * replaced, until it is closed: with `close()`, by `bytes()`, `text()` or `json()`, or by leaving the scope of an
 * `await using`.
 *
 * @example
 * const file = new SnapshotFile('snapshot', { fileManager: new MemoryFileManager() });
 * await file.save(3, ['hello, ', 'world']);
 * const snapshot = await file.load();
 * for await (const bytes of snapshot ?? []) console.log(Buffer.from(bytes).toString()); // hello, world
 * console.log(Buffer.from((await snapshot?.read(7, 5)) ?? []).toString()); // world
 * await snapshot?.close();
 *
 * @example
 * const file = new SnapshotFile('snapshot');
 * await file.save(3, '{ "color": "blue" }');
 * console.log(await (await file.load())?.json()); // { color: 'blue' }
 * console.log(await (await file.load())?.text()); // { "color": "blue" }
 * console.log((await (await file.load())?.bytes())?.length); // 19
 */
export class Snapshot implements AsyncIterable<Uint8Array>, AsyncDisposable {
  /** The last entry of the log that it includes. */
  readonly lastId: EntryId;
  /** The length of its content in bytes. */
  readonly length: number;
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #closed = deferred();
  #isClosing = false;
  #reads = 0;

  private constructor(file: FileHandle, path: string, lastId: EntryId, length: number) {
    assertInternal(typeof file === 'object', 'Snapshot', 'SnapshotFile.load()');
    this.#file = file;
    this.#path = path;
    this.lastId = lastId;
    this.length = length;
  }

  /** @internal Reads the header. Throws `WAL_CORRUPT` for anything but a file as long as its header says. */
  static async open(file: FileHandle, path: string): Promise<Snapshot> {
    const header = Buffer.alloc(SNAPSHOT_HEADER_LENGTH);
    await readFully(file, header, 0);
    const decoded = decodeSnapshotHeader(header);
    if (decoded === undefined) throw damagedAt(path, 0);
    const { version, lastId, length } = decoded;
    if (version !== SNAPSHOT_VERSION) {
      throw new WalError('WAL_UNSUPPORTED_VERSION', `${path} is a snapshot of version ${version}, not of a known one`);
    }
    const [size, expected] = [await file.size(), snapshotFileLength(length)];
    if (size !== expected) throw damagedAt(path, Math.min(size, expected));
    return new Snapshot(file, path, lastId, length);
  }

  /** `length` bytes of the content from `position` on. Rejects with `WAL_CORRUPT` if they are damaged. */
  async read(position: number, length: number): Promise<Uint8Array> {
    assertRange('position', position, this.length);
    assertRange('length', length, this.length - position);
    return this.#reading(async () => {
      const first = Math.floor(position / SNAPSHOT_BLOCK_CONTENT);
      const content = await this.#readBlocks(first, Math.ceil((position + length) / SNAPSHOT_BLOCK_CONTENT));
      const start = position - first * SNAPSHOT_BLOCK_CONTENT;
      return content.subarray(start, start + length);
    });
  }

  /** The content in pieces, in constant memory. Every loop gets all of it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    for (let at = 0; at < this.length; at += BYTES_AT_ONCE) {
      yield await this.read(at, Math.min(BYTES_AT_ONCE, this.length - at));
    }
  }

  /** The whole content. Closes the snapshot. */
  async bytes(): Promise<Uint8Array> {
    try {
      return await this.read(0, this.length);
    } finally {
      await this.close();
    }
  }

  /** The whole content as UTF-8 text. Closes the snapshot. */
  async text(): Promise<string> {
    const { buffer, byteOffset, byteLength } = await this.bytes();
    return Buffer.from(buffer, byteOffset, byteLength).toString();
  }

  /** The whole content as JSON. Closes the snapshot. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  /** Closes the file once the reads under way have ended, and resolves then. Idempotent. */
  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      if (this.#reads === 0) this.#closeFile();
    }
    await this.#closed.promise;
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The verified content of the blocks from `first` up to but not including `end`, one after the other. */
  async #readBlocks(first: number, end: number): Promise<Buffer> {
    const fileEnd = snapshotFileLength(this.length);
    const offset = snapshotBlockOffset(first);
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(snapshotBlockOffset(end), fileEnd) - offset));
    const count = await readFully(this.#file, bytes, offset);
    if (count < bytes.length) throw damagedAt(this.#path, offset + count);
    let length = 0;
    for (let at = 0, block = first; at < bytes.length; at += SNAPSHOT_BLOCK_LENGTH, block++) {
      const crcAt = Math.min(at + SNAPSHOT_BLOCK_LENGTH, bytes.length) - 4;
      const content = bytes.subarray(at, crcAt);
      const isValid = snapshotBlockCrc(this.lastId, block, content) === bytes.readUInt32LE(crcAt);
      if (!isValid) throw damagedAt(this.#path, offset + at);
      // The checksums between the blocks are squeezed out in place.
      bytes.copyWithin(length, at, crcAt);
      length += content.length;
    }
    return bytes.subarray(0, length);
  }

  /** Keeps the file open while `read` runs. */
  async #reading<T>(read: () => Promise<T>): Promise<T> {
    if (this.#isClosing) throw new WalError('WAL_CLOSED', `the snapshot ${this.#path} has been closed`);
    this.#reads++;
    try {
      return await read();
    } catch (error) {
      throw toWalError(error, `the snapshot ${this.#path} cannot be read`);
    } finally {
      if (--this.#reads === 0 && this.#isClosing) this.#closeFile();
    }
  }

  /** Nothing was written through this handle: an error of its close says nothing of what was read. */
  #closeFile(): void {
    const ended = (): void => this.#closed.resolve();
    this.#file.close().then(ended, ended);
  }
}

function assertRange(name: string, value: unknown, most: number): void {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${show(value)}`);
  if (!Number.isSafeInteger(value) || value < 0 || value > most) {
    throw new RangeError(`${name} must be an integer from 0 to ${most}, not ${value}`);
  }
}

function damagedAt(path: string, offset: number): WalError {
  return new WalError('WAL_CORRUPT', `the snapshot ${path} is damaged at offset ${offset}`, { offset });
}
