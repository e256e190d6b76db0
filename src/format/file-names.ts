/**
 * The names of the log's files. Everything else in the directory is somebody else's and left alone.
 *
 *     wal-{id}      a segment
 *     wal-{id}-cp   a segment whose entries are not shown any more, checkpointed or abandoned: its file is spare. That
 *                   of one abandoned while an older segment was kept is a header and a first link, nothing else, and
 *                   leads from the next segment to the older one until that has gone
 *     wal-0-cp      a spare file that was never used
 *     wal-tail      a durable copy of the last segment's tail while recovery rewrites it
 *     wal-tail-new  the same, not durable yet; otherwise it reserves space for the next one
 *     wal-holds     who wants to read checkpointed entries, and up to where the log is checkpointed
 *     wal-holds-new the same, about to take its place
 *     wal-identity  which log this is, once it has been asked
 *     wal-identity-new  the same, about to take its place
 *     LOCK          the owner of the directory
 *     LOCK.lock     the same, where the system has no locks
 *     LOCK.takeover a previous owner may still run
 */
const NAME = /^wal-(0|[1-9][0-9]{0,15})(-cp)?$/;

export const TAIL_FILE_NAME = 'wal-tail';
export const NEW_TAIL_FILE_NAME = 'wal-tail-new';
export const HOLDS_FILE_NAME = 'wal-holds';
export const NEW_HOLDS_FILE_NAME = 'wal-holds-new';
export const IDENTITY_FILE_NAME = 'wal-identity';
export const NEW_IDENTITY_FILE_NAME = 'wal-identity-new';
export const NEW_SPARE_NAME = 'wal-0-cp';

export interface SegmentName {
  readonly id: number;
  readonly checkpointed: boolean;
}

/** What `name` says, or undefined if it is not a segment's name. */
export function parseSegmentName(name: string): SegmentName | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const id = Number(match[1]);
  const checkpointed = match[2] !== undefined;
  if (!Number.isSafeInteger(id) || (id === 0 && !checkpointed)) return undefined;
  return { id, checkpointed };
}

export function segmentName(id: number): string {
  return `wal-${id}`;
}

export function checkpointedName(id: number): string {
  return `wal-${id}-cp`;
}
