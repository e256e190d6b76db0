import { assert } from '../base/assert.js';
import { writeU32 } from '../base/bytes.js';
import { crc32Combine } from '../base/crc32.js';
import type { ChunkRecord } from '../model/entry.js';
import { LogPosition } from '../model/log-position.js';
import * as format from '../format/segment-format.js';
import type { BlockPool } from './block-pool.js';
import type { Segment } from './segment.js';

/** Who waits for a commit. Exactly one of the two is called, once. */
export interface CommitWaiter {
  /** The entry is as safe as was asked for. */
  committed(): void;
  failed(error: unknown): void;
}

/** Bytes on their way to the disk, in one write. */
export interface Flush {
  readonly buffer: SegmentEncoder;
  readonly offset: number;
  readonly length: number;
  readonly parts: readonly Uint8Array[];
  readonly blocks: readonly Buffer[];
  /** How many entries it completes. */
  readonly entryCount: number;
  /** Behind the last entry that has been completed, now or before. */
  readonly committedEnd: number;
  /** The id of that entry. */
  readonly committedId: number;
  /** Those who wait until it is durable. */
  readonly waiters: readonly CommitWaiter[];
  /** Those who wait until it has been handed to the operating system. */
  readonly orderedWaiters: readonly CommitWaiter[];
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
  /** Undefined until the chunk ends, if nobody knew. */
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
}

/**
 * Encodes records of one segment into memory and hands them over flush by flush. Offsets are final as
 * soon as a record is encoded. One entry is open at a time; a flush may be taken in the middle of it.
 */
