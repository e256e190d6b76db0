import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { FileHandle, FileManager } from 'segmented-wal';

/**
 * The state of a store up to one entry of its log, in a file that is never changed once it has its name:
 *
 *     'kvs' | version 1 | id of that entry u64 | CRC u32
 *     for each key: key length u32 | value length u32 | key | value | CRC u32
 *     ffffffff u32 | CRC u32 of everything before
 *
 * Integers are little-endian. Each CRC covers its own record, so that a value can be verified alone; the
 * last one covers the whole file.
 */
const MAGIC = Buffer.from('kvs\u0001', 'latin1');
const HEADER_LENGTH = 16;
const RECORD_HEADER_LENGTH = 8;
const FOOTER_LENGTH = 8;
const NO_KEY = 0xffff_ffff;
const BLOCK_BYTES = 256 * 1024;

const NAME = 'snapshot';
const UNFINISHED_NAME = 'snapshot.new';

/** Where a key's record stands in the file, in bytes. */
interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** A snapshot that can be read. It keeps where each value is, not the values. */
export class Snapshot {
  /** The last entry it contains. Later ones are in the log. */
  readonly lastId: number;
  readonly #file: FileHandle | undefined;
  readonly #extents: ReadonlyMap<string, Extent>;
  #readers = 0;
  #isRetired = false;

  constructor(lastId = 0, file?: FileHandle, extents: ReadonlyMap<string, Extent> = new Map()) {
    this.lastId = lastId;
    this.#file = file;
    this.#extents = extents;
  }

