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
  /** Its entries were given up while older ones were still there: it only tells what comes before it. */
  readonly isGivenUp: boolean;
}

/** The segments that hold the log, oldest first, and the names of the files that hold nothing of it. */
export interface SegmentChain {
  readonly chain: readonly LinkedSegment[];
  readonly spares: readonly string[];
}

/** Notes in `segment` what its beginning tells: the highest id given out before it. */
export function linkedSegment(segment: Segment, link: Link | undefined, isGivenUp = false): LinkedSegment {
  segment.beginAfter(link?.lastId ?? segment.format.lastIdBefore(segment.segmentId));
  return { segment, link, isGivenUp };
}

/**
 * Follows the links from the newest segment back to the oldest that has not been checkpointed. A
 * segment that is named by a link must be there, unless all before it are gone as well: segments are
 * checkpointed in order. One that was given up out of order has a spare's name; as long as older ones are there, its
 * file stays as it is and leads to them.
 */
export async function linkSegments(files: SegmentFiles, blockBytes: number): Promise<SegmentChain> {
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
  const chain = await followLinks(linked, files.beginnings);
  const first = chain[0];
  if (first?.link !== undefined) assertIsFirst(first.segment, first.link, linked, files, unused);
  const members = new Set(chain.map(({ segment }) => segment));
  const others = linked.filter(({ segment }) => !members.has(segment)).map(({ segment }) => segment);
  assertCutOff(others.filter(({ format }) => !format.isLinked), chain);
  unused.push(...others);
  return chainOf(chain, unused, files);
}

export function chainOf(
  chain: readonly LinkedSegment[], unused: readonly Segment[], { spares }: SegmentFiles,
): SegmentChain {
  const leading = new Set(chain.map(({ segment }) => segment.name));
  return { chain, spares: [...spares.filter((name) => !leading.has(name)), ...unused.map(({ name }) => name)] };
}

async function followLinks(
  linked: readonly LinkedSegment[], beginnings: readonly Segment[],
): Promise<LinkedSegment[]> {
  const hasLink = ({ segment }: LinkedSegment) => segment.format.isLinked;
  const newest = linked.findLast(hasLink);
  if (newest === undefined) return [...linked];
  const keptById = new Map(linked.map((member) => [member.segment.segmentId, member]));
  const givenUpById = new Map(beginnings.map((segment) => [segment.segmentId, segment]));
  const oldestId = linked[0].segment.segmentId;
  // Newest first.
  const chain = [newest];
  for (let next = newest; ;) {
    const id = next.link?.previousSegmentId;
    if (id === undefined || id >= next.segment.segmentId) return chain.reverse();
    const previous = keptById.get(id) ?? (oldestId < id ? await givenUp(givenUpById.get(id)) : undefined);
    if (previous === undefined) return chain.reverse();
    chain.push(previous);
    next = previous;
    // The predecessor's segments have no links: they are all there are, by name.
    if (!hasLink(previous)) {
      return [...linked.filter((other) => !hasLink(other) && other.segment.segmentId < id), ...chain.reverse()];
    }
  }
}

/**
 * What is left of a segment that was given up while older ones were there. A whole segment that has a spare's name has
 * it by mistake.
 */
async function givenUp(segment: Segment | undefined): Promise<LinkedSegment | undefined> {
  if (segment === undefined) return undefined;
  if (!segment.format.isLinked) return linkedSegment(segment, undefined, true);
  const link = await readFirstLink(segment);
  return link === undefined ? undefined : linkedSegment(segment, link, true);
}

/**
 * Checks that a truncation dropped the segments, which are no part of the chain: then the log continues in a later one,
 * from the end of an earlier one. Both lists are in the order of the ids.
 */
function assertCutOff(segments: readonly Segment[], chain: readonly LinkedSegment[]): void {
  let next = 0;
  for (const segment of segments) {
    while (next < chain.length && chain[next].segment.segmentId <= segment.segmentId) next++;
    const link = chain[next]?.link;
    const isCutOff = link !== undefined && link.previousSegmentId < segment.segmentId;
    if (!isCutOff) throw damaged(segment, segment.start, 0);
  }
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
