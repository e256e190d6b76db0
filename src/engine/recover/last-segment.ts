import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import { provenEnd } from '../../segment/proof.js';
import type { Segment } from '../../segment/segment.js';
import { damaged } from '../../segment/segment-reader.js';
import type { LinkedSegment } from '../view/segment-chain.js';
import { continueIds, type EntryReplay } from './entry-replay.js';
import type { TailRewriter } from './tail-rewrite.js';

/** Where the log ends. */
export interface LogEnd {
  /** The offset in the last segment after the last record of the log, and the chain there. */
  readonly end: number;
  readonly chain: number;
  readonly lastId: EntryId;
  /** Bytes after the end of an entry that was never completed. */
  readonly tornBytes: number;
}

/** The end of a log without segments. */
export const EMPTY_LOG: LogEnd = { end: 0, chain: 0, lastId: 0, tornBytes: 0 };

/**
 * Recovers the last segment. It finds where the log ends, and makes everything up to there durable, before the owner is
 * shown any of it: what the owner has been shown must still be there after the next crash.
 */
export async function recoverLast(
  { segment, link }: LinkedSegment, replay: EntryReplay, tail: TailRewriter, lastId: EntryId,
): Promise<LogEnd> {
  continueIds(segment, lastId);
  const scanner = await replay.scan(segment, undefined);
  if ((scanner.link === undefined) !== (link === undefined)) throw changedError(segment);
  // A link after the last entry has served its purpose, and the log overwrites it when it continues: but not one that
  // passes over ids, which would be given out after all if a crash tore it.
  let { end, chain } = scanner;
  let last = segment.idBefore;
  for (let entry = await scanner.next(); entry !== undefined; entry = await scanner.next()) {
    // Otherwise it belongs to a batch that may have no end.
    if (scanner.end < entry.end) continue;
    ({ end, chain } = scanner);
    last = entry.id;
  }
  const { passedOver } = scanner;
  if (passedOver !== undefined && passedOver.end > end) ({ end, chain } = passedOver);
  const proven = await provenEnd(segment, end, replay.blockBytes);
  if (proven > scanner.end) throw damaged(segment, scanner.end, scanner.lastId);
  // A link that a later record proves must stay: torn by a crash, it would look like damage.
  if (proven > end) ({ end, chain } = scanner);
  const { durableUpTo } = scanner;
  const isProven = durableUpTo >= end;
  if (!isProven) await tail.rewrite(segment, durableUpTo, end);
  const isWanted = await replay.isWanted(segment);
  if (!isProven || isWanted) await deliverLast(segment, replay, { end, chain }, isWanted);
  segment.endAt(end, last);
  // An empty segment has nothing to abandon, and what is written to it from now on is wanted.
  if (!isWanted && !segment.isEmpty) segment.discard();
  return { end, chain, lastId: scanner.lastId, tornBytes: scanner.tornBytes };
}

/**
 * Reads the last segment again, up to the end of the log. After a failed sync the page cache can drop what it showed
 * before: the disk then holds something else, which the next opening would see.
 */
async function deliverLast(
  segment: Segment, replay: EntryReplay, { end, chain }: Pick<LogEnd, 'end' | 'chain'>, isWanted: boolean,
): Promise<void> {
  const scanner = await replay.scan(segment, end);
  if (isWanted) await replay.deliver(scanner);
  else while ((await scanner.next()) !== undefined);
  if (scanner.end !== end || scanner.chain !== chain) throw changedError(segment);
}

function changedError({ segmentId }: Segment): WalError {
  return new WalError('WAL_IO', `segment ${segmentId} changed while it was read`, { segmentId });
}
