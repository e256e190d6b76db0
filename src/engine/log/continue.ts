import type { Environment } from '../../base/environment.js';
import type { ResolvedOptions } from '../../model/options.js';
import { LINK_LENGTH } from '../../format/segment-format.js';
import { checkpointedName, parseSegmentName, segmentName } from '../../format/file-names.js';
import type { BlockPool } from '../../segment/block-pool.js';
import type { Segment } from '../../segment/segment.js';
import { SegmentEncoder } from '../../segment/segment-encoder.js';
import { writeLink } from '../write/link.js';
import type { Rotation } from '../write/rotation.js';
import type { Flusher } from '../flush/flusher.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { RecoveredLog } from '../recover/recovery.js';
import type { SpareFiles } from '../directory/spare-files.js';

export interface ContinueParts {
  readonly options: ResolvedOptions;
  readonly directory: LogDirectory;
  readonly spareFiles: SpareFiles;
  readonly blocks: BlockPool;
}

/** Where a recovered log goes on: in its last segment if that has room, else in a new one. */
export async function openForWriting(log: RecoveredLog, parts: ContinueParts): Promise<SegmentEncoder> {
  for (const name of log.aliases) await parts.directory.remove(name);
  // The process before this one may have ended between a rename and its sync. A spare must not be written to
  // while the disk may still know it by another name, nor while it has two.
  const spares = await renameSpares(log, parts);
  const isTakenOver = parts.directory.previousOwnerMayRun;
  if (isTakenOver) await parts.spareFiles.renounce(spares, log.segments);
  else parts.spareFiles.adopt(spares);
  await parts.directory.sync();
  for (const { name, segmentId } of log.segments) if (name !== segmentName(segmentId)) parts.spareFiles.reserve(name);
  const last = log.segments.at(-1);
  const goesOn = last !== undefined && !isTakenOver && canGoOn(last, log, parts.options);
  const segment = goesOn ? last : await parts.spareFiles.prepare(Math.max(log.lastId, last?.segmentId ?? 0) + 1);
  return new SegmentEncoder(segment, parts.blocks, goesOn ? log.end : segment.start, log.chain);
}

/** Gives every spare file a spare's name: under a segment's it would later be taken for that segment, emptied. */
async function renameSpares({ spares }: RecoveredLog, { directory }: ContinueParts): Promise<string[]> {
  const names = new Set(spares);
  for (const name of spares) {
    const parsed = parseSegmentName(name);
    if (parsed === undefined || parsed.checkpointed) continue;
    const spare = checkpointedName(parsed.id);
    await directory.rename(name, spare);
    names.delete(name);
    names.add(spare);
  }
  return [...names];
}

/** Writes the link with which the log goes on. When it is durable everything recovered is proven durable too. */
export function writeOpeningLink(
  { encoder, nextId }: Rotation, log: RecoveredLog, flusher: Flusher, environment: Environment,
): Promise<void> {
  const link = {
    previousSegmentId: log.segments.at(-1)?.segmentId ?? 0,
    previousEnd: log.end,
    previousChain: log.chain,
    lastId: nextId - 1,
  };
  return writeLink(encoder, link, environment, flusher);
}

/** A segment without entries always goes on: its successor could not have a name of its own. */
function canGoOn(last: Segment, log: RecoveredLog, options: ResolvedOptions): boolean {
  if (!last.format.isWritten) return false;
  if (last.isEmpty) return true;
  return last.phase !== 'discarded' && log.end + LINK_LENGTH <= options.preallocateBytes;
}
