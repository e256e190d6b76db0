import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import { damaged } from '../../segment/segment-reader.js';
import { RecordScanner } from '../../segment/record-scanner.js';
import type { Segment } from '../../segment/segment.js';
import type { LogEnd } from '../write/link.js';
import type { Rotation } from '../write/rotation.js';
import type { Checkpointer } from '../checkpoint/checkpointer.js';
import type { Flusher } from '../flush/flusher.js';
import type { LiveSegments } from '../read/live-segments.js';
import type { SpareFiles } from '../directory/spare-files.js';

export interface CutParts {
  readonly queue: Flusher;
  readonly active: Rotation;
  readonly segments: LiveSegments;
  readonly checkpointer: Checkpointer;
  readonly pool: SpareFiles;
  readonly blockBytes: number;
}

/** Where the log ends when everything behind an id is gone. */
interface CutPlace {
  /** The segment it ends in; undefined if nothing of what is still there remains. */
  readonly segment: Segment | undefined;
  readonly lastId: EntryId;
  readonly link: LogEnd;
}

/**
 * Drops every entry behind `id`, while nobody writes. The log goes on in a new segment whose link names the place where
 * it was cut: what stands behind that place, and in the segments between, is no part of it from the moment that link
 * is durable. A crash before leaves everything as it was.
 */
export async function cutAfter(id: EntryId, parts: CutParts): Promise<void> {
  const { queue, active, segments, checkpointer, pool } = parts;
  // A cut log has no entries that are on their way: where it ends must be on the disk.
  await queue.sync();
  const beyond = new Set([...segments].filter((segment) => segment.lastId > id));
  await checkpointer.suspend(beyond);
  try {
    if (beyond.size === 0) return;
    const place = await findPlace(id, parts);
    const all = [...segments];
    const dropped = place.segment === undefined ? all : all.slice(all.indexOf(place.segment) + 1);
    const wasActive = active.segment;
    await active.cut(place.link, id);
    queue.durableId.set(id);
    segments.cuts.push(id);
    for (const segment of dropped) {
      if (segment.phase !== 'discarded') segment.discard();
      segments.remove(segment);
    }
    checkpointer.withdraw(new Set(dropped), id);
    // One that is retired was to stay whole, and its checkpoint has ended meanwhile.
    if (place.segment !== undefined && place.segment.phase !== 'retired') endAt(place.segment, place);
    if (place.segment === wasActive) checkpointer.enqueue(wasActive);
    for (const segment of dropped) await giveBack(segment, pool, checkpointer);
  } finally {
    checkpointer.resume();
  }
}

async function findPlace(id: EntryId, { segments, checkpointer, blockBytes }: CutParts): Promise<CutPlace> {
  const checkpointedId = Math.max(segments.goneId, checkpointer.persistedId);
  const first = [...segments].find((segment) => segment.lastId > checkpointedId);
  if (id < checkpointedId || first === undefined) {
    const message = `the log cannot be cut behind entry ${id}: ${checkpointedId} is checkpointed`;
    throw new WalError('WAL_POSITION_GONE', message);
  }
  // A checkpoint that was running may end while these are read.
  const pinned = [...segments].filter(({ phase }) => phase !== 'discarded');
  const candidates = pinned.filter(({ idBefore }) => idBefore < id).reverse();
  for (const segment of pinned) segment.pin();
  try {
    for (const segment of candidates) {
      const place = await lastUpTo(id, segment, blockBytes);
      if (place !== undefined) return place;
    }
    return await beforeFirst(pinned[0], blockBytes);
  } finally {
    for (const segment of pinned) segment.unpin();
  }
}

/** Behind the last entry of `segment` up to `id`, or undefined if there is none. */
async function lastUpTo(id: EntryId, segment: Segment, blockBytes: number): Promise<CutPlace | undefined> {
  const scanner = await RecordScanner.openDurable(segment, blockBytes);
  let place: CutPlace | undefined;
  for (;;) {
    const entry = await scanner.next();
    // Where it cannot be read any further, entries that are to stay may follow.
    if (entry === undefined && scanner.end < segment.durableEnd) throw damaged(segment, scanner.end, scanner.lastId);
    if (entry === undefined || entry.id > id) return place;
    const link = {
      previousSegmentId: segment.segmentId,
      previousEnd: scanner.end,
      previousChain: scanner.chain,
    };
    place = { segment, lastId: entry.id, link };
  }
}

/** Where the first segment says that the log ended before it; in format 0, at its beginning. */
async function beforeFirst(first: Segment, blockBytes: number): Promise<CutPlace> {
  const { link } = await RecordScanner.openDurable(first, blockBytes);
  if (link !== undefined) return { segment: undefined, lastId: link.lastId, link };
  const { segmentId, start, idBefore } = first;
  return {
    segment: first, lastId: idBefore, link: { previousSegmentId: segmentId, previousEnd: start, previousChain: 0 },
  };
}

function endAt(segment: Segment, { lastId, link }: CutPlace): void {
  segment.endAt(link.previousEnd, lastId);
  if (segment.isOpen) segment.seal();
}

/** Lets the file of a segment go that is no part of the log any more. After a crash the next opening does it. */
async function giveBack(segment: Segment, pool: SpareFiles, checkpointer: Checkpointer): Promise<void> {
  try {
    await pool.retire(segment);
  } catch {
    checkpointer.retirement.discard(segment);
    return;
  }
  pool.recycle(segment).catch(() => undefined);
}
