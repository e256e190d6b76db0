import { offAbort, onAbort } from '../../base/abort.js';
import { Serial } from '../../base/async.js';
import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { LogPosition } from '../../model/log-position.js';
import { findEntryStart } from '../../segment/entry-start.js';
import { damaged, Entry } from '../../segment/segment-reader.js';
import { RecordScanner } from '../../segment/record-scanner.js';
import type { Segment } from '../../segment/segment.js';
import type { DurableMark } from '../flush/durable-mark.js';
import type { LiveChunks } from './live-chunks.js';
import type { LiveSegments } from './live-segments.js';

export interface EntryIteratorParts {
  readonly segments: LiveSegments;
  readonly chunks: LiveChunks;
  readonly durableId: DurableMark;
  readonly blockBytes: number;
  /** Why nothing can be read any more, if so. */
  closed(): WalError | undefined;
}

/** Stands for the oldest entry that is still there. */
const OLDEST = 0;

/**
 * Goes through the durable entries in the order of their ids, and can wait for those to come. Keeps the segment it
 * reads from being recycled, and no other.
 */
export class EntryIterator implements AsyncIterableIterator<Entry> {
  readonly #parts: EntryIteratorParts;
  readonly #isFollowing: boolean;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal | undefined;
  readonly #serial = new Serial();
  #waiting = 0;
  /** The id of the next entry, or below it if ids were skipped. */
  #next: EntryId;
  /** Where the first entry begins, until it has been shown. */
  #from: LogPosition | undefined;
  #segment: Segment | undefined;
  #scanner: RecordScanner | undefined;
  /** A truncation after an id below this one drops what the user has, or part of a batch that has begun. */
  #knownId: EntryId;
  #cutsSeen: number;
  #isDone = false;

