import { assert } from '../base/assert.js';
import { writeU32 } from '../base/bytes.js';
import { crc32Combine } from '../base/crc32.js';
import type { ChunkRecord } from '../model/entry.js';
import { LogPosition } from '../model/log-position.js';
import * as format from '../format/segment-format.js';
import type { BlockPool } from './block-pool.js';
import { Commits, type CommitsSavepoint, type CommitWaiter } from './commits.js';
import { EncodedBytes, type TakenBytes } from './encoded-bytes.js';
import type { Segment } from './segment.js';

/** Bytes on their way to the disk, in one write. */
export interface Flush extends TakenBytes {
  readonly encoder: SegmentEncoder;
  readonly offset: number;
  readonly length: number;
  readonly commits: Commits;
  /** The header of a chunk whose length was unknown when it was written. */
  readonly patch: Patch | undefined;
}

/** Bytes that take the place of others, written in an earlier flush and not committed yet. */
export interface Patch {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A chunk that is being written. */
interface OpenChunk {
  readonly position: LogPosition;
  /** Undefined until the chunk ends, if it was not known before. */
  readonly length: number | undefined;
  written: number;
  /** Of the header and the data so far; of the data alone if the length is not known. */
  crc: number;
  /** Where the header stands in memory, as long as no flush has been taken. */
  readonly header: Buffer;
  readonly taken: number;
}

/** Where an entry began, to go back to if it is rolled back. */
interface Savepoint {
  offset: number;
  chain: number;
  blockCount: number;
  used: number;
  markDue: boolean;
  /** Of the entry before, if that is still to be flushed. */
  patch: Patch | undefined;
  /** How many flushes had been taken: if it has changed since, some of the entry may be on the disk. */
  taken: number;
  lastId: number;
  readonly commits: CommitsSavepoint;
}

/**
 * Encodes records of one segment into memory and hands them over flush by flush. Offsets are final as
 * soon as a record is encoded. One entry is open at a time; a flush may be taken in the middle of it.
 */
export class SegmentEncoder {
  readonly segment: Segment;
  /** The chain after the last complete entry. */
  chain: number;
  readonly #bytes: EncodedBytes;
  /** What the next flush completes. */
  #commits: Commits;
  /** Where the next flush begins. */
  #flushOffset: number;
  #flushesTaken = 0;
  /** How many entries of a batch are complete but for the end of the batch. */
  #joined = 0;
  #patch: Patch | undefined;
  #markDue = true;
  /** The mark of the next flush: room has been left for it, its content is known when the flush is taken. */
  #mark: { readonly block: Buffer; readonly at: number; readonly offset: number } | undefined;
  #endsWithLink = false;
  #entryChain = 0;
  /** One object for every entry: most of them never need it. */
  readonly #saved: Savepoint = {
    offset: 0, chain: 0, blockCount: 0, used: 0, markDue: false, patch: undefined, taken: 0, lastId: 0,
    commits: { entryCount: 0, end: 0, id: 0, waiterCount: 0, durableCount: 0 },
  };
  #chunk: OpenChunk | undefined;

  /** If there is no memory for a block it throws, and the segment is as it was: the first link always has room. */
  constructor(segment: Segment, pool: BlockPool, offset: number, chain: number) {
    this.segment = segment;
    this.#bytes = new EncodedBytes(pool);
    segment.activate(offset);
    this.chain = chain;
    this.#flushOffset = offset;
    this.#commits = new Commits(offset, 0);
  }

  /** Where the next byte will stand in the segment. */
  get offset(): number {
    return this.segment.end;
  }

  /** Bytes encoded but not yet taken for a flush. */
  get pendingBytes(): number {
    return this.offset - this.#flushOffset;
  }

  /** Whether nothing has been begun since the last link. */
  get endsWithLink(): boolean {
    return this.#endsWithLink;
  }

  get hasWaiters(): boolean {
    return this.#commits.areAwaited;
  }

  /** After the last complete entry. */
  get committedEnd(): number {
    return this.#commits.end;
  }

