import { assert } from '../base/assert.js';
import { TurnBudget } from '../base/turns.js';
import * as format from '../format/segment-format.js';
import { RecordWindow } from './record-window.js';
import type { Segment } from './segment.js';

/** The room an entry's records take in the segment's file. */
export interface EntryExtent {
  readonly id: number;
  readonly start: number;
  readonly end: number;
  /** Whether it is the last entry of a batch, or the only one. */
  readonly endsBatch: boolean;
}

/** Where a scan begins in the middle of a segment: at an entry's record. */
export interface ScanStart {
  readonly at: number;
  /** The chain that the entry continues. */
  readonly chain: number;
  /** The highest id that may come before it. */
  readonly lastId: number;
}

export interface ScanOptions {
  /** How many bytes are read at once. An entry of up to half of this is in memory when it is found. */
  readonly blockBytes: number;
  /** Where the segment is known to end, after a committed entry; otherwise it ends where its records do. */
  readonly end?: number;
  /** Default: the segment's beginning. */
  readonly start?: ScanStart;
  onBytesRead?(count: number): void;
}

/** What one step over the records in memory came to. */
type Step = 'entry' | 'end' | 'more';

/** What of a chunk larger than the window's margin is verified at once. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Walks over a segment's records and verifies every one of them. An entry is found only when all of it has been
 * verified, through to the chain value in its end. Memory is constant whatever the entries' size, and the event loop
 * is not held however many there are.
 *
 *     between   entry → entry | mark, link → between
 *     entry     chunk → chunk | mark → entry | end, join → between
 *     chunk     its data and checksum → entry
 */
export class RecordScanner {
  readonly segment: Segment;
  /** After the last entry or link that is whole: where the log continues, if this is its last segment. */
  end: number;
  /** The chain there. */
  chain = 0;
  /** The highest id seen, in an entry or a link. */
  lastId: number;
  /** The link that begins the segment; none in format 0, nor in a segment that was never put to use. */
  link: format.Link | undefined;
  /** Everything before this offset was durable once, as a later record says. */
  durableUpTo: number;
  /** The entry found last. */
  entry: EntryExtent = { id: 0, start: 0, end: 0, endsBatch: true };
  /** After the last link that passes over ids, and the chain there; undefined if none does. */
  passedOver: { readonly end: number; readonly chain: number } | undefined;

  readonly #window: RecordWindow;
  readonly #turn = new TurnBudget();
  /** The offset of the next byte to look at. */
  #at: number;
  #state: 'between' | 'entry' | 'chunk' = 'between';
  /** The last entry, and the chain after it. It does not count yet if it belongs to a batch without an end so far. */
  readonly #last: { id: number; chain: number; isInBatch: boolean };
  /** The entry that has begun, and the chunk in it. */
  readonly #open = { start: 0, id: 0, chain: 0, chunkLeft: 0, chunkCrc: 0 };

  private constructor(segment: Segment, window: RecordWindow, start: ScanStart | undefined) {
    this.segment = segment;
    this.#window = window;
    const { at, chain, lastId } = start ?? { at: segment.start, chain: 0, lastId: segment.idBefore };
    this.#at = this.end = this.durableUpTo = at;
    this.chain = chain;
    this.lastId = lastId;
    this.#last = { id: lastId, chain, isInBatch: false };
  }

  /** Opens a scanner on `segment` and reads its first link. Read errors are errors, never the end of the log. */
  static async open(segment: Segment, options: ScanOptions): Promise<RecordScanner> {
    const limit = { at: options.end ?? (await segment.size()), isKnown: options.end !== undefined };
    const window = new RecordWindow(
      segment, options.blockBytes, options.start?.at ?? segment.start, limit, options.onBytesRead?.bind(options),
    );
    const scanner = new RecordScanner(segment, window, options.start);
    if (segment.format.isLinked && options.start === undefined) await scanner.#readFirstLink();
    return scanner;
  }

  /** Opens a scanner on what is durable of `segment` now. */
  static openDurable(segment: Segment, blockBytes: number, start?: ScanStart): Promise<RecordScanner> {
    const { durableEnd: end } = segment;
    return RecordScanner.open(segment, { blockBytes, end, ...(start === undefined ? {} : { start }) });
  }

