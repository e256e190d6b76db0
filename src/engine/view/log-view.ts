import { hasCode } from '../../base/errno.js';
import { isDamage, WalError } from '../../base/errors.js';
import type { ResolvedOptions } from '../../model/options.js';
import { provenEnd } from '../../segment/proof.js';
import type { Segment } from '../../segment/segment.js';
import {
  chainOf, linkedSegment, linkSegments, missingError, readFirstLink, type LinkedSegment, type SegmentChain,
} from './segment-chain.js';
import { findLastEnd, type SegmentEnd } from './segment-end.js';
import { readSegmentFiles, type Closable, type SegmentFiles } from './segment-files.js';

/** How often a directory that changes while it is read is read again. */
const ATTEMPTS = 100;

export interface ViewedSegment extends LinkedSegment {
  /** The length of its file. */
  readonly size: number;
}

/** A log as its directory held it at one moment. The segments' files are open for reading. */
export interface LogView {
  /** The live segments, oldest first, each with the link that begins it. */
  readonly segments: readonly ViewedSegment[];
  /** Where the last of them ends. */
  readonly last: SegmentEnd;
  /** The names of files that hold nothing live. */
  readonly spares: readonly string[];
  /** Whether a recovery was interrupted while it was writing the log's tail again. */
  readonly isRepairPending: boolean;
}

export interface ViewOptions extends Pick<ResolvedOptions, 'fileManager' | 'bufferBytes'> {
  /** Told of damage, which is then passed over. Without it damage is an error. */
  readonly onDamage: ((error: WalError) => void) | undefined;
}

/** Looks into a directory that another process may be using. Changes nothing. */
export async function viewLog(directory: string, options: ViewOptions): Promise<LogView> {
  // A directory that cannot be read at all is nothing that moves.
  await options.fileManager.list(directory);
  let suspicion = '';
  let damage: WalError[] | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const opened: Closable[] = [];
    try {
      const view = await look(directory, options, opened, damage);
      for (const error of damage ?? []) options.onDamage?.(error);
      return view;
    } catch (error) {
      for (const file of opened) await file.close().catch(() => undefined);
      if (hasMoved(error)) continue;
      if (!isDamage(error)) throw error;
      // A segment that goes while the others are looked at can make it seem damaged, but not twice in the same way.
      const isCertain = error.message === suspicion;
      suspicion = error.message;
      if (isCertain && (options.onDamage === undefined || damage !== undefined)) throw error;
      if (isCertain) damage = [];
    }
  }
  throw new WalError('WAL_IO', `the log in ${directory} changes faster than it can be read`);
}

/** With `damage`, what is damaged is added to it and passed over. */
async function look(
  directory: string, options: ViewOptions, opened: Closable[], damage: WalError[] | undefined,
): Promise<LogView> {
  damage?.splice(0);
  const onDamage = damage === undefined ? {} : { onDamage: (error: WalError) => void damage.push(error) };
  const files = await readSegmentFiles(options.fileManager, directory, opened, { access: 'read', ...onDamage });
  const { chain, spares } = await linkSegments(files, options.bufferBytes).catch((error: unknown) => {
    if (damage === undefined || !isDamage(error)) throw error;
    damage.push(error);
    return linkAll(files, options.bufferBytes, damage);
  });
  const newest = chain.at(-1);
  const last = newest === undefined ? EMPTY_END : await findLastEnd(newest.segment, options.bufferBytes);
  const segments = [];
  for (const linked of chain) segments.push({ ...linked, size: await linked.segment.size() });
  const used = new Set<Closable>(chain.map(({ segment }) => segment));
  for (const file of opened) if (!used.has(file)) await file.close().catch(() => undefined);
  return { segments, last, spares, isRepairPending: files.hasTailCopy };
}

/**
 * Every segment that holds anything, where the links do not lead through all of them. Adds those missing to `damage`.
 */
async function linkAll(files: SegmentFiles, blockBytes: number, damage: WalError[]): Promise<SegmentChain> {
  const { segments, beginnings } = files;
  const chain: LinkedSegment[] = [];
  const unused: Segment[] = [];
  for (const segment of segments) {
    const link = segment.format.isLinked ? await readFirstLink(segment) : undefined;
    const isEmpty = segment.format.isLinked && link === undefined
      && (await provenEnd(segment, segment.start, blockBytes)) === segment.start;
    if (isEmpty) unused.push(segment);
    else chain.push(linkedSegment(segment, link));
  }
  const known = new Set([...segments, ...beginnings, ...damage].map(({ segmentId }) => segmentId));
  for (const { segment, link } of chain.slice(1)) {
    const missing = link?.previousSegmentId;
    // What came before the oldest is no gap: it was checkpointed, or cut off.
    const isGap = missing !== undefined && missing > chain[0].segment.segmentId;
    if (!isGap || known.has(missing)) continue;
    known.add(missing);
    damage.push(missingError(missing, segment));
  }
  return chainOf(chain, unused, files);
}

const EMPTY_END: SegmentEnd = { end: 0, lastId: 0, provenId: 0, tornBytes: 0, damage: undefined };

/** Whether a file had another name, or was another segment's, by the time it was looked at. */
function hasMoved(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'WAL_POSITION_GONE');
}
