import { crc32 } from '../../base/crc32.js';
import {
  decodeTailCrc, decodeTailHeader, encodeTailCrc, encodeTailHeader, TAIL_CRC_LENGTH, TAIL_HEADER_LENGTH, type TailCopy,
} from '../../format/tail-format.js';
import { NEW_TAIL_FILE_NAME, TAIL_FILE_NAME } from '../../format/file-names.js';
import type { FileHandle } from '../../files/file-manager.js';
import { readFully, writeFully } from '../../files/transfer.js';
import type { Segment } from '../../segment/segment.js';
import type { LogDirectory } from '../directory/log-directory.js';

const BLOCK_BYTES = 1024 * 1024;

/**
 * Makes durable what can only be read so far. After a failed or interrupted sync the page cache shows
 * bytes the disk may not have, and syncing again does not bring them there: they must be written again.
 * But a crash in the middle of that write could damage bytes the disk did have. So they are copied
 * to `wal-tail` first; if that copy is found at the next opening, the write is done over.
 */
export class TailRewriter {
  readonly #directory: LogDirectory;

  constructor(directory: LogDirectory) {
    this.#directory = directory;
  }

  /**
   * Writes the bytes of `segment` from `from` to `to` again, durably. They are the same before, after and in between.
   * For a directory without a copy.
   */
  async rewrite(segment: Segment, from: number, to: number): Promise<void> {
    const tail: TailCopy = { segmentId: segment.segmentId, seed: segment.seed, offset: from, length: to - from };
    await this.#directory.use(TAIL_FILE_NAME, { access: 'create' }, async (copy) => {
      await copy.truncate(0);
      await writeCopy(copy, tail, segment.file, from);
      await copy.sync();
      await this.#directory.sync();
      await this.#putBack(copy, tail, segment);
    });
    await this.discard();
  }

  /** Finishes a rewrite that was interrupted, if there is a whole copy and `segments` holds its segment. */
  async redo(segments: readonly Segment[]): Promise<void> {
    // A crash can leave this name beside the other one, for the same file, which must not be written in place.
    await this.#directory.removeIfThere(NEW_TAIL_FILE_NAME);
    await this.#directory.use(TAIL_FILE_NAME, { access: 'read' }, async (copy) => {
      const tail = await readWholeCopy(copy);
      const segment = segments.find(({ segmentId, seed }) => segmentId === tail?.segmentId && seed === tail.seed);
      if (tail === undefined || segment === undefined) return;
      // Perhaps only the cache has this copy: the process that made it may have ended, or failed, too early.
      await this.#directory.use(NEW_TAIL_FILE_NAME, { access: 'create' }, async (fresh) => {
        const crc = await writeCopy(fresh, tail, copy, TAIL_HEADER_LENGTH);
        // After a failed sync the cache can drop what it showed a moment ago.
        if (crc !== tail.crc) throw new Error(`${TAIL_FILE_NAME} changed while it was read`);
        await fresh.sync();
        await this.#directory.rename(NEW_TAIL_FILE_NAME, TAIL_FILE_NAME);
        await this.#directory.sync();
        await this.#putBack(fresh, tail, segment);
      });
    });
    await this.discard();
  }

  async discard(): Promise<void> {
    await this.#directory.remove(TAIL_FILE_NAME);
    await this.#directory.sync();
  }

  /** Writes the tail in a copy over the one in its segment, durably. */
  async #putBack(copy: FileHandle, tail: TailCopy, { file }: Segment): Promise<void> {
    for await (const { bytes, at } of blocksOf(copy, TAIL_HEADER_LENGTH, tail.length)) {
      await this.#directory.write(file, [bytes], tail.offset + at);
    }
    await file.sync();
  }
}

/** Writes the header, the tail and its CRC-32, at once if the tail fits a block, as it mostly does. Returns the CRC. */
async function writeCopy(copy: FileHandle, tail: TailCopy, source: FileHandle, from: number): Promise<number> {
  let total = 0;
  for await (const { bytes, at, crc } of blocksOf(source, from, tail.length)) {
    const parts: Uint8Array[] = [bytes];
    if (at === 0) parts.unshift(encodeTailHeader(tail));
    if (at + bytes.length === tail.length) parts.push(encodeTailCrc(crc));
    await writeFully(copy, parts, at === 0 ? 0 : TAIL_HEADER_LENGTH + at);
    total = crc;
  }
  return total;
}

async function readWholeCopy(copy: FileHandle): Promise<(TailCopy & { readonly crc: number }) | undefined> {
  const header = Buffer.alloc(TAIL_HEADER_LENGTH);
  await readFully(copy, header, 0);
  const tail = decodeTailHeader(header);
  if (tail === undefined) return undefined;
  if ((await copy.size()) !== TAIL_HEADER_LENGTH + tail.length + TAIL_CRC_LENGTH) return undefined;
  const stored = Buffer.alloc(TAIL_CRC_LENGTH);
  await readFully(copy, stored, TAIL_HEADER_LENGTH + tail.length);
  let computed = 0;
  for await (const { crc } of blocksOf(copy, TAIL_HEADER_LENGTH, tail.length)) computed = crc;
  return computed === decodeTailCrc(stored) ? { ...tail, crc: computed } : undefined;
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
