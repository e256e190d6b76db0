import type { Environment } from '../../base/environment.js';
import { isNoSpace } from '../../base/errors.js';
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
import type { Reserve } from '../directory/reserve.js';
import type { RecoveredLog } from '../recover/recovery.js';
import type { SpareFiles } from '../directory/spare-files.js';

export interface ContinueParts {
  readonly options: ResolvedOptions;
  readonly directory: LogDirectory;
  readonly reserve: Reserve;
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
  if (last !== undefined) last.allocated(Math.min(await last.size(), parts.options.preallocateBytes));
  const goesOn = last !== undefined && !isTakenOver && canGoOn(last, log);
  const segment = goesOn ? last : await prepareNext(log, parts);
  return new SegmentEncoder(segment, parts.blocks, segment === last ? log.end : segment.start, log.chain);
}

/**
 * Makes the segment ready in which the log continues. Without space for one it can be opened all the same: closed
 * segments are checkpointed, and the first entry waits for the space that gives. The last segment stays as it is.
 * Where that is no way out, the first segment is reused, if it has been given up, or else the reserve.
 */
async function prepareNext(log: RecoveredLog, { spareFiles, directory }: ContinueParts): Promise<Segment> {
  const [first, last] = [log.segments[0], log.segments.at(-1)];
  const prepare = (): Promise<Segment> => spareFiles.prepare(Math.max(log.lastId, last?.segmentId ?? 0) + 1);
  try {
    return await prepare();
  } catch (error) {
    if (!isNoSpace(error) || last === undefined) throw error;
    // What has been given up must not come back, and it does until the log has continued elsewhere.
    const isGivenUp = last.phase === 'discarded';
    if ((isGivenUp || first === last) && !directory.previousOwnerMayRun) {
      // How the log continued after the first segment is on record in the next.
      if (first !== last && first.phase === 'discarded') await spareFiles.giveBack(first);
      else if (!(await spareFiles.takeReserve())) throw error;
      return prepare();
    }
    if (isGivenUp || last.isEmpty) throw error;
    last.allocated(0);
    return last;
  }
}

/** Gives every spare file a spare's name: under a segment's it would later be taken for that segment, emptied. */
async function renameSpares({ spares }: RecoveredLog, { reserve }: ContinueParts): Promise<string[]> {
  const names = new Set(spares);
  for (const name of spares) {
    const parsed = parseSegmentName(name);
    if (parsed === undefined || parsed.checkpointed) continue;
    const spare = checkpointedName(parsed.id);
    await reserve.rename(name, spare);
    names.delete(name);
    names.add(spare);
  }
  return [...names];
}

/** Writes the link with which the log goes on. When it is durable everything recovered is proven durable too. */
export function writeOpeningLink(
  { encoder, nextId, takesLink }: Rotation, log: RecoveredLog, flusher: Flusher, environment: Environment,
): Promise<void> {
  // The link of the segment that follows will say the same.
  if (!takesLink) return Promise.resolve();
  const link = {
    previousSegmentId: log.segments.at(-1)?.segmentId ?? 0,
    previousEnd: log.end,
    previousChain: log.chain,
    lastId: nextId - 1,
  };
  return writeLink(encoder, link, environment, flusher);
}

/** A segment without entries always continues: its successor could not have a name of its own. */
function canGoOn(last: Segment, log: RecoveredLog): boolean {
  if (!last.format.isWritten) return false;
  if (last.isEmpty) return true;
  return last.phase !== 'discarded' && log.end + LINK_LENGTH <= last.capacity;
}
