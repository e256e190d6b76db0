import { WalError } from '../../base/errors.js';
import { assertPosition, type LogPosition } from '../../model/log-position.js';
import { ChunkSource } from '../../segment/chunk-source.js';
import type { Segment } from '../../segment/segment.js';
import { readChunkSync } from '../../segment/whole-chunk.js';

/** A chunk that has been opened. Its segment is pinned. */
export interface OpenChunk {
  readonly segment: Segment;
  readonly source: ChunkSource;
}

/**
 * Reads single chunks by their positions.
 *
 * A segment's file is used again only after its segment was taken out of the view and nothing has it pinned. So a
 * segment found there can be read safely for as long as nothing is awaited, and for longer if it is pinned before.
 */
export abstract class ChunkReads {
  /** The segment with this id, if there is one. Throws if nothing can be read any more. */
  protected abstract segment(segmentId: number): Segment | undefined;

  /** Up to where there are chunks in the segment. */
  protected abstract end(segment: Segment): number;

  /** Up to where those chunks may be shown. */
  protected abstract shownEnd(segment: Segment): number;

  /** Why a chunk that is there is not shown yet. */
  protected abstract notShown(position: LogPosition): WalError;

  /** Resolves when the chunk at `offset` may be shown, rejects if that can no longer happen. */
  protected abstract whenShown(segment: Segment, offset: number): Promise<void>;

  /** Opens a chunk to be streamed, once it may be shown. */
  async open(position: LogPosition): Promise<OpenChunk> {
    const segment = this.#segmentAt(position);
    segment.pin();
    try {
      const { offset } = position;
      if (offset >= this.shownEnd(segment)) await this.whenShown(segment, offset);
      return { segment, source: await ChunkSource.open(segment, position, this.shownEnd(segment)) };
    } catch (error) {
      segment.unpin();
      throw error;
    }
  }

  /** The data of a chunk, on the calling thread. No pin is needed: nothing else runs before it is read. */
  readSync(position: LogPosition): Uint8Array {
    const segment = this.#segmentAt(position);
    const shownEnd = this.shownEnd(segment);
    if (position.offset >= shownEnd) throw this.notShown(position);
    return readChunkSync(segment, position.offset, shownEnd);
  }

  /** The segment in which a chunk may begin at `position`. */
  #segmentAt(position: LogPosition): Segment {
    assertPosition(position);
    const { segmentId, offset } = position;
    const segment = this.segment(segmentId);
    if (segment === undefined || offset < segment.start || offset >= this.end(segment)) throw goneError(position);
    return segment;
  }
}

function goneError({ segmentId, offset }: LogPosition): WalError {
  const message = `nothing is stored at offset ${offset} of segment ${segmentId}: ` +
    'it has been checkpointed, was never written by this log, or is not there yet';
  return new WalError('WAL_POSITION_GONE', message, { segmentId, offset });
}
