import { RecordScanner, type EntryExtent, type ScanStart } from '../../segment/record-scanner.js';
import { damaged, Entry } from '../../segment/segment-reader.js';
import type { Segment } from '../../segment/segment.js';
import type { EntryId } from '../../model/entry.js';

/** A segment is divided into groups of entries of about so many bytes, which are read one at a time. */
const GROUP_BYTES = 64 * 1024;

/** What is read of a segment. */
export interface BackwardsRange {
  readonly segment: Segment;
  /** Where its entries end, after one that is committed. */
  readonly end: number;
  /** Only entries with ids below this one. */
  readonly below: EntryId;
  /** The blocks in which it is read from the front. */
  readonly blockBytes: number;
}

/** Where a group begins, and where its last entry ends. */
interface Group {
  readonly start: ScanStart;
  readonly end: number;
}

/**
 * The entries of a segment, the last first. Nothing leads from an entry to the one before it, so the segment is read
 * from the front to learn where its groups begin, and then group by group from the back: everything is read, and
 * verified, twice. In memory are the beginnings of the groups, and one group. An entry can be read until the next one
 * is requested. Throws `WAL_CORRUPT` before the first entry if there is damage before the last one wanted.
 */
export async function* entriesBackwards(range: BackwardsRange): AsyncGenerator<Entry, void, void> {
  const { segment, below } = range;
  const groups = await findGroups(range);
  for (let group = groups.pop(); group !== undefined; group = groups.pop()) {
    const { start, end } = group;
    const scanner = await RecordScanner.open(segment, { blockBytes: 2 * GROUP_BYTES, end: range.end, start });
    const extents: EntryExtent[] = [];
    while (scanner.end < end) {
      const extent = await scanner.next();
      // It was whole a moment ago.
      if (extent === undefined) throw damaged(segment, scanner.end, scanner.lastId);
      if (extent.id < below) extents.push(extent);
    }
    for (const extent of extents.reverse()) yield new Entry(scanner, extent);
  }
}

async function findGroups({ segment, end, below, blockBytes }: BackwardsRange): Promise<Group[]> {
  const scanner = await RecordScanner.open(segment, { blockBytes, end });
  const groups: Group[] = [];
  const next = (): ScanStart => ({ at: scanner.end, chain: scanner.chain, lastId: scanner.lastId });
  let start = next();
  let last = start.at;
  for (let extent = await scanner.next(); extent !== undefined; extent = await scanner.next()) {
    if (extent.id >= below) break;
    last = extent.end;
    if (last - start.at < GROUP_BYTES) continue;
    groups.push({ start, end: last });
    start = next();
  }
  if (last > start.at) groups.push({ start, end: last });
  // What comes after the last entry wanted is not looked at.
  if (scanner.entry.id < below && scanner.end !== end) throw damaged(segment, scanner.end, scanner.lastId);
  return groups;
}
