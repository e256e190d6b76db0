import type { EntryId, SegmentInfo } from '../../index.js';
import type { Contents } from './content.js';
import type { Damage } from './damage.js';
import { ids } from '../output.js';

/** Ids that no entry has although entries around them are there. */
export interface Gap {
  readonly message: string;
  readonly fromId: EntryId;
  readonly toId: EntryId;
}

/** What there is to say of every log with a segment of format 0. */
export const FORMAT_0_NOTE = 'format 0 has no chain: damage can look like an end there';

/**
 * The gaps between segments of format 0, which are named after their first entries. Nothing else tells that such a
 * segment does not end where it did. Where damage has been found, that says what is missing.
 */
export function gapsBetween(segments: readonly SegmentInfo[], contents: Contents, damage: readonly Damage[]): Gap[] {
  return segments.slice(1).flatMap((next, i) => {
    const segment = segments[i];
    if (segment.formatVersion !== 0 || next.formatVersion !== 0) return [];
    const [a, b] = [segment.segmentId, next.segmentId];
    if (damage.some(({ segmentId = 0 }) => segmentId >= a && segmentId < b)) return [];
    const fromId = (contents.get(a)?.lastId ?? a - 1) + 1;
    const toId = b - 1;
    if (toId < fromId) return [];
    const where = `missing between segment ${a} and segment ${b}`;
    return [{ message: `${ids(fromId, toId)} ${where}: lost, or rolled back`, fromId, toId }];
  });
}
