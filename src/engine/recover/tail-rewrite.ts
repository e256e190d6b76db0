import { crc32 } from '../../base/crc32.js';
import {
  decodeTailCrc, decodeTailHeader, encodeTailCrc, encodeTailHeader, TAIL_CRC_LENGTH, TAIL_HEADER_LENGTH, type TailCopy,
} from '../../format/tail-format.js';
import { LINK_LENGTH } from '../../format/segment-format.js';
import { NEW_TAIL_FILE_NAME, TAIL_FILE_NAME } from '../../format/file-names.js';
import type { FileHandle } from '../../files/file-manager.js';
import { readFully } from '../../files/transfer.js';
import type { Segment } from '../../segment/segment.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { Reserve } from '../directory/reserve.js';
import type { RoomMaker } from './room-maker.js';

const BLOCK_BYTES = 1024 * 1024;
const OVERHEAD = TAIL_HEADER_LENGTH + TAIL_CRC_LENGTH;

/**
 * Makes durable what can only be read so far. After a failed or interrupted sync the page cache shows
 * bytes the disk may not have, and syncing again does not bring them there: they must be written again.
 * But a crash in the middle of that write could damage bytes the disk did have. So they are copied first;
 * if that copy is found at the next opening, the write is done over.
 *
 * The copy is made in `wal-tail-new`, the log's reserve, so that it can be made on a full disk. Only when its content
 * is durable does it get the name `wal-tail`, and it loses that name before anything else is written. So what it
 * contained before is never taken for a copy.
 */
export class TailRewriter {
  readonly #directory: LogDirectory;
  readonly #reserve: Reserve;
  readonly #room: RoomMaker;

  constructor(directory: LogDirectory, reserve: Reserve, room: RoomMaker) {
    this.#directory = directory;
    this.#reserve = reserve;
    this.#room = room;
  }

