import { TurnBudget } from '../base/turns.js';
import * as format from '../format/segment-format.js';
import type { Segment } from './segment.js';

/** How many bytes are searched at once. */
const PIECE_BYTES = 16 * 1024;

/** What searching a byte costs at most, in bytes that are checksummed: any of them may begin a record. */
const SEARCH_COST = 16;

/**
 * How far the records after `offset` say that the segment was durable once; `offset` if none says more, as in a format
 * without such records. If that is beyond the last valid record, what lies between has been damaged since; if not, it
 * is the unfinished tail of the log.
 */
export async function provenEnd(segment: Segment, offset: number, blockBytes: number): Promise<number> {
  if (!segment.format.isLinked) return offset;
  const turn = new TurnBudget();
  const block = Buffer.allocUnsafeSlow(blockBytes);
  let proven = offset;
  for (let start = offset; ;) {
    const read = await segment.read(block, start);
    for (let from = 0; from < read; from += PIECE_BYTES) {
      // A record that begins in one piece may end in the next.
      const bytes = block.subarray(from, Math.min(read, from + PIECE_BYTES + format.LINK_LENGTH - 1));
      proven = Math.max(proven, provenIn(segment, bytes, start + from));
      if (turn.spend(bytes.length * SEARCH_COST)) await turn.nextTurn();
    }
    if (read < block.length) return proven;
    start += read - format.LINK_LENGTH + 1;
  }
}

/** How much the marks and links among `bytes`, which stand at `start`, say was durable; 0 if there are none. */
function provenIn({ segmentId, seed }: Segment, bytes: Buffer, start: number): number {
  let proven = 0;
  for (let at = bytes.indexOf(format.MARK_MARKER); at >= 0; at = bytes.indexOf(format.MARK_MARKER, at + 1)) {
    if (at + format.MARK_LENGTH > bytes.length) break;
    proven = Math.max(proven, format.decodeMark(bytes, at, seed, start + at) ?? 0);
  }
  for (let at = bytes.indexOf(format.LINK_MARKER); at >= 0; at = bytes.indexOf(format.LINK_MARKER, at + 1)) {
    if (at + format.LINK_LENGTH > bytes.length) break;
    if (format.isOwnLink(bytes, at, seed, start + at, segmentId)) proven = Math.max(proven, start + at);
  }
  return proven;
}
