import type { Format } from '../format/format.js';
import * as format from '../format/segment-format.js';
import { ReadAhead } from './read-ahead.js';
import type { Segment } from './segment.js';

/** The room an entry's records take in the segment's file. */
export interface EntryExtent {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

export interface ScanOptions {
  /** How many bytes are read at once. An entry of up to half of this is in memory when it is found. */
  readonly blockBytes: number;
  /** Where the segment is known to end, behind a committed entry; otherwise it ends where its records do. */
  readonly end?: number;
  onBytesRead?(count: number): void;
}

/** What one step over the records in memory came to. */
type Step = 'entry' | 'end' | 'more';

/**
 * Walks over a segment's records and verifies every one of them. An entry is found only when all of it
 * has been verified, through to the chain value in its end. Memory is constant whatever the entries' size.
 */
export class RecordScanner {
  readonly segment: Segment;
  /** Behind the last entry or link that is whole: where the log goes on, if this is its last segment. */
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
  entry: EntryExtent = { id: 0, start: 0, end: 0 };

  readonly #options: ScanOptions;
  readonly #format: Format;
  /** Where the file ends, or the segment in it, as far as is known. */
  #fileEnd = 0;
  readonly #ahead: ReadAhead;
  /** What is in memory, from `#windowStart` to `#windowEnd`. */
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #windowEnd = 0;
  /** The offset of the next byte to look at. */
  #at: number;
  /** How many bytes from `#at` must be in memory for the next step. */
  #needed = 1;
  /** The chain behind, and the id of, the last entry, which may belong to a batch whose end has not been seen. */
  #lastChain = 0;
  #lastEntryId: number;
  #inBatch = false;
  #entryStart = -1;
  #entryId = 0;
  #entryChain = 0;
  #chunkLeft = 0;
  #chunkCrc = 0;
  #inChunk = false;

  private constructor(segment: Segment, options: ScanOptions) {
    this.segment = segment;
    this.#options = options;
    this.#format = segment.format;
    this.#ahead = new ReadAhead(segment, segment.start, options.blockBytes);
    this.#at = segment.start;
    this.#windowStart = this.#windowEnd = segment.start;
    this.end = segment.start;
    this.durableUpTo = segment.start;
    this.lastId = this.#lastEntryId = segment.idBefore;
  }

  /** Opens a scanner on `segment` and reads its first link. Read errors are errors, never the end of the log. */
  static async open(segment: Segment, options: ScanOptions): Promise<RecordScanner> {
    const scanner = new RecordScanner(segment, options);
    scanner.#fileEnd = options.end ?? (await segment.size());
    if (segment.format.isLinked) await scanner.#readFirstLink();
    return scanner;
  }

  /** Opens a scanner on what is durable of `segment` now. */
  static openDurable(segment: Segment, blockBytes: number): Promise<RecordScanner> {
    return RecordScanner.open(segment, { blockBytes, end: segment.durableEnd });
  }

  get #isBounded(): boolean {
    return this.#options.end !== undefined;
  }

  /** The segment has grown, or is now known to reach, up to `end`, behind a committed entry. For a bounded scanner. */
  extend(end: number): void {
    this.#fileEnd = end;
  }

  /** Bytes behind `end` that belong to an entry that never got its end. */
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