  /**
   * Begins the segment, or continues in it after recovery. It comes first in a flush, because it says that all before
   * it is durable.
   */
  writeLink(link: format.Link, nonce: number, waiter: CommitWaiter): void {
    assert(this.pendingBytes === 0, 'a link is the first record of a flush');
    if (this.offset === this.segment.start) this.segment.beginAfter(link.lastId);
    const at = this.#bytes.reserve(format.LINK_LENGTH);
    this.chain = format.encodeLink(this.#bytes.block, at, this.segment.seed, this.offset, link, nonce);
    this.#advance(format.LINK_LENGTH);
    this.#markDue = false;
    this.#endsWithLink = true;
    this.#commits.end = this.offset;
    this.#commits.add(waiter, true);
  }

  /** An entry begins: `rewind` goes back to here until this is called again. */
  save(): void {
    const saved = this.#saved;
    saved.offset = this.offset;
    saved.chain = this.chain;
    saved.blockCount = this.#bytes.blockCount;
    saved.used = this.#bytes.used;
    saved.markDue = this.#markDue;
    saved.patch = this.#patch;
    saved.taken = this.#flushesTaken;
    saved.lastId = this.segment.lastId;
    this.#commits.save(saved.commits);
  }

  /** Writes an entry of one chunk, as most entries are, copying `data`. */
  writeEntry(id: number, data: Uint8Array, waiter: CommitWaiter, isDurable: boolean): ChunkRecord {
    const { length: dataLength } = data;
    const length = format.entryLength(1, dataLength);
    if (length > this.#bytes.blockBytes) {
      this.beginEntry(id);
      const chunk = this.writeChunk(data);
      this.endEntry(id, waiter, isDurable);
      return chunk;
    }
    this.#endsWithLink = false;
    this.#writeMarkIfDue();
    const at = this.#bytes.reserve(length);
    const { block } = this.#bytes;
    const { offset, segment: { seed, segmentId } } = this;
    format.encodeEntry(block, at, id);
    const chunkOffset = offset + format.ENTRY_LENGTH;
    const crc = format.encodeChunk(block, at + format.ENTRY_LENGTH, data, seed, chunkOffset);
    this.chain = format.extendChain(format.beginChain(this.chain, id, offset), crc);
    format.encodeEnd(block, at + length - format.END_LENGTH, format.END_MARKER, this.chain);
    this.#advance(length);
    this.#commit(id, waiter, isDurable);
    return { position: new LogPosition(segmentId, chunkOffset), crc, length: dataLength };
  }

  beginEntry(id: number): void {
    this.#endsWithLink = false;
    this.#writeMarkIfDue();
    const at = this.#bytes.reserve(format.ENTRY_LENGTH);
    format.encodeEntry(this.#bytes.block, at, id);
    this.#entryChain = format.beginChain(this.chain, id, this.offset);
    this.#advance(format.ENTRY_LENGTH);
  }

  /** Writes a whole chunk, copying `data`. */
  writeChunk(data: Uint8Array): ChunkRecord {
    const { length: dataLength } = data;
    const length = format.CHUNK_OVERHEAD + dataLength;
    if (length > this.#bytes.blockBytes) {
      this.beginChunk(dataLength);
      this.writeChunkData(data);
      return this.endChunk();
    }
    this.#writeMarkIfDue();
    const at = this.#bytes.reserve(length);
    const position = new LogPosition(this.segment.segmentId, this.offset);
    const crc = format.encodeChunk(this.#bytes.block, at, data, this.segment.seed, this.offset);
    this.#entryChain = format.extendChain(this.#entryChain, crc);
    this.#advance(length);
    return { position, crc, length: dataLength };
  }

  /** Begins a chunk whose data comes in pieces, and whose length may be known only when it ends. */
  beginChunk(length: number | undefined): void {
    assert(this.#chunk === undefined, 'one chunk is open at a time');
    this.#writeMarkIfDue();
    const at = this.#bytes.reserve(format.CHUNK_HEADER_LENGTH);
    const block = this.#bytes.block;
    format.encodeChunkHeader(block, at, length ?? 0);
    this.#chunk = {
      position: new LogPosition(this.segment.segmentId, this.offset),
      length,
      written: 0,
      crc: length === undefined ? 0 : format.CHUNK_CHECKSUM.begin(length, this.segment.seed, this.offset),
      header: block.subarray(at, at + format.CHUNK_HEADER_LENGTH),
      taken: this.#flushesTaken,
    };
    this.#advance(format.CHUNK_HEADER_LENGTH);
  }

  /** Copies more of the open chunk's data. */
  writeChunkData(data: Uint8Array): void {
    const chunk = this.#openChunk();
    const room = chunk.length ?? format.MAX_CHUNK_LENGTH;
    assert(chunk.written + data.length <= room, 'a chunk takes no more than its length');
    const { length } = data;
    for (let from = 0; from < length;) {
      const at = this.#bytes.reserve(1);
      const count = Math.min(length - from, this.#bytes.blockBytes - at);
      const piece = from === 0 && count === length ? data : data.subarray(from, from + count);
      chunk.crc = format.copyAndUpdate(chunk.crc, piece, this.#bytes.block, at);
      this.#advance(count);
      from += count;
    }
    chunk.written += length;
  }

  endChunk(): ChunkRecord {
    const chunk = this.#openChunk();
    const { position, written: length } = chunk;
    assert(length === (chunk.length ?? length), 'a chunk ends when all of its data is there');
    const crc = chunk.length === undefined ? this.#setLength(chunk) : chunk.crc;
    const at = this.#bytes.reserve(4);
    writeU32(this.#bytes.block, crc, at);
    this.#advance(4);
    this.#entryChain = format.extendChain(this.#entryChain, crc);
    this.#chunk = undefined;
    return { position, crc, length };
  }

  /** Completes the open entry, and with it the batch it is the last of. `waiter` hears when the disk holds it. */
  endEntry(id: number, waiter: CommitWaiter, isDurable: boolean): void {
    this.#writeEnd(format.END_MARKER);
    this.#commit(id, waiter, isDurable);
  }

  /** Ends the open entry and begins the next of its batch, which has the id `nextId`. */
  continueBatch(nextId: number): void {
    this.#writeEnd(format.JOIN_MARKER);
    this.#joined++;
    this.beginEntry(nextId);
  }

  /** Where the entry began. */
  get savedOffset(): number {
    return this.#saved.offset;
  }

  /** Whether bytes of the entry have been taken for a flush. */
  get hasTakenSinceSave(): boolean {
    return this.#flushesTaken !== this.#saved.taken;
  }

  /** The entry does not count, even if it was ended: an exception may have come after that. */
  uncommit(): void {
    const { commits: saved } = this.#saved;
    // All that counted when it began has been taken.
    const now = this.hasTakenSinceSave ? { ...saved, entryCount: 0, waiterCount: 0, durableCount: 0 } : saved;
    this.#commits.rewind(now);
  }

  /**
   * Forgets the entry, back to where it began. No flush of this encoder may be in flight if `hasTakenSinceSave`:
   * what it wrote is overwritten by the next entry, and cannot be read as one, for it never had an end.
   */
  rewind(): void {
    const saved = this.#saved;
    const taken = this.hasTakenSinceSave;
    this.uncommit();
    this.#bytes.rewind(taken ? 0 : saved.blockCount, taken ? 0 : saved.used);
    this.#chunk = undefined;
    this.#patch = taken ? undefined : saved.patch;
    this.#joined = 0;
    this.segment.rewind(saved.offset, saved.lastId);
    this.chain = saved.chain;
    if (taken) this.#flushOffset = saved.offset;
    this.#markDue = taken || saved.markDue;
    if (this.#markDue) this.#mark = undefined;
  }

  /** Takes all that has been encoded, or undefined if there is nothing. All flushes taken before must be durable. */
  take(): Flush | undefined {
    const length = this.pendingBytes;
    if (length === 0) return undefined;
    if (this.#mark !== undefined) {
      const { block, at, offset } = this.#mark;
      format.encodeMark(block, at, this.segment.seed, offset, this.segment.durableEnd);
    }
    const flush: Flush = {
      ...this.#bytes.take(),
      encoder: this,
      offset: this.#flushOffset,
      length,
      commits: this.#commits,
      patch: this.#patch,
    };
    this.#commits = new Commits(flush.commits.end, flush.commits.id);
    this.#patch = undefined;
    this.#mark = undefined;
    this.#markDue = true;
    this.#flushOffset = this.offset;
    this.#flushesTaken++;
    return flush;
  }

  /** Frees the memory of a flush that has landed. */
  recycle(flush: Flush): void {
    this.#bytes.recycle(flush);
  }

  /** Rejects those whose entries no flush has taken. */
  rejectWaiters(error: unknown): void {
    const commits = this.#commits;
    this.#commits = new Commits(this.#commits.end, this.#commits.id);
    commits.reject(error);
  }

  #commit(id: number, waiter: CommitWaiter, isDurable: boolean): void {
    const commits = this.#commits;
    commits.end = this.offset;
    commits.id = id;
    commits.entryCount += 1 + this.#joined;
    this.#joined = 0;
    this.segment.entryEnded(id);
    commits.add(waiter, isDurable);
  }

  #writeEnd(marker: number): void {
    assert(this.#chunk === undefined, 'an entry ends after a complete chunk');
    this.#writeMarkIfDue();
    const at = this.#bytes.reserve(format.END_LENGTH);
    format.encodeEnd(this.#bytes.block, at, marker, this.#entryChain);
    this.#advance(format.END_LENGTH);
    this.chain = this.#entryChain;
  }

  /** Puts the length that is known at last into the chunk's header, and returns the chunk's checksum. */
  #setLength({ position, written, crc, header, taken }: OpenChunk): number {
    const { offset } = position;
    if (taken === this.#flushesTaken) {
      format.encodeChunkHeader(header, 0, written);
    } else {
      const bytes = Buffer.alloc(format.CHUNK_HEADER_LENGTH);
      format.encodeChunkHeader(bytes, 0, written);
      this.#patch = { offset, bytes };
    }
    return crc32Combine(format.CHUNK_CHECKSUM.begin(written, this.segment.seed, offset), crc, written);
  }

  #writeMarkIfDue(): void {
    if (!this.#markDue) return;
    const at = this.#bytes.reserve(format.MARK_LENGTH);
    this.#mark = { block: this.#bytes.block, at, offset: this.offset };
    this.#markDue = false;
    this.#advance(format.MARK_LENGTH);
  }

  #advance(length: number): void {
    this.#bytes.advance(length);
    this.segment.advance(length);
  }

  #openChunk() {
    assert(this.#chunk !== undefined, 'a chunk is open');
    return this.#chunk;
  }
}
