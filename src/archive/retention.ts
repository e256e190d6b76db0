import type { ResolvedArchiveOptions } from './archive-options.js';
import type { ArchiveIndex } from './index-format.js';

/**
 * What is left of an index when all that is too old has been dropped: the newest `snapshots` stay, and those from which
 * a state of the last `ms` milliseconds can be restored, with all entries after the oldest of them.
 */
export function retained(
  { runs, snapshots }: ArchiveIndex, keep: ResolvedArchiveOptions['keep'], now: number,
): ArchiveIndex {
  const since = now - keep.ms;
  // The newest one before that time is what the states right after it are restored from; without, the first entries.
  const byTime = snapshots.findLastIndex(({ time }) => time <= since);
  if (byTime < 0) return { runs, snapshots };
  const byNumber = Math.max(0, snapshots.length - keep.snapshots);
  const kept = snapshots.slice(Math.min(byTime, byNumber));
  return { runs: runs.filter(({ lastId }) => lastId > kept[0].lastId), snapshots: kept };
}
