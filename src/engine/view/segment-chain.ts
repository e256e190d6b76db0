import { WalError } from '../../base/errors.js';
import { segmentName } from '../../format/file-names.js';
import { decodeLink, LINK_LENGTH, type Link } from '../../format/segment-format.js';
import { readFully } from '../../files/transfer.js';
import { provenEnd } from '../../segment/proof.js';
import { RecordScanner, type ScanStart } from '../../segment/record-scanner.js';
import { damaged } from '../../segment/segment-reader.js';
import type { Segment } from '../../segment/segment.js';
import type { SegmentFiles } from './segment-files.js';

/** Begins to read a segment, from `start` on. `end` is where it is known to end. */
export function openScanner(
  segment: Segment, blockBytes: number, end?: number, onBytesRead?: (count: number) => void, start?: ScanStart,
): Promise<RecordScanner> {
  return RecordScanner.open(segment, {
    blockBytes,
    ...(end === undefined ? {} : { end }),
    ...(onBytesRead === undefined ? {} : { onBytesRead }),
    ...(start === undefined ? {} : { start }),
  });
}

/** Whether a closed segment ends where its successor says, in the chain that it says. */
export function isWhole({ end, chain }: RecordScanner, next: Link | undefined): boolean {
  if (next === undefined) return true;
  return end === next.previousEnd && chain === next.previousChain;
}

/** A segment, and the link that begins it: none in format 0, nor where that is damaged. */
export interface LinkedSegment {
  readonly segment: Segment;
  readonly link: Link | undefined;
}

/** Notes in `segment` what its beginning tells: the highest id given out before it. */
export function linkedSegment(segment: Segment, link: Link | undefined): LinkedSegment {
  segment.beginAfter(link?.lastId ?? segment.format.lastIdBefore(segment.segmentId));
  return { segment, link };
}

/**
 * Follows the links from the newest segment back to the oldest that has not been checkpointed. A
 * segment that is named by a link must be there, unless all before it are gone as well: segments are
 * checkpointed in order.
 */
export async function linkSegments(
  files: SegmentFiles, blockBytes: number,
): Promise<{ chain: LinkedSegment[]; unused: Segment[] }> {
  const linked: LinkedSegment[] = [];
  const unused: Segment[] = [];
  for (const segment of files.segments) {
    const link = segment.format.isLinked ? await readFirstLink(segment) : undefined;
    if (!segment.format.isLinked || link !== undefined) {
      linked.push(linkedSegment(segment, link));
    } else {
      const proven = await provenEnd(segment, segment.start, blockBytes);
      if (proven > segment.start) throw damaged(segment, segment.start, 0);
      unused.push(segment);
    }
  }
  const chain = followLinks(linked);
  const first = chain[0];
  if (first?.link !== undefined) assertIsFirst(first.segment, first.link, linked, files, unused);
  for (const { segment } of linked) {
    if (chain.some((member) => member.segment === segment)) continue;
    if (!segment.format.isLinked && !isCutOff(segment, chain)) throw damaged(segment, segment.start, 0);
    unused.push(segment);
  }
  return { chain, unused };
}

function followLinks(linked: readonly LinkedSegment[]): LinkedSegment[] {
  const hasLink = ({ segment }: LinkedSegment) => segment.format.isLinked;
  const newest = linked.findLast(hasLink);
  if (newest === undefined) return [...linked];
  const chain = [newest];
  for (;;) {
    const id = chain[0].link?.previousSegmentId;
    const previous = linked.find(({ segment }) => segment.segmentId === id && id < chain[0].segment.segmentId);
    if (previous === undefined) return chain;
    chain.unshift(previous);
    // The predecessor's segments have no links: they are all there are, by name.
    if (!hasLink(previous)) {
      const { segmentId } = previous.segment;
      return [...linked.filter((other) => !hasLink(other) && other.segment.segmentId < segmentId), ...chain];
    }
  }
}

/** Whether a cut dropped the segment: then the log continues in a later one, from the end of an earlier one. */
function isCutOff({ segmentId }: Segment, chain: readonly LinkedSegment[]): boolean {
  return chain.some(({ segment, link }) => {
    return link !== undefined && link.previousSegmentId < segmentId && segmentId < segment.segmentId;
  });
}

/** Checks that what `first` names as its predecessor has been checkpointed, not lost. */
function assertIsFirst(
  first: Segment, link: Link, linked: readonly LinkedSegment[], files: SegmentFiles, unused: readonly Segment[],
): void {
  const missing = link.previousSegmentId;
  // Those between the two were dropped when the log was cut, and not given back yet.
  const isOlderLeft = linked.some(({ segment }) => segment.segmentId < missing);
  const isUnlinked = unused.some(({ segmentId }) => segmentId === missing);
  const isEmptied = files.spares.includes(segmentName(missing)) || isUnlinked;
  if (!isOlderLeft && !isEmptied) return;
  throw missingError(missing, first);
}

export function missingError(segmentId: number, next: Segment): WalError {
  const message = `segment ${segmentId}, which comes before segment ${next.segmentId}, is missing or has been emptied`;
  return new WalError('WAL_CORRUPT', message, { segmentId, offset: 0 });
}

export async function readFirstLink(segment: Segment): Promise<Link | undefined> {
  const bytes = Buffer.alloc(LINK_LENGTH);
  await readFully(segment.file, bytes, segment.start);
  return decodeLink(bytes, 0, segment.seed, segment.start);
}
