import { assert } from '../base/assert.js';
import { LogPosition, type EntryId } from '../index.js';

/** Entries of one block: two numbers each, 64 KiB together. */
const BLOCK_ENTRIES = 8192;
const TWO_TO_32 = 2 ** 32;

/** The messages in one segment of the log. */
class IndexedSegment {
  readonly segmentId: number;
  /** The id of the first message in it. */
  readonly firstId: EntryId;
  /** For each id from the first on: the offset of the message, and how far it is to the next one of its topic. */
  readonly #blocks: Uint32Array[] = [];

  constructor(segmentId: number, firstId: EntryId) {
    this.segmentId = segmentId;
    this.firstId = firstId;
  }

  get(id: EntryId, field: 0 | 1): number {
    const index = id - this.firstId;
    return this.#blocks[Math.floor(index / BLOCK_ENTRIES)]?.[2 * (index % BLOCK_ENTRIES) + field] ?? 0;
  }

  set(id: EntryId, field: 0 | 1, value: number): void {
    assert(value < TWO_TO_32, 'an offset, or the distance between two messages of a topic, has 32 bits');
    const index = id - this.firstId;
    const block = Math.floor(index / BLOCK_ENTRIES);
    while (this.#blocks.length <= block) this.#blocks.push(new Uint32Array(2 * BLOCK_ENTRIES));
    this.#blocks[block][2 * (index % BLOCK_ENTRIES) + field] = value;
  }
}

/**
 * Where the messages are that are still in the log: 8 bytes each, for its offset and for the distance to the next
 * message of its topic. A topic knows its first and its last.
 */
export class LiveIndex {
  /** By the ids in them. */
  #segments: IndexedSegment[] = [];

  /** Adds a message, whose id is above all others. */
  add(id: EntryId, { segmentId, offset }: LogPosition): void {
    let last = this.#segments.at(-1);
    if (last?.segmentId !== segmentId) {
      last = new IndexedSegment(segmentId, id);
      this.#segments.push(last);
    }
    last.set(id, 0, offset);
  }

  /** Says that `next` is the message after `id` in its topic. */
  link(id: EntryId, next: EntryId): void {
    this.#holding(id)?.set(id, 1, next - id);
  }

  /** The message after `id` in its topic; 0 if there is none yet. */
  next(id: EntryId): EntryId {
    const distance = this.#holding(id)?.get(id, 1) ?? 0;
    return distance === 0 ? 0 : id + distance;
  }

  /** Where the message `id` is; undefined if its segment is gone. */
  position(id: EntryId): LogPosition | undefined {
    const segment = this.#holding(id);
    return segment && new LogPosition(segment.segmentId, segment.get(id, 0));
  }

  /** Forgets the segment `segmentId` and those before it. */
  drop(segmentId: number): void {
    this.#segments = this.#segments.filter((segment) => segment.segmentId > segmentId);
  }

  #holding(id: EntryId): IndexedSegment | undefined {
    for (let i = this.#segments.length - 1; i >= 0; i--) if (this.#segments[i].firstId <= id) return this.#segments[i];
    return undefined;
  }
}
