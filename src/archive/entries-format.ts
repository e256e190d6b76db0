/**
 * The bytes of entries in an archive: records, one after the other.
 *
 * ```
 * version info   1 | length u8  | bytes   of the segments that the entries after it stood in; empty until it is said
 * entry          2 | id u64 LE            more entries of its batch follow
 * entry          3 | id u64 LE            the last of its batch, or alone
 * chunk          4 | length u32 LE | data
 * end            5                        of the entry
 * ```
 *
 * They may be cut anywhere, into as many objects as it takes, and what was encoded apart may be joined: each call of
 * `EntriesEncoder.reset` begins a part that can be read without those before it. They have no checksum of their own,
 * because the hash of each object covers them.
 */
import { asBuffer, readU64, writeU32, writeU64 } from '../base/bytes.js';
import type { EntryId } from '../index.js';

export const VERSION_INFO = 1;
export const ENTRY_OF_BATCH = 2;
export const LAST_ENTRY = 3;
export const CHUNK = 4;
export const END = 5;

export const ENTRY_LENGTH = 9;
export const CHUNK_HEADER_LENGTH = 5;
/** Before the bytes of a version info. */
export const VERSION_INFO_HEADER_LENGTH = 2;

/** A chunk as it comes from a log. */
interface ChunkToArchive extends AsyncIterable<Uint8Array> {
  readonly length: number;
}

/** An entry as it comes from `log.entries()`. */
export interface EntryToArchive extends AsyncIterable<ChunkToArchive> {
  readonly id: EntryId;
  readonly endsBatch: boolean;
  readonly segment: { readonly versionInfo: Uint8Array };
  chunksInMemory(): Uint8Array[] | undefined;
}

/** Turns the entries of a log into bytes, in constant memory however long they are. */
export class EntriesEncoder {
  #versionInfo: Uint8Array = new Uint8Array();

  /** Begins a part that can be read without those before it. */
  reset(): void {
    this.#versionInfo = new Uint8Array();
  }

  /** The bytes of an entry, if all of it is in memory: most are. Otherwise undefined. */
  encodeInMemory(entry: EntryToArchive): Buffer | undefined {
    const chunks = entry.chunksInMemory();
    if (chunks === undefined) return undefined;
    const head = this.#head(entry);
    let length = head.length + 1;
    for (const chunk of chunks) length += CHUNK_HEADER_LENGTH + chunk.length;
    const bytes = Buffer.allocUnsafe(length);
    bytes.set(head);
    let at = head.length;
    for (const chunk of chunks) {
      writeChunkHeader(bytes, chunk.length, at);
      bytes.set(chunk, at + CHUNK_HEADER_LENGTH);
      at += CHUNK_HEADER_LENGTH + chunk.length;
    }
    bytes[at] = END;
    return bytes;
  }

  /** The bytes of an entry in pieces. They must be used, or copied, before the next one is requested. */
  async *encode(entry: EntryToArchive): AsyncGenerator<Uint8Array, void, void> {
    const whole = this.encodeInMemory(entry);
    if (whole !== undefined) {
      yield whole;
      return;
    }
    yield this.#head(entry);
    for await (const chunk of entry) {
      const header = Buffer.allocUnsafe(CHUNK_HEADER_LENGTH);
      writeChunkHeader(header, chunk.length, 0);
      yield header;
      yield* chunk;
    }
    yield Buffer.of(END);
  }

  /** What comes before the chunks. */
  #head({ id, endsBatch, segment: { versionInfo } }: EntryToArchive): Buffer {
    const isKnown = Buffer.compare(versionInfo, this.#versionInfo) === 0;
    const before = isKnown ? 0 : VERSION_INFO_HEADER_LENGTH + versionInfo.length;
    const head = Buffer.allocUnsafe(before + ENTRY_LENGTH);
    if (!isKnown) {
      head[0] = VERSION_INFO;
      head[1] = versionInfo.length;
      head.set(versionInfo, VERSION_INFO_HEADER_LENGTH);
      this.#versionInfo = versionInfo;
    }
    head[before] = endsBatch ? LAST_ENTRY : ENTRY_OF_BATCH;
    writeU64(head, id, before + 1);
    return head;
  }
}

function writeChunkHeader(target: Buffer, length: number, at: number): void {
  target[at] = CHUNK;
  writeU32(target, length, at + 1);
}

export function decodeEntryId(record: Buffer, at: number): EntryId {
  return readU64(record, at + 1);
}

export function decodeChunkLength(record: Buffer, at: number): number {
  return record.readUInt32LE(at + 1);
}

/**
 * The chunks of an entry whose head ends at `at`, and where the entry ends, if all of it is in `bytes`. Otherwise, and
 * for bytes that are none of an entry's, undefined: reading them piece by piece tells the two apart.
 */
export function chunksIn(bytes: Uint8Array, at: number): { chunks: Uint8Array[]; end: number } | undefined {
  const records = asBuffer(bytes);
  const chunks: Uint8Array[] = [];
  while (at + CHUNK_HEADER_LENGTH <= records.length && records[at] === CHUNK) {
    const from = at + CHUNK_HEADER_LENGTH;
    at = from + decodeChunkLength(records, at);
    chunks.push(records.subarray(from, at));
  }
  return at < records.length && records[at] === END ? { chunks, end: at + 1 } : undefined;
}