  /** The snapshot in `directory`, verified from end to end, and proven durable; an empty one if there is none. */
  static async open(fileManager: FileManager, directory: string): Promise<Snapshot> {
    // The process that renamed it may have died before it synced the name, and what is read here is built upon.
    await fileManager.syncDirectory(directory);
    if (!(await fileManager.list(directory)).includes(NAME)) return new Snapshot();
    const file = await fileManager.open(path.join(directory, NAME), { access: 'read' });
    try {
      const reader = new BlockReader(file, await file.size());
      const lastId = await readHeader(reader);
      const extents = new Map<string, Extent>();
      for await (const { key, extent } of records(reader)) extents.set(key, extent);
      return new Snapshot(lastId, file, extents);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get size(): number {
    return this.#extents.size;
  }

  has(key: string): boolean {
    return this.#extents.has(key);
  }

  keys(): Iterable<string> {
    return this.#extents.keys();
  }

  /** The value of `key`, verified. */
  async read(key: string): Promise<Uint8Array | undefined> {
    const extent = this.#extents.get(key);
    if (this.#file === undefined || extent === undefined) return undefined;
    const record = Buffer.alloc(extent.length);
    this.#readers++;
    try {
      await readFully(this.#file, record, extent.offset);
    } finally {
      if (--this.#readers === 0 && this.#isRetired) await this.#file.close();
    }
    return decodeRecord(record).value;
  }

  /** Every key with its value, in the order of the file. */
  async *entries(): AsyncGenerator<{ key: string; value: Uint8Array }> {
    if (this.#file === undefined) return;
    const reader = new BlockReader(this.#file, await this.#file.size());
    await readHeader(reader);
    yield* records(reader);
  }

  /** Closes the file as soon as nobody reads it. Nobody may begin to read it any more. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    if (this.#readers === 0) await this.#file?.close();
  }
}

/** Writes a new snapshot beside the current one and lets it take its place in one step, when it is durable. */
export class SnapshotWriter {
  readonly #fileManager: FileManager;
  readonly #directory: string;
  readonly #lastId: number;
  readonly #file: FileHandle;
  readonly #extents = new Map<string, Extent>();
  #parts: Uint8Array[] = [];
  #written = 0;
  #pending = 0;
  #crc = 0;

  private constructor(fileManager: FileManager, directory: string, lastId: number, file: FileHandle) {
    this.#fileManager = fileManager;
    this.#directory = directory;
    this.#lastId = lastId;
    this.#file = file;
  }

  static async create(fileManager: FileManager, directory: string, lastId: number): Promise<SnapshotWriter> {
    const file = path.join(directory, UNFINISHED_NAME);
    // What a crash has left is removed, not written over: after half a rename it can be the snapshot itself.
    if ((await fileManager.list(directory)).includes(UNFINISHED_NAME)) await fileManager.remove(file);
    const handle = await fileManager.open(file, { access: 'create' });
    const writer = new SnapshotWriter(fileManager, directory, lastId, handle);
    writer.#append(encodeHeader(lastId));
    return writer;
  }

  /** Adds a key. Every key may be added once; `value` must not change until `publish` has resolved. */
  async add(key: string, value: Uint8Array): Promise<void> {
    const offset = this.#written + this.#pending;
    const parts = encodeRecord(key, value);
    this.#append(...parts);
    this.#extents.set(key, { offset, length: lengthOf(parts) });
    if (this.#pending >= BLOCK_BYTES) await this.#flush();
  }

  /** Makes the snapshot durable, then gives it its name. A crash before the end of that leaves the old one in place. */
  async publish(): Promise<Snapshot> {
    const footer = Buffer.alloc(FOOTER_LENGTH);
    footer.writeUInt32LE(NO_KEY, 0);
    footer.writeUInt32LE(crc32(footer.subarray(0, 4), this.#crc), 4);
    this.#append(footer);
    await this.#flush();
    await this.#file.sync();
    await this.#fileManager.rename(path.join(this.#directory, UNFINISHED_NAME), path.join(this.#directory, NAME));
    await this.#fileManager.syncDirectory(this.#directory);
    return new Snapshot(this.#lastId, this.#file, this.#extents);
  }

  /** Gives up a snapshot that was not published. Its file is removed when the next one is begun. */
  async abandon(): Promise<void> {
    await this.#file.close();
  }

  #append(...parts: Uint8Array[]): void {
    for (const part of parts) this.#crc = crc32(part, this.#crc);
    this.#parts.push(...parts);
    this.#pending += lengthOf(parts);
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#pending = 0;
    for (let at = 0; at < bytes.length;) at += await this.#file.write([bytes.subarray(at)], this.#written + at);
    this.#written += bytes.length;
  }
}

/** Reads a file from its beginning, a block at a time. */
class BlockReader {
  readonly #file: FileHandle;
  readonly #fileSize: number;
  #block = Buffer.alloc(0);
  #blockOffset = 0;
  #at = 0;
  /** The CRC of everything taken so far. */
  crc = 0;

  constructor(file: FileHandle, fileSize: number) {
    this.#file = file;
    this.#fileSize = fileSize;
  }

  get offset(): number {
    return this.#blockOffset + this.#at;
  }

  get isAtEnd(): boolean {
    return this.offset === this.#fileSize;
  }

  /** The next `length` bytes, without moving on. */
  async peek(length: number): Promise<Buffer> {
    if (this.#at + length > this.#block.length) await this.#fill(length);
    return this.#block.subarray(this.#at, this.#at + length);
  }

  async take(length: number): Promise<Buffer> {
    const bytes = await this.peek(length);
    this.#at += length;
    this.crc = crc32(bytes, this.crc);
    return bytes;
  }

  async #fill(length: number): Promise<void> {
    const { offset } = this;
    // Checked before memory is allocated: a damaged length can be any number.
    if (offset + length > this.#fileSize) throw damagedAt(offset);
    this.#block = Buffer.alloc(Math.min(Math.max(length, BLOCK_BYTES), this.#fileSize - offset));
    this.#blockOffset = offset;
    this.#at = 0;
    await readFully(this.#file, this.#block, offset);
  }
}

async function* records(reader: BlockReader): AsyncGenerator<{ key: string; value: Uint8Array; extent: Extent }> {
  for (;;) {
    const { offset } = reader;
    const keyLength = (await reader.peek(4)).readUInt32LE(0);
    if (keyLength === NO_KEY) break;
    const valueLength = (await reader.peek(RECORD_HEADER_LENGTH)).readUInt32LE(4);
    const length = RECORD_HEADER_LENGTH + keyLength + valueLength + 4;
    yield { ...decodeRecord(await reader.take(length), offset), extent: { offset, length } };
  }
  await reader.take(4);
  const { crc, offset } = reader;
  if ((await reader.take(4)).readUInt32LE(0) !== crc || !reader.isAtEnd) throw damagedAt(offset);
}

function encodeHeader(lastId: number): Buffer {
  const header = Buffer.alloc(HEADER_LENGTH);
  header.set(MAGIC);
  header.writeBigUInt64LE(BigInt(lastId), 4);
  header.writeUInt32LE(crc32(header.subarray(0, 12)), 12);
  return header;
}

async function readHeader(reader: BlockReader): Promise<number> {
  const header = await reader.take(HEADER_LENGTH);
  const isValid = header.subarray(0, 4).equals(MAGIC) && crc32(header.subarray(0, 12)) === header.readUInt32LE(12);
  if (!isValid) throw damagedAt(0);
  return Number(header.readBigUInt64LE(4));
}

function encodeRecord(key: string, value: Uint8Array): Uint8Array[] {
  const keyLength = Buffer.byteLength(key);
  const head = Buffer.alloc(RECORD_HEADER_LENGTH + keyLength);
  head.writeUInt32LE(keyLength, 0);
  head.writeUInt32LE(value.length, 4);
  head.write(key, RECORD_HEADER_LENGTH);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc32(value, crc32(head)), 0);
  return [head, value, checksum];
}

/** The key and the value of a whole record, which stands at `offset`. */
function decodeRecord(record: Buffer, offset?: number): { key: string; value: Uint8Array } {
  const body = record.subarray(0, -4);
  if (crc32(body) !== record.readUInt32LE(body.length)) throw damagedAt(offset);
  const valueStart = RECORD_HEADER_LENGTH + record.readUInt32LE(0);
  const key = body.toString('utf8', RECORD_HEADER_LENGTH, valueStart);
  return { key, value: Uint8Array.from(body.subarray(valueStart)) };
}

async function readFully(file: FileHandle, target: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < target.length;) {
    const count = await file.read(target.subarray(at), position + at);
    if (count === 0) throw damagedAt(position + at);
    at += count;
  }
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((length, part) => length + part.length, 0);
}

function damagedAt(offset?: number): Error {
  return new Error(offset === undefined ? 'the snapshot is damaged' : `the snapshot is damaged at offset ${offset}`);
}
