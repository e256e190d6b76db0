import { assert } from '../base/assert.js';
import type { EntryId } from '../model/entry.js';

/**
 * What has become of a segment.
 *
 *     prepared      it has a header, and is not known to be a part of the log, or not read yet
 *     active        entries are written to it
 *     closing       entries are written to a successor, whose link is not durable yet
 *     closed        a successor says where it ends; its entries wait for their checkpoint
 *     checkpointed  its entries are safe elsewhere
 *     held          the same, and it is kept for those who may want to read it
 *     discarded     it is no part of the log any more: given up by the LogManager, or truncated
 *     retired       its file has a spare's name, durably; only those who have it pinned read it
 */
export type SegmentPhase =
  'prepared' | 'active' | 'closing' | 'closed' | 'checkpointed' | 'held' | 'discarded' | 'retired';

/** From which phases each can be reached. */
const BEFORE: Readonly<Record<Exclude<SegmentPhase, 'prepared'>, readonly SegmentPhase[]>> = {
  active: ['prepared'],
  closing: ['active'],
  // A segment found at an opening has never been active in this process.
  closed: ['prepared', 'closing'],
  checkpointed: ['closed'],
  held: ['checkpointed'],
  discarded: ['prepared', 'closing', 'closed', 'checkpointed', 'held'],
  // A successor that was prepared and not needed goes back as it is.
  retired: ['prepared', 'checkpointed', 'held', 'discarded'],
};

/**
 * How far a segment is filled, how far that is durable, which ids it holds, and what has become of it. Nothing else
 * changes any of this, and each change asserts what must have come before it.
 */
export abstract class SegmentLife {
  /** The offset of the first record. */
  readonly start: number;
  #phase: SegmentPhase = 'prepared';
  #name: string;
  #end: number;
  #durableEnd: number;
  #idBefore: EntryId = 0;
  #lastId: EntryId = 0;
  #capacity = 0;

  constructor(name: string, start: number) {
    this.start = start;
    this.#name = name;
    this.#end = this.#durableEnd = start;
  }

  get phase(): SegmentPhase {
    return this.#phase;
  }

  /** The file's name in the directory. */
  get name(): string {
    return this.#name;
  }

  /** After the last byte that was encoded for it, durable or not. */
  get end(): number {
    return this.#end;
  }

  /** After the last entry that is both committed and durable: what readers may see. */
  get durableEnd(): number {
    return this.#durableEnd;
  }

  /** The highest id given out before it: those of its entries are above. */
  get idBefore(): EntryId {
    return this.#idBefore;
  }

  /** The highest id given out by its end: that of its last entry, or the one before it. */
  get lastId(): EntryId {
    return this.#lastId;
  }

  /** Up to here there is space for entries. Nothing at all may be written to a segment with 0. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Whether no entry has been committed to it. */
  get isEmpty(): boolean {
    return this.#lastId === this.#idBefore;
  }

  /** Whether it may still be longer than is known. */
  get isOpen(): boolean {
    return this.#phase === 'prepared' || this.#phase === 'active' || this.#phase === 'closing';
  }

  /** `capacity` bytes of its file may be written to. */
  allocated(capacity: number): void {
    this.#capacity = capacity;
  }

  /** Its entries are above `id`, as its first link says, or its name. */
  beginAfter(id: EntryId): void {
    assert(this.isOpen && this.isEmpty, 'the beginning of a segment comes before its entries');
    this.#idBefore = this.#lastId = id;
  }

  /** It ends at `end`, durably, and the highest id by then is `lastId`: as read, or where the log was truncated. */
  endAt(end: number, lastId: EntryId): void {
    assert(this.#phase !== 'discarded' && this.#phase !== 'retired', 'what is no part of the log has no end in it');
    assert(end >= this.start && lastId >= this.#idBefore, 'a segment ends after its beginning');
    this.#end = this.#durableEnd = end;
    this.#lastId = lastId;
  }

  /** Entries are written to it from `offset` on. */
  activate(offset: number): void {
    this.#enter('active');
    assert(offset >= this.start, 'a segment is written after its header');
    this.#end = offset;
  }

  /** `length` more bytes have been encoded. */
  advance(length: number): void {
    assert(this.#phase === 'active', 'only the active segment is written to');
    this.#end += length;
  }

  /** The bytes from `offset` on are forgotten, those of an entry that is rolled back: its last entry is `lastId`. */
  rewind(offset: number, lastId: EntryId): void {
    assert(this.#phase === 'active' && offset >= this.#durableEnd, 'what is durable is not rolled back');
    this.#end = offset;
    this.#lastId = lastId;
  }

  /** The entry with this id has been completed. */
  entryEnded(id: EntryId): void {
    assert(id > this.#lastId, 'ids grow');
    this.#lastId = id;
  }

  /** Everything before `end`, where an entry or a link ends, is durable. */
  settleDurable(end: number): void {
    assert(end >= this.#durableEnd && end <= this.#end, 'what is durable grows, up to what was written');
    this.#durableEnd = end;
  }

  /** The log continues in another segment; as long as that is not durable, a crash may find this one to be the last. */
  leave(): void {
    this.#enter('closing');
  }

  /** The log has continued in another segment, durably: nothing will be added to this one. */
  seal(): void {
    this.#enter('closed');
  }

  /** Its entries are safe elsewhere. */
  checkpointed(): void {
    this.#enter('checkpointed');
  }

  /** It is kept although it is checkpointed. */
  hold(): void {
    this.#enter('held');
  }

  /** Nothing in it is shown any more. */
  discard(): void {
    this.#enter('discarded');
  }

  /** Its file has got another name. */
  renamed(name: string): void {
    this.#name = name;
  }

  /** Its name is a spare's, durably. */
  retire(): void {
    this.#enter('retired');
  }

  #enter(phase: keyof typeof BEFORE): void {
    assert(BEFORE[phase].includes(this.#phase), `a segment that is ${this.#phase} does not become ${phase}`);
    this.#phase = phase;
  }
}
