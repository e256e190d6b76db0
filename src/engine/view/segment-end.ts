import type { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { Link } from '../../format/segment-format.js';
import { damaged } from '../../segment/segment-reader.js';
import { provenEnd } from '../../segment/proof.js';
import type { EntryExtent, RecordScanner, ScanStart } from '../../segment/record-scanner.js';
import type { Segment } from '../../segment/segment.js';
import { isWhole, openScanner } from './segment-chain.js';

/** Where the whole entries of a segment end, as reading all of it has shown. */
export interface SegmentEnd {
  readonly end: number;
  /** The highest entry id in it or before it. */
  readonly lastId: EntryId;
  /** Up to this id, records that were written later say that all entries are durable. */
  readonly provenId: EntryId;
  /** Bytes behind it that belong to an entry or a batch that is not complete. */
  readonly tornBytes: number;
  /** Why it ends here although it went on once. */
  readonly damage: WalError | undefined;
}

/** Reads a segment whose successor's link is `next`, from `start` on. */
export async function findClosedEnd(
  segment: Segment, next: Link, blockBytes: number, start?: ScanStart,
): Promise<SegmentEnd> {
  const bounded = await openScanner(segment, blockBytes, next.previousEnd, undefined, start);
  const found = await walk(bounded);
  if (isWhole(bounded, next)) return { ...found, provenId: found.lastId, tornBytes: 0 };
  // Within bounds the end of a batch counts as there. It is not if the damage comes before it.
  return withDamage(await walk(await openScanner(segment, blockBytes, undefined, undefined, start)), segment);
}

/** Reads a segment that has no successor. Somebody may be writing to it meanwhile. */
export async function findLastEnd(segment: Segment, blockBytes: number): Promise<SegmentEnd> {
  const found = await walk(await openScanner(segment, blockBytes));
  if (!segment.format.isLinked) return { ...found, provenId: 0 };
  const proven = await provenEnd(segment, found.end, blockBytes);
  if (proven <= found.end) return found;
  // Perhaps it has only grown since it was read. What was proven durable before a reading must be found by it.
  const again = await walk(await openScanner(segment, blockBytes));
  return again.end < proven ? withDamage(again, segment) : again;
}

function withDamage(found: SegmentEnd, segment: Segment): SegmentEnd {
  return { ...found, tornBytes: 0, damage: damaged(segment, found.end, found.lastId) };
}

async function walk(scanner: RecordScanner): Promise<SegmentEnd> {
  let { lastId } = scanner;
  let provenId = lastId;
  const unproven: EntryExtent[] = [];
  const prove = (): void => {
    const count = unproven.findIndex(({ end }) => end > scanner.durableUpTo);
    const proven = unproven.splice(0, count < 0 ? unproven.length : count);
    provenId = proven.at(-1)?.id ?? provenId;
  };
  for (let step = scanner.step(); step !== 'end'; step = scanner.step()) {
    if (step === 'entry') {
      unproven.push(scanner.entry);
    } else {
      prove();
      await scanner.fill();
    }
  }
  prove();
  lastId = Math.max(lastId, scanner.lastId);
  return { end: scanner.end, lastId, provenId, tornBytes: scanner.tornBytes, damage: undefined };
}
