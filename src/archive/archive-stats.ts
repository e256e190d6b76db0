import type { Histogram } from 'node:perf_hooks';
import type { EntryId, SegmentStats } from '../index.js';

/**
 * Where an archive stands. Counts are since it was opened.
 *
 * @example
 * const describe = ({ lagMs, lagEntries }: ArchiveStats) => `${lagEntries} entries, for ${lagMs} ms`;
 */
export interface ArchiveStats {
  /** How often the archive has been taken over. */
  readonly epoch: number;
  /** The last entry that the archive has. */
  readonly archivedId: EntryId;
  /** For about how long the oldest entry that the archive does not have has been durable. 0 if it has them all. */
  readonly lagMs: number;
  /** How many durable entries the archive does not have. */
  readonly lagEntries: number;
  /** About how many bytes they take in the log. */
  readonly lagBytes: number;
  /** Objects with entries that were stored. */
  readonly objects: number;
  /** Nanoseconds from the first request for such an object to the answer. Live; `reset` it as you like. */
  readonly uploadLatency: Histogram;
  /** Why the last request failed; undefined once one has succeeded. */
  readonly lastError: unknown;
}

/** About how many bytes the entries after `archivedId` take in the segments of a log. */
export function bytesAfter(archivedId: EntryId, segments: readonly SegmentStats[], durableId: EntryId): number {
  let before = 0;
  let total = 0;
  for (const { lastId, bytes, state } of segments) {
    const last = state === 'active' ? Math.max(lastId, durableId) : lastId;
    if (last > archivedId) total += (bytes * (last - Math.max(before, archivedId))) / Math.max(1, last - before);
    before = Math.max(before, last);
  }
  return Math.round(total);
}

/** The most marks that are kept: beyond that, every second one is dropped. */
const MAX_MARKS = 1024;

/** When entries were found durable, to tell for how long the oldest one that is not archived has been waiting. */
export class LagClock {
  #marks: { readonly id: EntryId; readonly at: number }[] = [];

  /** Entries up to `id` were durable at `now`. */
  mark(id: EntryId, now: number): void {
    if (id <= (this.#marks.at(-1)?.id ?? 0)) return;
    this.#marks.push({ id, at: now });
    if (this.#marks.length > MAX_MARKS) this.#marks = this.#marks.filter((_mark, i) => i % 2 === 0 || i === MAX_MARKS);
  }

  /** Entries up to `id` are archived. */
  reach(id: EntryId): void {
    const first = this.#marks.findIndex((mark) => mark.id > id);
    this.#marks.splice(0, first < 0 ? this.#marks.length : first);
  }

  ms(now: number): number {
    return this.#marks.length === 0 ? 0 : Math.max(0, now - this.#marks[0].at);
  }
}
