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
      await writeFully(copy, [encodeTailHeader(tail)], 0);
      const crc = await transfer(segment.file, from, copy, TAIL_HEADER_LENGTH, tail.length);
      const end = Buffer.alloc(4);
      end.writeUInt32LE(crc, 0);
      await writeFully(copy, [end], TAIL_HEADER_LENGTH + tail.length);
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

async function readWholeCopy(copy: FileHandle): Promise<TailCopy | undefined> {
  const header = Buffer.alloc(TAIL_HEADER_LENGTH);
  await readFully(copy, header, 0);
  const tail = decodeTailHeader(header);
  if (tail === undefined || (await copy.size()) !== TAIL_HEADER_LENGTH + tail.length + 4) return undefined;
  const stored = Buffer.alloc(4);
  await readFully(copy, stored, TAIL_HEADER_LENGTH + tail.length);
  const crc = await transfer(copy, TAIL_HEADER_LENGTH, undefined, 0, tail.length);
  return crc === stored.readUInt32LE(0) ? tail : undefined;
}

/** Copies `length` bytes block by block, or only reads them without a target, and returns their CRC-32. */
async function transfer(
  source: FileHandle, from: number, target: FileHandle | undefined, to: number, length: number,
): Promise<number> {
  const block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, Math.max(length, 1)));
  let crc = 0;
  for (let done = 0; done < length;) {
    const part = block.subarray(0, Math.min(block.length, length - done));
    const read = await readFully(source, part, from + done);
    if (read < part.length) throw new Error(`a file ended ${part.length - read} bytes too early`);
    crc = crc32(part, crc);
    if (target !== undefined) await writeFully(target, [part], to + done);
    done += read;
  }
  return crc;
}