  /** Begins at `from`. The user of an id has the entries before it, unless `knownId` says otherwise. */
  constructor(
    parts: EntryIteratorParts, from: EntryId | LogPosition | undefined, follow: boolean,
    signal: AbortSignal | undefined, knownId: EntryId = typeof from === 'number' ? from - 1 : 0,
  ) {
    this.#parts = parts;
    this.#isFollowing = follow;
    this.#signal = signal;
    this.#next = typeof from === 'number' ? from : OLDEST;
    this.#from = typeof from === 'number' ? undefined : from;
    this.#knownId = knownId;
    this.#cutsSeen = parts.segments.cuts.length;
    onAbort(signal, this.#onAbort);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Entry, undefined>> {
    const entry = this.#waiting === 0 ? this.#entryInMemory() : undefined;
    if (entry !== undefined) return Promise.resolve({ done: false, value: entry });
    this.#waiting++;
    return this.#serial.run(() => this.#advance()).finally(() => this.#waiting--);
  }

  /** Ends the iteration, also for a `next` that is waiting. */
  async return(): Promise<IteratorResult<Entry, undefined>> {
    this.#isDone = true;
    this.#abort.abort();
    await this.#serial.run(async () => this.#end());
    return { done: true, value: undefined };
  }

  readonly #onAbort = (): void => this.#abort.abort();

  /** Most entries come with the block before them: they are not worth a turn of their own. */
  #entryInMemory(): Entry | undefined {
    const { segments } = this.#parts;
    const isUsual = !this.#isDone && !this.#signal?.aborted && this.#cutsSeen === segments.cuts.length;
    if (!isUsual || this.#parts.closed() !== undefined || this.#scanner?.step() !== 'entry') return undefined;
    return this.#take(this.#scanner);
  }

  async #advance(): Promise<IteratorResult<Entry, undefined>> {
    try {
      for (;;) {
        const { version } = this.#parts.durableId;
        const value = this.#isDone ? undefined : await this.#read();
        if (value !== undefined) return { done: false, value };
        if (this.#isDone || !this.#isFollowing) break;
        await this.#parts.durableId.changed(version, this.#abort.signal);
      }
    } catch (error) {
      this.#rethrow(error);
    }
    this.#end();
    return { done: true, value: undefined };
  }

  /** Whatever went wrong, what ended the iteration is what its user hears of, if there is anything to hear. */
  #rethrow(error: unknown): void {
    this.#end();
    this.#signal?.throwIfAborted();
    const closed = this.#parts.closed();
    const isExpected = closed === undefined || (this.#isFollowing && closed.code === 'WAL_CLOSED');
    if (closed !== undefined && !isExpected) throw closed;
    if (closed === undefined && !this.#wasReturned) throw error;
  }

  get #wasReturned(): boolean {
    return this.#abort.signal.aborted;
  }

  /** The next entry that is durable now. */
  async #read(): Promise<Entry | undefined> {
    for (;;) {
      this.#signal?.throwIfAborted();
      const closed = this.#parts.closed();
      if (closed !== undefined) throw closed;
      this.#heedCuts();
      const scanner = this.#scanner ?? await this.#openSegment();
      const segment = scanner.segment;
      const end = segment.durableEnd;
      scanner.extend(end);
      if ((await scanner.next()) !== undefined) {
        // The log may have been cut while this waited.
        if (this.#cutsSeen < this.#parts.segments.cuts.length) continue;
        const entry = this.#take(scanner);
        if (entry !== undefined) return entry;
      } else if (scanner.end < end) {
        throw damaged(segment, scanner.end, scanner.lastId);
      } else if (end === segment.durableEnd) {
        if (segment.isOpen) return undefined;
        // Ids at its end may have been skipped.
        this.#next = Math.max(this.#next, segment.lastId + 1);
        this.#letGo();
      }
    }
  }

  #take(scanner: RecordScanner): Entry | undefined {
    const { id, endsBatch } = scanner.entry;
    if (id < this.#next) return undefined;
    this.#knownId = endsBatch ? id : id + 1;
    this.#next = id + 1;
    this.#from = undefined;
    return new Entry(scanner, scanner.entry);
  }

  async #openSegment(): Promise<RecordScanner> {
    if (this.#from !== undefined) return this.#openAt(this.#from);
    const { segments } = this.#parts;
    // Not before now: the oldest entry may have gone since somebody asked for it.
    if (this.#next === OLDEST) this.#next = segments.goneId + 1;
    const segment = segments.holding(this.#next);
    // Before anything is awaited: the segment may be checkpointed at any time.
    segment.pin();
    this.#segment = segment;
    this.#scanner = await RecordScanner.openDurable(segment, this.#parts.blockBytes);
    return this.#scanner;
  }

  async #openAt(position: LogPosition): Promise<RecordScanner> {
    const { chunks, blockBytes } = this.#parts;
    const segment = chunks.segmentAt(position);
    const isShown = position.offset < segment.durableEnd;
    if (!isShown && !this.#isFollowing) throw chunks.notShown(position);
    segment.pin();
    this.#segment = segment;
    if (!isShown) await chunks.whenShown(segment, position.offset, this.#abort.signal);
    const start = await findEntryStart(segment, position.offset, segment.durableEnd);
    this.#scanner = await RecordScanner.openDurable(segment, blockBytes, start);
    return this.#scanner;
  }

  /** What was read ahead may have been cut off. */
  #heedCuts(): void {
    const { cuts } = this.#parts.segments;
    for (; this.#cutsSeen < cuts.length; this.#cutsSeen++) {
      const id = cuts[this.#cutsSeen];
      if (id < this.#knownId) {
        const message = `the log was truncated after entry ${id}, and those up to ${this.#knownId} had been read`;
        throw new WalError('WAL_POSITION_GONE', message);
      }
      // Ids that were skipped may be given out again.
      this.#next = Math.min(this.#next, id + 1);
      this.#letGo();
    }
  }

  #letGo(): void {
    this.#segment?.unpin();
    this.#segment = this.#scanner = undefined;
  }

  #end(): void {
    this.#isDone = true;
    offAbort(this.#signal, this.#onAbort);
    this.#letGo();
  }
}