  /**
   * Writes the bytes of `segment` from `from` to `to` again, durably. They are the same before, after and in between.
   * Nothing of the log is after them. A long tail is rewritten piece by piece. For a directory without a copy.
   */
  async rewrite(segment: Segment, from: number, to: number): Promise<void> {
    const { segmentId, seed, file } = segment;
    // It keeps what the log needs to continue in it.
    if (segment.format.isWritten) this.#room.offerEnd(segment, to + LINK_LENGTH);
    for (let offset = from; offset < to;) {
      await this.#withReserve(to - offset, async (copy, most) => {
        const tail: TailCopy = { segmentId, seed, offset, length: Math.min(to - offset, most) };
        await this.#copyAndPutBack(copy, tail, { file, from: offset }, segment);
        offset += tail.length;
      });
      await this.discard();
    }
  }

  /** Finishes a rewrite that was interrupted, if there is a whole copy and `segments` holds its segment. */
  async redo(segments: readonly Segment[]): Promise<void> {
    // A crash can leave this name beside the other one, for the same file, which must not be written in place.
    await this.#directory.removeIfThere(NEW_TAIL_FILE_NAME);
    await this.#directory.use(TAIL_FILE_NAME, { access: 'read' }, async (copy) => {
      const tail = await readWholeCopy(copy);
      const segment = segments.find(({ segmentId, seed }) => segmentId === tail?.segmentId && seed === tail.seed);
      if (tail === undefined || segment === undefined) return;
      if (tail.isDurable && !this.#directory.previousOwnerMayRun) {
        await this.#directory.sync();
        await this.#putBack(copy, tail, segment);
      } else {
        // Perhaps only the cache has this copy.
        await this.#withReserve(tail.length, async (fresh) => {
          await this.#copyAndPutBack(fresh, tail, { file: copy, from: TAIL_HEADER_LENGTH }, segment);
        });
      }
    });
    await this.discard();
  }

  /** Takes its name from the copy, durably: its file is the reserve again. */
  async discard(): Promise<void> {
    // A previous owner may still write to the file, which is nothing to rely on then.
    if (this.#directory.previousOwnerMayRun) await this.#directory.remove(TAIL_FILE_NAME);
    else await this.#directory.rename(TAIL_FILE_NAME, NEW_TAIL_FILE_NAME);
    await this.#directory.sync();
  }

  /** As `discard`, for the reserve. */
  async renounceReserve(): Promise<void> {
    await this.#directory.removeIfThere(NEW_TAIL_FILE_NAME);
  }

  /** Opens the reserve for a copy of `wanted` bytes, or of the `most` there is space for. */
  #withReserve(wanted: number, use: (copy: FileHandle, most: number) => Promise<void>): Promise<void> {
    // A byte more than the copy tells that it has its name because it is durable.
    const more = OVERHEAD + 1;
    return this.#room.provide(() => this.#reserve.use(more + wanted, (copy, size) => use(copy, size - more)));
  }

  /** Makes a durable copy of the tail that is in `source`, and writes it over the one in its segment. */
  async #copyAndPutBack(
    copy: FileHandle, tail: TailCopy & { readonly crc?: number }, source: { file: FileHandle; from: number },
    segment: Segment,
  ): Promise<void> {
    const crc = await this.#writeCopy(copy, tail, source.file, source.from);
    // After a failed sync the cache can drop what it showed a moment ago.
    if (crc !== (tail.crc ?? crc)) throw new Error(`${TAIL_FILE_NAME} changed while it was read`);
    await copy.sync();
    await this.#directory.rename(NEW_TAIL_FILE_NAME, TAIL_FILE_NAME);
    await this.#directory.sync();
    await this.#putBack(copy, tail, segment);
  }

  /** Writes the tail in a copy over the one in its segment, durably. */
  async #putBack(copy: FileHandle, tail: TailCopy, { file }: Segment): Promise<void> {
    for await (const { bytes, at } of blocksOf(copy, TAIL_HEADER_LENGTH, tail.length)) {
      await this.#directory.write(file, [bytes], tail.offset + at);
    }
    await file.sync();
  }

  /** Writes the header, the tail and its CRC-32, at once if the tail fits a block. Returns the CRC. */
  async #writeCopy(copy: FileHandle, tail: TailCopy, source: FileHandle, from: number): Promise<number> {
    let total = 0;
    for await (const { bytes, at, crc } of blocksOf(source, from, tail.length)) {
      const parts: Uint8Array[] = [bytes];
      if (at === 0) parts.unshift(encodeTailHeader(tail));
      if (at + bytes.length === tail.length) parts.push(encodeTailCrc(crc));
      await this.#directory.write(copy, parts, at === 0 ? 0 : TAIL_HEADER_LENGTH + at);
      total = crc;
    }
    return total;
  }
}

interface WholeCopy extends TailCopy {
  readonly crc: number;
  /**
   * Whether it got its name only when it was durable. Its file is longer than the copy then. Version 0.1.0 made one
   * under its name, no longer than it is, and may have ended, or failed, before it was synced.
   */
  readonly isDurable: boolean;
}

async function readWholeCopy(copy: FileHandle): Promise<WholeCopy | undefined> {
  const header = Buffer.alloc(TAIL_HEADER_LENGTH);
  await readFully(copy, header, 0);
  const tail = decodeTailHeader(header);
  if (tail === undefined) return undefined;
  const size = await copy.size();
  if (size < OVERHEAD + tail.length) return undefined;
  const stored = Buffer.alloc(TAIL_CRC_LENGTH);
  await readFully(copy, stored, TAIL_HEADER_LENGTH + tail.length);
  let computed = 0;
  for await (const { crc } of blocksOf(copy, TAIL_HEADER_LENGTH, tail.length)) computed = crc;
  if (computed !== decodeTailCrc(stored)) return undefined;
  return { ...tail, crc: computed, isDurable: size > OVERHEAD + tail.length };
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
