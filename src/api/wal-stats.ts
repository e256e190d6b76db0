import type { Histogram } from 'node:perf_hooks';
import type { WalError } from '../base/errors.js';
import type { EntryId } from '../model/entry.js';
import type { Log } from '../engine/log/log.js';
import type { SegmentPhase } from '../segment/segment-life.js';
import type { Segment } from '../segment/segment.js';

/**
 * A segment's file, and why it is there.
 *
 * @example
 * const [{ state, readers, heldBy }]: readonly SegmentStats[] = log.stats().segments;
 * console.log(state, readers, heldBy); // active 0 []
 */
export interface SegmentStats {
  /** Its number. */
  readonly segmentId: number;
  /** The id of the last entry in it; 0 if there is none. */
  readonly lastId: EntryId;
  /** How far it is filled. */
  readonly bytes: number;
  /**
   * `active`: entries are written to it. `closed`: it waits for its checkpoint, or is being checkpointed. `held`: it
   * is checkpointed, and those in `heldBy` want it. `read`: it is checkpointed, and its readers have not let go.
   */
  readonly state: 'active' | 'closed' | 'held' | 'read';
  /** How many readers and iterations keep it. */
  readonly readers: number;
  /** The names of the holds that keep it. */
  readonly heldBy: readonly string[];
}

/**
 * Where a log stands. Counts are since it was opened.
 *
 * @example
 * await Promise.all(['a', 'b', 'c'].map((data) => log.append(data)));
 * const { commits, flushes }: WalStats = log.stats();
 * console.log(commits, flushes < commits); // 3 true
 */
export interface WalStats {
  /** The id that the next entry gets. */
  readonly nextId: EntryId;
  /** Entries that were committed, and are as safe as was asked for. */
  readonly commits: number;
  /** Writes that brought entries to the operating system, and mostly to the disk in one. */
  readonly flushes: number;
  /** Bytes in those writes. */
  readonly flushedBytes: number;
  /** Bytes accepted but not yet durable. */
  readonly pendingBytes: number;
  /** Bytes of committed entries that the operating system has, but that are not durable yet. */
  readonly unsyncedBytes: number;
  /** The highest id that is durable. */
  readonly durableId: EntryId;
  /** Callers in line for the writer's place. */
  readonly waitingWriters: number;
  /**
   * Nanoseconds each flush took, the write and its sync, to within 1 %. Live: it goes on counting; `reset` it as you
   * like.
   */
  readonly flushLatency: Histogram;
  /** Nanoseconds that the commit which waited longest for each flush has waited: no commit took longer. Live. */
  readonly commitLatency: Histogram;
  /** Every segment that is there, oldest first. */
  readonly segments: readonly SegmentStats[];
  /** Segments closed but not yet checkpointed. */
  readonly segmentsToCheckpoint: number;
  /** Bytes in those segments. */
  readonly bytesToCheckpoint: number;
  /** Readers and iterations that keep a segment. */
  readonly readers: number;
  /** Segment files made anew. */
  readonly segmentsCreated: number;
  /** Segment files used again. */
  readonly segmentsRecycled: number;
  /** Files that are ready for the next segments. */
  readonly spareSegments: number;
  /** Why the last checkpoint failed; undefined once one has succeeded. */
  readonly lastCheckpointError: WalError | undefined;
}

export function statsOf(log: Log): WalStats {
  const { rotation, writeQueue, flusher, checkpointer, spareFiles } = log;
  const segments = segmentStats(log);
  const toCheckpoint = checkpointer.segments.filter(holdsSomething);
  return {
    nextId: rotation.nextId,
    commits: flusher.stats.commits,
    flushes: flusher.stats.flushes,
    flushedBytes: flusher.stats.flushedBytes,
    pendingBytes: flusher.pendingBytes,
    unsyncedBytes: flusher.unsyncedBytes,
    durableId: flusher.durableId.value,
    waitingWriters: writeQueue.waiting,
    flushLatency: flusher.stats.flushLatency.histogram,
    commitLatency: flusher.stats.commitLatency.histogram,
    segments,
    segmentsToCheckpoint: toCheckpoint.length,
    bytesToCheckpoint: toCheckpoint.reduce((sum, { end }) => sum + end, 0),
    readers: segments.reduce((sum, { readers }) => sum + readers, 0),
    segmentsCreated: spareFiles.created,
    segmentsRecycled: spareFiles.recycled,
    spareSegments: spareFiles.spareCount,
    lastCheckpointError: checkpointer.lastError,
  };
}

/** What is safe elsewhere, and not held, waits for its turn like one that is closed. */
const STATE_OF: Readonly<Record<SegmentPhase, SegmentStats['state']>> = {
  prepared: 'active',
  active: 'active',
  closing: 'closed',
  closed: 'closed',
  checkpointed: 'closed',
  discarded: 'closed',
  held: 'held',
  retired: 'read',
};

/** Until older segments have gone, the file of one that was abandoned only leads to them. */
function holdsSomething({ phase }: Segment): boolean {
  return phase !== 'discarded';
}

function segmentStats({ segments, spareFiles, holds }: Log): SegmentStats[] {
  const describe = (segment: Segment): SegmentStats => {
    const state = STATE_OF[segment.phase];
    const { segmentId, isEmpty, end: bytes, pins: readers } = segment;
    const lastId = isEmpty ? 0 : segment.lastId;
    return { segmentId, lastId, bytes, state, readers, heldBy: state === 'held' ? holds.namesWanting(segment) : [] };
  };
  return [...spareFiles.retired, ...segments].filter(holdsSomething).map(describe);
}
