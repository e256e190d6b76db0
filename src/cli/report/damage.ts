import type { EntryId, SegmentInfo, WalError } from '../../index.js';
import type { Contents } from './content.js';
import { ids } from '../output.js';

/** What is damaged, and which entries that took, at most: an id in between may never have been an entry's. */
export interface Damage {
  readonly segmentId?: number;
  readonly offset?: number;
  readonly message: string;
  /** Which entries are lost, in words. */
  readonly lost: string;
  /** The first that is lost, where that is known. */
  readonly fromId?: EntryId;
  /** The last. */
  readonly toId?: EntryId;
}

/** What tells which entries damage took: those around it. */
export interface Surroundings {
  readonly segments: readonly SegmentInfo[];
  readonly contents: Contents;
  /** The highest id before the first segment. */
  readonly goneId: EntryId;
  /** The highest id given out. */
  readonly lastId: EntryId;
}

export function describeDamage(error: WalError, surroundings: Surroundings): Damage {
  const { segmentId, offset, message } = error;
  const place = { ...segmentId === undefined ? {} : { segmentId }, ...offset === undefined ? {} : { offset } };
  return { ...place, message, ...lostAt(segmentId, surroundings) };
}

function lostAt(segmentId: number | undefined, around: Surroundings): Pick<Damage, 'lost' | 'fromId' | 'toId'> {
  const { segments: [first], goneId, lastId } = around;
  if (first === undefined || segmentId === undefined) return { lost: 'what it held is lost' };
  // A segment is named after the lowest id that it could hold.
  if (segmentId < first.segmentId) return lostBetween(segmentId - 1, goneId);
  const contents = [...around.contents.values()];
  const before = contents.findLast((content) => content.segmentId <= segmentId)?.lastId ?? goneId;
  const after = contents.find((content) => content.segmentId > segmentId)?.firstId;
  if (after !== undefined) return lostBetween(before, after - 1);
  return lastId > before ? lostBetween(before, lastId)
    : { lost: `what came after entry ${before} is lost`, fromId: before + 1 };
}

/** Those above `before`, up to `toId`. */
function lostBetween(before: EntryId, toId: EntryId): Pick<Damage, 'lost' | 'fromId' | 'toId'> {
  const fromId = before + 1;
  if (toId < fromId) return { lost: 'no entry is lost' };
  return { lost: `${ids(fromId, toId)} lost`, fromId, toId };
}
