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

export interface TruncationParts {
  readonly queue: Flusher;
  readonly active: Rotation;
  readonly segments: LiveSegments;
  readonly checkpointer: Checkpointer;
  readonly pool: SpareFiles;
  readonly blockBytes: number;
}

/** Where the log ends once it has been truncated. */
interface NewEnd {
  /** The segment it ends in; undefined if no entry that is still stored remains. */
  readonly segment: Segment | undefined;
  readonly lastId: EntryId;
  readonly link: LogEnd;
}

/**
 * Drops every entry after `id`. The caller holds the write slot. The log continues in a new segment whose link names
 * the place where the log now ends: once that link is durable, the bytes after that place and the segments in between
 * are no longer part of the log. A crash before that leaves everything as it was.
 */
export async function dropAfter(id: EntryId, parts: TruncationParts): Promise<void> {
  const { queue, active, segments, checkpointer, pool } = parts;
  // The new end must be on the disk, so no entry may still be on its way there.
  await queue.sync();
  const beyond = new Set([...segments].filter((segment) => segment.lastId > id));
  await checkpointer.suspend(beyond);
  try {
    if (beyond.size === 0) return;
    const newEnd = await findEnd(id, parts);
    const all = [...segments];
    const dropped = newEnd.segment === undefined ? all : all.slice(all.indexOf(newEnd.segment) + 1);
    const wasActive = active.segment;
    await active.cut(newEnd.link, id);
    queue.durableId.set(id);
    segments.cuts.push(id);
    for (const segment of dropped) {
      if (segment.phase !== 'discarded') segment.discard();
      segments.remove(segment);
    }
    checkpointer.withdraw(new Set(dropped), id);
    // A retired segment keeps all its entries: its checkpoint has ended in the meantime.
    if (newEnd.segment !== undefined && newEnd.segment.phase !== 'retired') endAt(newEnd.segment, newEnd);
    if (newEnd.segment === wasActive) checkpointer.enqueue(wasActive);
    for (const segment of dropped) await free(segment, pool, checkpointer);
  } finally {
    checkpointer.resume();
  }
}

async function findEnd(id: EntryId, { segments, checkpointer, blockBytes }: TruncationParts): Promise<NewEnd> {
  const checkpointedId = Math.max(segments.goneId, checkpointer.persistedId);
  const first = [...segments].find((segment) => segment.lastId > checkpointedId);
  if (id < checkpointedId || first === undefined) {
    const message = `the log cannot be truncated after entry ${id}: ${checkpointedId} is checkpointed`;
    throw new WalError('WAL_POSITION_GONE', message);
  }
  // A checkpoint that was running may end while these are read: pinned, their files are not reused.
  const pinned = [...segments].filter(({ phase }) => phase !== 'discarded');
  const candidates = pinned.filter(({ idBefore }) => idBefore < id).reverse();
  for (const segment of pinned) segment.pin();
  try {
    for (const segment of candidates) {
      const newEnd = await endUpTo(id, segment, blockBytes);
      if (newEnd !== undefined) return newEnd;
    }
    return await beforeFirst(pinned[0], blockBytes);
  } finally {
    for (const segment of pinned) segment.unpin();
  }
}

/** The end of the last entry of `segment` whose id is at most `id`; undefined if there is no such entry. */
async function endUpTo(id: EntryId, segment: Segment, blockBytes: number): Promise<NewEnd | undefined> {
  const scanner = await RecordScanner.openDurable(segment, blockBytes);
  let newEnd: NewEnd | undefined;
  for (;;) {
    const entry = await scanner.next();
    // Entries that must stay may follow the place from which the segment cannot be read.
    if (entry === undefined && scanner.end < segment.durableEnd) throw damaged(segment, scanner.end, scanner.lastId);
    if (entry === undefined || entry.id > id) return newEnd;
    const link = {
      previousSegmentId: segment.segmentId,
      previousEnd: scanner.end,
      previousChain: scanner.chain,
    };
    newEnd = { segment, lastId: entry.id, link };
  }
}

/** The end of the log before its first segment, as that segment's link says; in format 0, the segment's beginning. */
async function beforeFirst(first: Segment, blockBytes: number): Promise<NewEnd> {
  const { link } = await RecordScanner.openDurable(first, blockBytes);
  if (link !== undefined) return { segment: undefined, lastId: link.lastId, link };
  const { segmentId, start, idBefore } = first;
  return {
    segment: first, lastId: idBefore, link: { previousSegmentId: segmentId, previousEnd: start, previousChain: 0 },
  };
}

function endAt(segment: Segment, { lastId, link }: NewEnd): void {
  segment.endAt(link.previousEnd, lastId);
  if (segment.isOpen) segment.seal();
}

/** Frees the file of a segment that is no longer part of the log. After a crash the next opening does so. */
async function free(segment: Segment, pool: SpareFiles, checkpointer: Checkpointer): Promise<void> {
  try {
    await pool.retire(segment);
  } catch {
    checkpointer.retirement.discard(segment);
    return;
  }
  pool.recycle(segment).catch(() => undefined);
}
