import { unlessAborted } from '../../base/abort.js';
import { WalError } from '../../base/errors.js';
import { assertPosition, positionsOf, type LogPosition } from '../../model/log-position.js';
import { signalOf } from '../../model/options.js';
import { ChunkSource } from '../../segment/chunk-source.js';
import type { Segment } from '../../segment/segment.js';
import {
  MAX_SPAN_BYTES, readChunk, readChunkSync, readNeighbours, type Neighbour,
} from '../../segment/whole-chunk.js';

/** How many chunks `readMany` looks up, sorts and reads before it looks at the next. */
const AT_ONCE_CHUNKS = 1024;
/** Chunks that begin within so many bytes of each other share a read: to read that much takes no longer than a call. */
const NEAR_BYTES = 32 * 1024;
/** How many reads `readMany` has under way at once. */
const LANES = 8;

interface ReadOptions {
  readonly signal?: AbortSignal;
}

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
  abstract notShown(position: LogPosition): WalError;

  /** Resolves when the chunk at `offset` may be shown, rejects if that can no longer happen. */
  abstract whenShown(segment: Segment, offset: number, signal?: AbortSignal): Promise<void>;

  /** Opens a chunk to be streamed, once it may be shown. */
  async open(position: LogPosition): Promise<OpenChunk> {
    const segment = this.segmentAt(position);
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
    const segment = this.segmentAt(position);
    const shownEnd = this.shownEnd(segment);
    if (position.offset >= shownEnd) throw this.notShown(position);
    return readChunkSync(segment, position.offset, shownEnd);
  }

  /** The data of a chunk, once it may be shown. Its segment is pinned meanwhile. */
  read(position: LogPosition, options: ReadOptions | undefined): Promise<Uint8Array> {
    // The usual case, without a promise around the promise.
    return options === undefined ? this.#read(position, undefined) : this.#readUnlessAborted(position, options);
  }

  async #readUnlessAborted(position: LogPosition, options: ReadOptions): Promise<Uint8Array> {
    const signal = signalOf(options);
    signal?.throwIfAborted();
    return unlessAborted(this.#read(position, signal), signal);
  }

  async #read(position: LogPosition, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const segment = this.segmentAt(position);
    const { offset } = position;
    segment.pin();
    try {
      if (offset >= this.shownEnd(segment)) await this.whenShown(segment, offset, signal);
      return await readChunk(segment, offset, this.shownEnd(segment));
    } finally {
      segment.unpin();
    }
  }

  /** The data of many chunks, in the order in which they are asked for. Those that are close together share a read. */
  async readMany(positions: readonly LogPosition[], options: ReadOptions = {}): Promise<Uint8Array[]> {
    const signal = signalOf(options);
    signal?.throwIfAborted();
    return unlessAborted(this.#readMany(positionsOf(positions), signal), signal);
  }

  async #readMany(positions: readonly LogPosition[], signal: AbortSignal | undefined): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    for (let from = 0; from < positions.length; from += AT_ONCE_CHUNKS) {
      signal?.throwIfAborted();
      const some = positions.slice(from, from + AT_ONCE_CHUNKS);
      await this.#readSome(some, signal, (i, data) => (found[from + i] = data));
    }
    return found;
  }

  async #readSome(
    positions: readonly LogPosition[], signal: AbortSignal | undefined, take: (index: number, data: Uint8Array) => void,
  ): Promise<void> {
    const wanted = positions.map((position, i) => {
      return { segment: this.segmentAt(position), offset: position.offset, take: (data: Uint8Array) => take(i, data) };
    });
    const segments = new Set(wanted.map(({ segment }) => segment));
    for (const segment of segments) segment.pin();
    try {
      for (const { segment, offset } of wanted) {
        if (offset >= this.shownEnd(segment)) await this.whenShown(segment, offset, signal);
      }
      await inLanes(neighbourhoods(wanted), signal, (chunks) => {
        const [{ segment, offset, take: takeOne }] = chunks;
        const limit = this.shownEnd(segment);
        if (chunks.length > 1) return readNeighbours(segment, chunks, limit);
        return readChunk(segment, offset, limit).then(takeOne);
      });
    } finally {
      for (const segment of segments) segment.unpin();
    }
  }

  /** The segment in which a chunk may begin at `position`, shown or not. Throws if there is none. */
  segmentAt(position: LogPosition): Segment {
    assertPosition(position);
    const { segmentId, offset } = position;
    const segment = this.segment(segmentId);
    if (segment === undefined || offset < segment.start || offset >= this.end(segment)) throw goneError(position);
    return segment;
  }
}

interface WantedChunk extends Neighbour {
  readonly segment: Segment;
}

/** Groups of chunks that stand so close together that one read is faster than several. */
function neighbourhoods(wanted: readonly WantedChunk[]): WantedChunk[][] {
  const inOrder = [...wanted].sort((a, b) => a.segment.segmentId - b.segment.segmentId || a.offset - b.offset);
  const groups: WantedChunk[][] = [];
  let group: WantedChunk[] = [];
  for (const chunk of inOrder) {
    const last = group.at(-1);
    const isNear = last?.segment === chunk.segment && chunk.offset - last.offset <= NEAR_BYTES
      && chunk.offset - group[0].offset <= MAX_SPAN_BYTES;
    if (!isNear) groups.push(group = []);
    group.push(chunk);
  }
  return groups;
}

/** Calls `run` for each item, a few at once. Rejects when those that were begun have settled. */
async function inLanes<T>(
  items: readonly T[], signal: AbortSignal | undefined, run: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      signal?.throwIfAborted();
      const item = items[next++];
      try {
        await run(item);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(LANES, items.length) }, lane));
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
}

function goneError({ segmentId, offset }: LogPosition): WalError {
  const message = `nothing is stored at offset ${offset} of segment ${segmentId}: ` +
    'it has been checkpointed, was never written by this log, or is not there yet';
  return new WalError('WAL_POSITION_GONE', message, { segmentId, offset });
}
