import { WalError } from '../../base/errors.js';
import type { LogPosition } from '../../model/log-position.js';
import type { Segment } from '../../segment/segment.js';
import { closedError, type Lifecycle } from '../directory/lifecycle.js';
import type { Flusher } from '../flush/flusher.js';
import { ChunkReads } from './chunk-reads.js';
import type { LiveSegments } from './live-segments.js';

interface LiveChunksParts {
  readonly lifecycle: Lifecycle;
  readonly segments: LiveSegments;
  readonly flusher: Flusher;
}

/** The chunks of a log that is open for writing: those that are durable are shown, until `shutdown` is called. */
export class LiveChunks extends ChunkReads {
  readonly #lifecycle: Lifecycle;
  readonly #segments: LiveSegments;
  readonly #flusher: Flusher;

  constructor({ lifecycle, segments, flusher }: LiveChunksParts) {
    super();
    this.#lifecycle = lifecycle;
    this.#segments = segments;
    this.#flusher = flusher;
  }

  protected segment(segmentId: number): Segment | undefined {
    if (this.#lifecycle.isClosing) throw closedError();
    return this.#segments.get(segmentId);
  }

  protected end(segment: Segment): number {
    return segment.end;
  }

  protected shownEnd(segment: Segment): number {
    return segment.durableEnd;
  }

  notShown({ segmentId, offset }: LogPosition): WalError {
    // What a failed log has not made durable will never be.
    const { failure } = this.#lifecycle;
    if (failure !== undefined) return failure;
    const message = `the entry around offset ${offset} of segment ${segmentId} is not durable yet`;
    return new WalError('WAL_NOT_DURABLE', message, { segmentId, offset });
  }

  whenShown(segment: Segment, offset: number, signal?: AbortSignal): Promise<void> {
    return this.#flusher.whenDurable(segment, offset, signal);
  }
}
