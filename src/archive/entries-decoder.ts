import { asBuffer } from '../base/bytes.js';
import { ArchivedEntry, type ChunkStream } from './archived-entry.js';
import {
  CHUNK, CHUNK_HEADER_LENGTH, chunksIn, decodeChunkLength, decodeEntryId, END, ENTRY_LENGTH, ENTRY_OF_BATCH, LAST_ENTRY,
  VERSION_INFO, VERSION_INFO_HEADER_LENGTH,
} from './entries-format.js';
import { ArchiveError } from './errors.js';

/**
 * The entries in `pieces`, which hold what `EntriesEncoder` has written, cut anywhere. No more than a piece is held in
 * memory. Throws `ARCHIVE_CORRUPT` for any other bytes.
 */
export async function* decodeEntries(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<ArchivedEntry, void, void> {
  const bytes = new PieceReader(pieces);
  let versionInfo: Uint8Array = new Uint8Array();
  try {
    while (await bytes.hasMore()) {
      if ((await bytes.peek()) === VERSION_INFO) {
        const [, length] = await bytes.take(VERSION_INFO_HEADER_LENGTH);
        versionInfo = Buffer.from(await bytes.take(length));
      }
      const marker = await bytes.peek();
      if (marker !== ENTRY_OF_BATCH && marker !== LAST_ENTRY) throw corrupt(`${marker} begins no entry`);
      const id = decodeEntryId(await bytes.take(ENTRY_LENGTH), 0);
      const head = { id, endsBatch: marker === LAST_ENTRY, versionInfo };
      const chunks = bytes.takeWholeEntry();
      if (chunks !== undefined) {
        yield new ArchivedEntry(head, chunks);
        continue;
      }
      const stream = new StreamedChunks(bytes);
      yield new ArchivedEntry(head, stream);
      while ((await stream.nextChunk()) !== undefined) continue;
    }
  } finally {
    await bytes.close();
  }
}

/** The chunks of an entry that is not in one piece. */
class StreamedChunks implements ChunkStream {
  readonly #bytes: PieceReader;
  /** How many bytes of the chunk have not been read. */
  #remaining = 0;
  #isEnded = false;

  constructor(bytes: PieceReader) {
    this.#bytes = bytes;
  }

  async nextChunk(): Promise<number | undefined> {
    while (this.#remaining > 0) await this.nextBytes();
    if (this.#isEnded) return undefined;
    const marker = await this.#bytes.peek();
    if (marker === CHUNK) {
      this.#remaining = decodeChunkLength(await this.#bytes.take(CHUNK_HEADER_LENGTH), 0);
      return this.#remaining;
    }
    if (marker !== END) throw corrupt(`${marker} is neither a chunk nor the end of its entry`);
    await this.#bytes.take(1);
    this.#isEnded = true;
    return undefined;
  }

  async nextBytes(): Promise<Uint8Array | undefined> {
    if (this.#remaining === 0) return undefined;
    const bytes = await this.#bytes.takeSome(this.#remaining);
    this.#remaining -= bytes.length;
    return bytes;
  }
}

/** Reads across the borders of pieces. */
class PieceReader {
  readonly #pieces: Iterator<Uint8Array> | AsyncIterator<Uint8Array>;
  #piece: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#pieces = Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
  }

  /** Whether there is another byte. */
  async hasMore(): Promise<boolean> {
    while (this.#at === this.#piece.length) {
      const next = await this.#pieces.next();
      if (next.done === true) return false;
      this.#piece = asBuffer(next.value);
      this.#at = 0;
    }
    return true;
  }

  /** The next byte, which stays. */
  async peek(): Promise<number> {
    await this.#need();
    return this.#piece[this.#at];
  }

  /** At most `most` of the next bytes. */
  async takeSome(most: number): Promise<Buffer> {
    await this.#need();
    const bytes = this.#piece.subarray(this.#at, this.#at + most);
    this.#at += bytes.length;
    return bytes;
  }

  /** The next `length` bytes, which are few. */
  async take(length: number): Promise<Buffer> {
    if (this.#at + length <= this.#piece.length) {
      this.#at += length;
      return this.#piece.subarray(this.#at - length, this.#at);
    }
    const parts: Buffer[] = [];
    for (let missing = length; missing > 0;) {
      const part = await this.takeSome(missing);
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** The chunks of the entry whose head was taken, if all of it is in this piece. */
  takeWholeEntry(): Uint8Array[] | undefined {
    const found = chunksIn(this.#piece, this.#at);
    if (found !== undefined) this.#at = found.end;
    return found?.chunks;
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async #need(): Promise<void> {
    if (!(await this.hasMore())) throw corrupt('they end in the middle of one');
  }
}

function corrupt(what: string): ArchiveError {
  return new ArchiveError('ARCHIVE_CORRUPT', `the bytes of the entries are not what was archived: ${what}`);
}
