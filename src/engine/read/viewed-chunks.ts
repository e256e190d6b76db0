import { assert } from '../../base/assert.js';
import type { WalError } from '../../base/errors.js';
import type { Segment } from '../../segment/segment.js';
import { ChunkReads } from './chunk-reads.js';

/** A segment, and where its entries end. */
export interface EndedSegment {
  readonly segment: Segment;
  readonly end: number;
}

/** The chunks of a log as it was seen at one moment: all of them are shown. */
export class ViewedChunks extends ChunkReads {
  readonly #segments: ReadonlyMap<number, Segment>;
  readonly #ends: ReadonlyMap<Segment, number>;

  constructor(segments: readonly EndedSegment[]) {
    super();
    this.#segments = new Map(segments.map(({ segment }) => [segment.segmentId, segment]));
    this.#ends = new Map(segments.map(({ segment, end }) => [segment, end]));
  }

  protected segment(segmentId: number): Segment | undefined {
    return this.#segments.get(segmentId);
  }

  protected end(segment: Segment): number {
    return this.#ends.get(segment) ?? 0;
  }

  protected shownEnd(segment: Segment): number {
    return this.end(segment);
  }

  notShown(): WalError {
    assert(false, 'all that a view has is shown');
  }

  async whenShown(): Promise<void> {
    assert(false, 'all that a view has is shown');
  }
}