export class SegmentEncoder {
  readonly segment: Segment;
  /** The chain behind the last complete entry. */
  chain: number;
  readonly #pool: BlockPool;
  #blocks: Buffer[];
  /** How many bytes of each block but the last are used. */
  #lengths: number[] = [];
  #used = 0;
  /** Where the next flush begins. */
  #flushOffset: number;
  #flushesTaken = 0;
  #committedEnd: number;
  #entryCount = 0;
  #waiters: CommitWaiter[] = [];
  #orderedWaiters: CommitWaiter[] = [];
  #committedId = 0;
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
    offset: 0, chain: 0, blockCount: 0, used: 0, markDue: false, patch: undefined, taken: 0,
  };
  #chunk: OpenChunk | undefined;

  /** If there is no memory for a block it throws, and the segment is as it was: the first link always has room. */
  constructor(segment: Segment, pool: BlockPool, offset: number, chain: number) {
    this.segment = segment;
    this.#pool = pool;
    this.#blocks = [pool.acquire()];
    segment.activate(offset);
    this.chain = chain;
    this.#flushOffset = offset;
    this.#committedEnd = offset;
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
    return this.#waiters.length > 0 || this.#orderedWaiters.length > 0;
  }

  /** Behind the last complete entry. */
  get committedEnd(): number {
    return this.#committedEnd;
  }

  /**
   * Begins the segment, or goes on in it after recovery. Must come first in a flush: it says that all before it is
   * durable.
   */
  writeLink(link: format.Link, nonce: number, waiter: CommitWaiter): void {
    assert(this.pendingBytes === 0, 'a link is the first record of a flush');
    if (this.offset === this.segment.start) this.segment.beginAfter(link.lastId);
    const at = this.#reserve(format.LINK_LENGTH);
    this.chain = format.encodeLink(this.#block(), at, this.segment.seed, this.offset, link, nonce);
    this.#advance(format.LINK_LENGTH);
    this.#markDue = false;
    this.#endsWithLink = true;
    this.#committedEnd = this.offset;
    this.#waiters.push(waiter);
  }

  /** An entry begins: `rewind` goes back to here until this is called again. */
  save(): void {
    const saved = this.#saved;
    saved.offset = this.offset;
    saved.chain = this.chain;
    saved.blockCount = this.#blocks.length;
    saved.used = this.#used;
    saved.markDue = this.#markDue;
    saved.patch = this.#patch;
    saved.taken = this.#flushesTaken;
  }

  beginEntry(id: number): void {
    this.#endsWithLink = false;
    this.#writeMarkIfDue();
    const at = this.#reserve(format.ENTRY_LENGTH);
    format.encodeEntry(this.#block(), at, id);
    this.#entryChain = format.beginChain(this.chain, id, this.offset);
    this.#advance(format.ENTRY_LENGTH);
  }

  /** Writes a whole chunk, copying `data`. */
  writeChunk(data: Uint8Array): ChunkRecord {
    const length = format.CHUNK_OVERHEAD + data.length;
    if (length > this.#pool.blockBytes) {
      this.beginChunk(data.length);
      this.writeChunkData(data);
      return this.endChunk();
    }
    this.#writeMarkIfDue();
    const at = this.#reserve(length);
    const position = new LogPosition(this.segment.segmentId, this.offset);
    const crc = format.encodeChunk(this.#block(), at, data, this.segment.seed, this.offset);
    this.#entryChain = format.extendChain(this.#entryChain, crc);
    this.#advance(length);
    return { position, crc, length: data.length };
  }

  /** Begins a chunk whose data comes in pieces, and whose length may be known only when it ends. */
  beginChunk(length: number | undefined): void {
    assert(this.#chunk === undefined, 'one chunk is open at a time');
    this.#writeMarkIfDue();
    const at = this.#reserve(format.CHUNK_HEADER_LENGTH);
    const block = this.#block();
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
      const at = this.#reserve(1);
      const count = Math.min(length - from, this.#pool.blockBytes - at);
      const piece = from === 0 && count === length ? data : data.subarray(from, from + count);
      chunk.crc = format.copyAndUpdate(chunk.crc, piece, this.#block(), at);
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
    const at = this.#reserve(4);
    writeU32(this.#block(), crc, at);
    this.#advance(4);
    this.#entryChain = format.extendChain(this.#entryChain, crc);
    this.#chunk = undefined;
    return { position, crc, length };
  }

  /** Completes the open entry, and with it the batch it is the last of. `waiter` hears when the disk holds it. */
  endEntry(id: number, waiter: CommitWaiter, isDurable: boolean): void {
    this.#writeEnd(format.END_MARKER);
    this.#committedEnd = this.offset;
    this.#committedId = id;
    this.#entryCount += 1 + this.#joined;
    this.#joined = 0;
    this.segment.entryEnded(id);
    if (isDurable) this.#waiters.push(waiter);
    else this.#orderedWaiters.push(waiter);
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

  /**
   * Forgets the entry, back to where it began. No flush of this encoder may be in flight if `hasTakenSinceSave`:
   * what it wrote is overwritten by the next entry, and cannot be read as one, for it never had an end.
   */
  rewind(): void {
    const saved = this.#saved;
    const taken = this.hasTakenSinceSave;
    const keep = taken ? 0 : saved.blockCount;
    for (const block of this.#blocks.splice(keep)) this.#pool.release(block);
    this.#lengths.length = Math.max(0, keep - 1);
    this.#used = taken ? 0 : saved.used;
    this.#chunk = undefined;
    this.#patch = taken ? undefined : saved.patch;
    this.#joined = 0;
    this.segment.rewind(saved.offset);
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
    this.#lengths.push(this.#used);
    const lengths = this.#lengths;
    const flush: Flush = {
      buffer: this,
      offset: this.#flushOffset,
      length,
      parts: this.#blocks.map((block, i) => block.subarray(0, lengths[i])),
      blocks: this.#blocks,
      entryCount: this.#entryCount,
      committedEnd: this.#committedEnd,
      committedId: this.#committedId,
      waiters: this.#waiters,
      orderedWaiters: this.#orderedWaiters,
      patch: this.#patch,
    };
    this.#blocks = [];
    this.#lengths = [];
    this.#used = 0;
    this.#waiters = [];
    this.#orderedWaiters = [];
    this.#patch = undefined;
    this.#entryCount = 0;
    this.#mark = undefined;
    this.#markDue = true;
    this.#flushOffset = this.offset;
    this.#flushesTaken++;
    return flush;
  }

  /** Gives back the memory of a flush that has settled. */
  recycle(flush: Flush): void {
    for (const block of flush.blocks) this.#pool.release(block);
  }

  /** The waiters that have not been taken with a flush; they are forgotten here. */
  takeWaiters(): readonly CommitWaiter[] {
    const waiters = [...this.#waiters, ...this.#orderedWaiters];
    this.#waiters = [];
    this.#orderedWaiters = [];
    return waiters;
  }

  #writeEnd(marker: number): void {
    assert(this.#chunk === undefined, 'an entry ends behind a complete chunk');
    this.#writeMarkIfDue();
    const at = this.#reserve(format.END_LENGTH);
    format.encodeEnd(this.#block(), at, marker, this.#entryChain);
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
    const at = this.#reserve(format.MARK_LENGTH);
    this.#mark = { block: this.#block(), at, offset: this.offset };
    this.#markDue = false;
    this.#advance(format.MARK_LENGTH);
  }

  /** Makes room for `length` bytes in one block and returns where they go. */
  #reserve(length: number): number {
    if (this.#blocks.length === 0 || this.#used + length > this.#pool.blockBytes) {
      if (this.#blocks.length > 0) this.#lengths.push(this.#used);
      this.#blocks.push(this.#pool.acquire());
      this.#used = 0;
    }
    return this.#used;
  }

  #block(): Buffer {
    return this.#blocks[this.#blocks.length - 1];
  }

  #advance(length: number): void {
    this.#used += length;
    this.segment.advance(length);
  }

  #openChunk() {
    assert(this.#chunk !== undefined, 'a chunk is open');
    return this.#chunk;
  }
}
