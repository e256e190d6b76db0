import { assert } from '../../base/assert.js';
import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { Segment } from '../../segment/segment.js';

/** The segments that can be read, oldest first; entries are written to the last. */
export class LiveSegments implements Iterable<Segment> {
  readonly #segments: Segment[] = [];
  #goneId: EntryId = 0;
  /** The ids behind which the log has been cut since it was opened. */
  readonly cuts: EntryId[] = [];

  [Symbol.iterator](): Iterator<Segment> {
    return this.#segments[Symbol.iterator]();
  }

  /** The highest id whose entry cannot be had any more, as it was checkpointed. */
  get goneId(): EntryId {
    return this.#goneId;
  }

  /** Adds the segment that is written to from now on. */
  add(segment: Segment): void {
    const last = this.#segments.at(-1);
    assert(last === undefined || last.segmentId < segment.segmentId, 'a later segment has a higher number');
    this.#segments.push(segment);
  }

  get(segmentId: number): Segment | undefined {
    const segment = this.#segments[this.#lastUpTo(segmentId)];
    return segment?.segmentId === segmentId && segment.phase !== 'discarded' ? segment : undefined;
  }

  /** Takes out a segment: from here on nobody new can pin it. */
  remove(segment: Segment): void {
    const at = this.#segments.indexOf(segment);
    if (at >= 0) this.#segments.splice(at, 1);
  }

  /** The entries up to `id` cannot be had any more. */
  gone(id: EntryId): void {
    this.#goneId = Math.max(this.#goneId, id);
  }

  /**
   * The segment that holds the entry with `id` or, failing that, the next one; the last segment if that is still to
   * come. Throws `WAL_POSITION_GONE` if the entry has been there once.
   */
  holding(id: EntryId): Segment {
    this.assertNotGone(id);
    const holding = this.#segments.find((segment) => segment.phase !== 'discarded' && segment.lastId >= id);
    return holding ?? this.#segments[this.#segments.length - 1];
  }

  /** The last segment that can hold an entry with an id below `id`, and is not gone; undefined if there is none. */
  below(id: EntryId): Segment | undefined {
    return this.#segments.findLast((segment) => {
      const { phase, isEmpty, idBefore, lastId } = segment;
      return phase !== 'discarded' && !isEmpty && idBefore + 1 < id && lastId > this.#goneId;
    });
  }

  /** Throws `WAL_POSITION_GONE` if the entry with `id` has been there once. */
  assertNotGone(id: EntryId): void {
    if (id > this.#goneId) return;
    throw new WalError('WAL_POSITION_GONE', `entry ${id} is gone, with all up to ${this.#goneId}`);
  }

  /** The index of the last segment whose id is at most `segmentId`; -1 if there is none. */
  #lastUpTo(segmentId: number): number {
    let [low, high] = [0, this.#segments.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#segments[middle].segmentId <= segmentId) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
