import path from 'node:path';
import { crc32 } from '../base/crc32.js';
import { decodeTailHeader, encodeTailHeader, TAIL_HEADER_LENGTH, type TailCopy } from '../contracts/segment-format.js';
import { TAIL_FILE_NAME } from '../contracts/segment-name.js';
import type { FileHandle, FileManager } from '../files/file-manager.js';
import { readFully, writeFully } from '../files/transfer.js';
import type { Segment } from '../segment/segment.js';

const BLOCK_BYTES = 1024 * 1024;

/**
 * Makes durable what can only be read so far. After a failed or interrupted sync the page cache shows
 * bytes the disk may not have, and syncing again does not bring them there: they must be written again.
 * But a crash in the middle of that write could damage bytes the disk did have. So they are copied
 * to `wal-tail` first; if that copy is found at the next opening, the write is done over.
 */
export class TailRewriter {
  readonly #fileManager: FileManager;
  readonly #directory: string;
  readonly #path: string;

  constructor(fileManager: FileManager, directory: string) {
    this.#fileManager = fileManager;
    this.#directory = directory;
    this.#path = path.join(directory, TAIL_FILE_NAME);
  }

  /**
   * Writes the bytes of `segment` from `from` to `to` again, durably. They are the same before, after and in between.
   */
  async rewrite(segment: Segment, from: number, to: number): Promise<void> {
    const tail: TailCopy = { segmentId: segment.segmentId, seed: segment.seed, offset: from, length: to - from };
    await this.#withCopy('create', async (copy) => {
      await copy.truncate(0);
      await writeCopy(copy, tail, segment.file);
      await copy.sync();
      await this.#fileManager.syncDirectory(this.#directory);
      await transfer(copy, TAIL_HEADER_LENGTH, segment.file, from, tail.length);
    });
    await segment.file.sync();
    await this.discard();
  }

  /** Finishes a rewrite that was interrupted, if there is a whole copy and `segments` holds its segment. */
  async redo(segments: readonly Segment[]): Promise<void> {
    await this.#withCopy('write', async (copy) => {
      const tail = await readWholeCopy(copy);
      const segment = segments.find(({ segmentId, seed }) => segmentId === tail?.segmentId && seed === tail.seed);
      if (tail === undefined || segment === undefined) return;
      await transfer(copy, TAIL_HEADER_LENGTH, segment.file, tail.offset, tail.length);
      await segment.file.sync();
    });
    await this.discard();
  }

  async discard(): Promise<void> {
    await this.#fileManager.remove(this.#path);
    await this.#fileManager.syncDirectory(this.#directory);
  }

  async #withCopy(access: 'create' | 'write', use: (copy: FileHandle) => Promise<void>): Promise<void> {
    const copy = await this.#fileManager.open(this.#path, { access });
    try {
      await use(copy);
    } finally {
      await copy.close();
    }
  }
}

/** Writes the header, the tail and its CRC-32: at once unless the tail is longer than a block, as it hardly ever is. */
async function writeCopy(copy: FileHandle, tail: TailCopy, source: FileHandle): Promise<void> {
  for await (const { bytes, at, crc } of blocksOf(source, tail.offset, tail.length)) {
    const parts: Uint8Array[] = [bytes];
    if (at === 0) parts.unshift(encodeTailHeader(tail));
    if (at + bytes.length === tail.length) parts.push(encodeCrc(crc));
    await writeFully(copy, parts, at === 0 ? 0 : TAIL_HEADER_LENGTH + at);
  }
}

async function readWholeCopy(copy: FileHandle): Promise<TailCopy | undefined> {
  const header = Buffer.alloc(TAIL_HEADER_LENGTH);
  await readFully(copy, header, 0);
  const tail = decodeTailHeader(header);
  if (tail === undefined || (await copy.size()) !== TAIL_HEADER_LENGTH + tail.length + 4) return undefined;
  const stored = Buffer.alloc(4);
  await readFully(copy, stored, TAIL_HEADER_LENGTH + tail.length);
  let computed = 0;
  for await (const { crc } of blocksOf(copy, TAIL_HEADER_LENGTH, tail.length)) computed = crc;
  return computed === stored.readUInt32LE(0) ? tail : undefined;
}

/** Copies `length` bytes block by block. */
async function transfer(
  source: FileHandle, from: number, target: FileHandle, to: number, length: number,
): Promise<void> {
  for await (const { bytes, at } of blocksOf(source, from, length)) await writeFully(target, [bytes], to + at);
}

interface Block {
  readonly bytes: Buffer;
  /** Where it stands in what is read. */
  readonly at: number;
  /** The CRC-32 of what is read, up to its end. */
  readonly crc: number;
}

/** Reads `length` bytes from `from`. A block's bytes are only valid until the next is asked for. */
async function* blocksOf(source: FileHandle, from: number, length: number): AsyncGenerator<Block> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, length));
  let crc = 0;
  for (let at = 0; at < length; at += buffer.length) {
    const bytes = buffer.subarray(0, length - at);
    const read = await readFully(source, bytes, from + at);
    if (read < bytes.length) throw new Error(`a file ended ${bytes.length - read} bytes too early`);
    crc = crc32(bytes, crc);
    yield { bytes, at, crc };
  }
}

function encodeCrc(crc: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc, 0);
  return bytes;
}