  /** Like `next` as far as it goes without reading: `more` asks for `fill`. */
  step(): Step {
    for (;;) {
      if (this.#inChunk) {
        if (this.#atLimit(this.#chunkLeft + 4)) return 'end';
        if (!this.#skimChunk()) return 'more';
      } else if (!this.#has(1)) {
        return this.#atLimit(1) ? 'end' : 'more';
      }
      const step = this.#inChunk ? this.#endChunk() : this.#record();
      if (step !== undefined) return step;
    }
  }

  /** Reads on, keeping in memory what has been begun as far as there is room. */
  async fill(): Promise<void> {
    const entryLength = this.#entryStart < 0 ? 0 : this.#at - this.#entryStart;
    const isSmall = entryLength + this.#needed <= this.#options.blockBytes / 2;
    const isHere = this.#entryStart >= 0 && this.#entryStart >= this.#windowStart;
    const keepFrom = isSmall && isHere ? this.#entryStart : this.#at;
    const kept = this.#window.subarray(keepFrom - this.#windowStart);
    const { bytes, isLast } = await this.#ahead.next(kept, this.#fileEnd);
    this.#options.onBytesRead?.(bytes.length - kept.length);
    this.#window = bytes;
    this.#windowStart = keepFrom;
    this.#windowEnd = keepFrom + bytes.length;
    // The file may be shorter than it, or its successor, says: then this is where it ends.
    if (isLast) this.#fileEnd = this.#windowEnd;
  }

  /** The bytes from `start` to `end` if they are still in memory. They change with the next `fill`. */
  resident(start: number, end: number): Buffer | undefined {
    if (start < this.#windowStart || end > this.#windowEnd) return undefined;
    return this.#window.subarray(start - this.#windowStart, end - this.#windowStart);
  }

  async #readFirstLink(): Promise<void> {
    await this.fill();
    if (!this.#has(format.LINK_LENGTH)) return;
    const link = this.#decodeLink();
    if (link !== undefined) this.#acceptFirstLink(link);
  }

  #decodeLink() {
    return format.decodeLink(this.#window, this.#at - this.#windowStart, this.segment.seed, this.#at);
  }

  #acceptFirstLink(link: format.Link & { readonly chain: number }): void {
    this.link = link;
    this.#acceptLink(link);
  }

  #acceptLink(link: format.Link & { readonly chain: number }): void {
    this.durableUpTo = Math.max(this.durableUpTo, this.#at);
    this.#at += format.LINK_LENGTH;
    this.chain = this.#lastChain = link.chain;
    this.lastId = this.#lastEntryId = Math.max(this.lastId, link.lastId);
    this.end = this.#at;
  }

  /** Steps over the record at `#at`, of which at least the marker is in memory. */
  #record(): Step | undefined {
    const marker = this.#window[this.#at - this.#windowStart];
    const isOpen = this.#entryStart >= 0;
    if (marker > this.#format.lastMarker) return 'end';
    if (marker === format.CHUNK_MARKER && isOpen) return this.#whole(format.CHUNK_HEADER_LENGTH) ?? this.#beginChunk();
    if (marker === format.END_MARKER && isOpen) {
      return this.#whole(this.#format.endLength) ?? this.#endEntry(true);
    }
    if (marker === format.ENTRY_MARKER && !isOpen) return this.#whole(format.ENTRY_LENGTH) ?? this.#beginEntry();
    if (marker === format.JOIN_MARKER && isOpen) {
      return this.#whole(format.END_LENGTH) ?? this.#endEntry(this.#isBounded);
    }
    if (marker === format.MARK_MARKER) return this.#whole(format.MARK_LENGTH) ?? this.#mark();
    const isBetween = !isOpen && !this.#inBatch;
    if (marker === format.LINK_MARKER && isBetween) return this.#whole(format.LINK_LENGTH) ?? this.#innerLink();
    return 'end';
  }

  #mark(): Step | undefined {
    const durableUpTo = format.decodeMark(this.#window, this.#at - this.#windowStart, this.segment.seed, this.#at);
    if (durableUpTo === undefined) return 'end';
    this.durableUpTo = Math.max(this.durableUpTo, durableUpTo);
    this.#at += format.MARK_LENGTH;
    return undefined;
  }

  /** A link behind the first: the log was recovered, or shut down, here. Or a first one that came late. */
  #innerLink(): Step | undefined {
    const link = this.#decodeLink();
    if (link !== undefined && this.#at === this.segment.start) {
      this.#acceptFirstLink(link);
      return undefined;
    }
    const isHere = link?.previousSegmentId === this.segment.segmentId && link.previousEnd === this.#at;
    if (link === undefined || !isHere || link.previousChain !== this.chain) return 'end';
    this.#acceptLink(link);
    return undefined;
  }

  #beginEntry(): Step | undefined {
    const at = this.#at - this.#windowStart;
    const id = format.decodeEntryId(this.#window, at);
    // The highest safe integer is none either: the log could not go on behind it.
    if (id <= this.#lastEntryId || id >= Number.MAX_SAFE_INTEGER) return 'end';
    this.#entryStart = this.#at;
    this.#entryId = id;
    this.#entryChain = this.#format.beginChain(this.#lastChain, id, this.#at);
    this.#at += format.ENTRY_LENGTH;
    return undefined;
  }

  #beginChunk(): Step | undefined {
    const at = this.#at - this.#windowStart;
    const length = format.decodeChunkLength(this.#window, at);
    if (this.#at + format.CHUNK_OVERHEAD + length > this.#fileEnd) return 'end';
    this.#chunkCrc = this.#format.chunkChecksum.begin(length, this.segment.seed, this.#at);
    this.#chunkLeft = length;
    this.#inChunk = true;
    this.#at += format.CHUNK_HEADER_LENGTH;
    return undefined;
  }

  /** Takes the open chunk's data into its checksum as far as it is in memory. False if more must be read. */
  #skimChunk(): boolean {
    const available = this.#windowEnd - this.#at;
    if (available >= this.#chunkLeft + 4) return this.#takeChunkData(this.#chunkLeft);
    const couldFit = this.#at - this.#entryStart + this.#chunkLeft + 4 <= this.#options.blockBytes / 2;
    if (!couldFit && this.#chunkLeft > 0) this.#takeChunkData(Math.min(available, this.#chunkLeft));
    this.#needed = couldFit ? this.#chunkLeft + 4 : this.#options.blockBytes;
    return this.#windowEnd - this.#at >= this.#chunkLeft + 4;
  }

  #takeChunkData(count: number): true {
    const from = this.#at - this.#windowStart;
    const { chunkChecksum } = this.#format;
    if (count > 0) this.#chunkCrc = chunkChecksum.update(this.#chunkCrc, this.#window.subarray(from, from + count));
    this.#at += count;
    this.#chunkLeft -= count;
    return true;
  }

  #endChunk(): Step | undefined {
    const crc = this.#window.readUInt32LE(this.#at - this.#windowStart);
    // Still in the chunk: whoever asks again gets the same answer.
    if (crc !== this.#chunkCrc) return 'end';
    this.#inChunk = false;
    this.#at += 4;
    this.#entryChain = this.#format.extendChain(this.#entryChain, crc);
    return undefined;
  }

  /** Ends an entry. One in the middle of a batch is committed where all that is scanned is known to be. */
  #endEntry(isCommitted: boolean): Step | undefined {
    const at = this.#at - this.#windowStart;
    if (!this.#format.isEndOf(this.#window, at, this.#entryChain)) return 'end';
    this.#lastChain = this.#entryChain;
    this.#at += this.#format.endLength;
    this.entry = { id: this.#entryId, start: this.#entryStart, end: this.#at };
    this.#lastEntryId = this.#entryId;
    this.#entryStart = -1;
    this.#inBatch = !isCommitted;
    if (isCommitted) {
      this.end = this.#at;
      this.chain = this.#lastChain;
      this.lastId = this.#entryId;
    }
    return 'entry';
  }

  /** Undefined if `length` bytes from `#at` are in memory, else how to go on. */
  #whole(length: number): Step | undefined {
    if (this.#has(length)) return undefined;
    return this.#atLimit(length) ? 'end' : 'more';
  }

  #has(length: number): boolean {
    this.#needed = length;
    return this.#at + length <= this.#windowEnd;
  }

  #atLimit(length: number): boolean {
    return this.#at + length > this.#fileEnd;
  }
}

/**
 * How far the records behind `offset` say that the segment was durable once; `offset` if none says more.
 * If that is beyond the last valid record, what lies between has been damaged since; if not, it is the
 * unfinished tail of the log.
 */
export async function provenEnd(segment: Segment, offset: number, blockBytes: number): Promise<number> {
  if (!segment.format.isLinked) return offset;
  const block = Buffer.allocUnsafeSlow(blockBytes);
  let proven = offset;
  for (let start = offset; ;) {
    const read = await segment.read(block, start);
    proven = Math.max(proven, provenIn(segment, block.subarray(0, read), start, offset));
    if (read < block.length) return proven;
    start += read - format.LINK_LENGTH + 1;
  }
}

function provenIn({ segmentId, seed }: Segment, bytes: Buffer, start: number, offset: number): number {
  let proven = offset;
  for (let at = bytes.indexOf(format.MARK_MARKER); at >= 0; at = bytes.indexOf(format.MARK_MARKER, at + 1)) {
    if (at + format.MARK_LENGTH > bytes.length) break;
    proven = Math.max(proven, format.decodeMark(bytes, at, seed, start + at) ?? 0);
  }
  for (let at = bytes.indexOf(format.LINK_MARKER); at >= 0; at = bytes.indexOf(format.LINK_MARKER, at + 1)) {
    if (at + format.LINK_LENGTH > bytes.length) break;
    if (format.isOwnLink(bytes, at, seed, start + at, segmentId)) proven = Math.max(proven, start + at);
  }
  return proven;
}