  /** The segment has grown, or is now known to reach, up to `end`, after a committed entry. */
  extend(end: number): void {
    assert(this.#window.isBounded, 'only a scanner that was told where its segment ends can be told more');
    this.#window.limit = end;
  }

  /** Bytes after `end` that belong to an entry that never got its end. */
  get tornBytes(): number {
    return this.#at - this.end;
  }

  /** The next entry, or undefined at the end. */
  async next(): Promise<EntryExtent | undefined> {
    for (;;) {
      const step = this.step();
      if (step === 'entry') return this.entry;
      if (step === 'end') return undefined;
      await this.fill();
    }
  }

  /** Like `next` as far as it goes in this turn of the event loop without reading: `more` asks for `fill`. */
  step(): Step {
    if (this.#turn.isSpent) return 'more';
    for (;;) {
      const step = this.#take();
      if (step !== undefined) return step;
    }
  }

  /** Reads more, keeping in memory what has been begun as far as there is room; or lets the event loop turn first. */
  async fill(): Promise<void> {
    if (this.#turn.isSpent) return this.#turn.nextTurn();
    const { start, chunkLeft } = this.#open;
    const needed = this.#state === 'chunk' ? chunkLeft + format.CHUNK_CRC_LENGTH : format.LINK_LENGTH;
    const isKept = this.#state !== 'between' && start >= this.#window.start && this.#fitsMargin(needed);
    await this.#window.fill(isKept ? start : this.#at);
  }

  /** The bytes from `start` to `end` if they are still in memory. They change with the next `fill`. */
  resident(start: number, end: number): Buffer | undefined {
    return this.#window.resident(start, end);
  }

  async #readFirstLink(): Promise<void> {
    await this.fill();
    if (this.#window.has(this.#at, format.LINK_LENGTH)) this.#link();
  }

  /** Takes the next record, or what is in memory of it. Undefined if another can be taken. */
  #take(): Step | undefined {
    if (this.#state === 'chunk') return this.#chunkData();
    const missing = this.#missing(1);
    if (missing !== undefined) return missing;
    const marker = this.#window.bytes[this.#at - this.#window.start];
    if (marker > this.segment.format.lastMarker) return 'end';
    return this.#state === 'between' ? this.#recordBetween(marker) : this.#recordInEntry(marker);
  }

  #recordBetween(marker: number): Step | undefined {
    switch (marker) {
      case format.ENTRY_MARKER: return this.#missing(format.ENTRY_LENGTH) ?? this.#beginEntry();
      case format.MARK_MARKER: return this.#missing(format.MARK_LENGTH) ?? this.#mark();
      case format.LINK_MARKER:
        return this.#last.isInBatch ? 'end' : this.#missing(format.LINK_LENGTH) ?? this.#link();
      default: return 'end';
    }
  }

  #recordInEntry(marker: number): Step | undefined {
    switch (marker) {
      case format.CHUNK_MARKER: return this.#missing(format.CHUNK_HEADER_LENGTH) ?? this.#beginChunk();
      case format.END_MARKER: return this.#missing(this.segment.format.endLength) ?? this.#endEntry(true);
      // Where all that is scanned is known to be committed, the end of the batch is known to be there.
      case format.JOIN_MARKER: return this.#missing(format.END_LENGTH) ?? this.#endEntry(this.#window.isBounded);
      case format.MARK_MARKER: return this.#missing(format.MARK_LENGTH) ?? this.#mark();
      default: return 'end';
    }
  }

  #mark(): Step | undefined {
    const { bytes, start } = this.#window;
    const durableUpTo = format.decodeMark(bytes, this.#at - start, this.segment.seed, this.#at);
    if (durableUpTo === undefined) return 'end';
    this.durableUpTo = Math.max(this.durableUpTo, durableUpTo);
    this.#at += format.MARK_LENGTH;
    return undefined;
  }

  /** The link that begins the segment, or one where the log was recovered or shut down in it. */
  #link(): Step | undefined {
    const { bytes, start } = this.#window;
    const link = format.decodeLink(bytes, this.#at - start, this.segment.seed, this.#at);
    if (link === undefined) return 'end';
    if (this.#at === this.segment.start) {
      this.link = link;
    } else {
      const isHere = link.previousSegmentId === this.segment.segmentId && link.previousEnd === this.#at;
      if (!isHere || link.previousChain !== this.chain) return 'end';
    }
    this.durableUpTo = Math.max(this.durableUpTo, this.#at);
    this.#at += format.LINK_LENGTH;
    this.chain = this.#last.chain = link.chain;
    if (link.lastId > this.lastId) this.passedOver = { end: this.#at, chain: link.chain };
    this.lastId = this.#last.id = Math.max(this.lastId, link.lastId);
    this.end = this.#at;
    return undefined;
  }

  #beginEntry(): Step | undefined {
    const { bytes, start } = this.#window;
    const id = format.decodeEntryId(bytes, this.#at - start);
    // The highest safe integer is none either: the log could not continue after it.
    if (id <= this.#last.id || id >= Number.MAX_SAFE_INTEGER) return 'end';
    this.#open.start = this.#at;
    this.#open.id = id;
    this.#open.chain = this.segment.format.beginChain(this.#last.chain, id, this.#at);
    this.#at += format.ENTRY_LENGTH;
    this.#state = 'entry';
    return undefined;
  }

  #beginChunk(): Step | undefined {
    const { bytes, start } = this.#window;
    const length = format.decodeChunkLength(bytes, this.#at - start);
    if (!this.#window.canHave(this.#at, format.CHUNK_OVERHEAD + length)) return 'end';
    this.#open.chunkCrc = this.segment.format.chunkChecksum.begin(length, this.segment.seed, this.#at);
    this.#open.chunkLeft = length;
    this.#at += format.CHUNK_HEADER_LENGTH;
    this.#state = 'chunk';
    return undefined;
  }

  /**
   * Verifies the open chunk. One that fits the margin with its entry waits until it is whole in memory, so that the
   * entry stays there; a larger one is verified piece by piece.
   */
  #chunkData(): Step | undefined {
    const open = this.#open;
    const rest = open.chunkLeft + format.CHUNK_CRC_LENGTH;
    const missing = this.#missing(rest);
    if (missing === 'end' || (missing === 'more' && this.#fitsMargin(rest))) return missing;
    const available = Math.min(this.#window.end - this.#at, open.chunkLeft);
    const count = Math.min(available, PIECE_BYTES);
    this.#checksum(count);
    if (open.chunkLeft === 0 && missing === undefined) return this.#endChunk();
    return this.#turn.spend(count) || count === available ? 'more' : undefined;
  }

  #checksum(count: number): void {
    if (count === 0) return;
    const from = this.#at - this.#window.start;
    const { chunkChecksum } = this.segment.format;
    this.#open.chunkCrc = chunkChecksum.update(this.#open.chunkCrc, this.#window.bytes, from, from + count);
    this.#open.chunkLeft -= count;
    this.#at += count;
  }

  #endChunk(): Step | undefined {
    const { bytes, start } = this.#window;
    const crc = format.decodeChunkCrc(bytes, this.#at - start);
    // Still in the chunk: asked again, this gives the same answer.
    if (crc !== this.#open.chunkCrc) return 'end';
    this.#at += format.CHUNK_CRC_LENGTH;
    this.#open.chain = this.segment.format.extendChain(this.#open.chain, crc);
    this.#state = 'entry';
    return this.#turn.spend(0) ? 'more' : undefined;
  }

  /** Ends an entry. One in the middle of a batch is committed where all that is scanned is known to be. */
  #endEntry(isCommitted: boolean): Step | undefined {
    const { bytes, start: windowStart } = this.#window;
    const { id, start, chain } = this.#open;
    if (!this.segment.format.isEndOf(bytes, this.#at - windowStart, chain)) return 'end';
    const isEnd = bytes[this.#at - windowStart] === format.END_MARKER;
    this.#at += this.segment.format.endLength;
    // What was truncated in the middle of a batch ends the batch there.
    const endsBatch = isEnd || (this.#window.isBounded && this.#at === this.#window.limit);
    this.entry = { id, start, end: this.#at, endsBatch };
    this.#state = 'between';
    this.#last.id = id;
    this.#last.chain = chain;
    this.#last.isInBatch = !isCommitted;
    if (isCommitted) {
      this.end = this.#at;
      this.chain = chain;
      this.lastId = id;
    }
    this.#turn.spend(this.#at - start);
    return 'entry';
  }

  /** Whether the open entry, with `needed` more bytes, can be kept in memory. */
  #fitsMargin(needed: number): boolean {
    return this.#at - this.#open.start + needed <= this.#window.marginBytes;
  }

  /** Undefined if the next `length` bytes are in memory, else how to continue. */
  #missing(length: number): 'more' | 'end' | undefined {
    if (this.#window.has(this.#at, length)) return undefined;
    return this.#window.canHave(this.#at, length) ? 'more' : 'end';
  }
}
