import { closedError } from '../directory/lifecycle.js';
import type { Log } from './log.js';

/**
 * Ends a log, in this order: what has been accepted is written, a running checkpoint finishes, changes of holds and
 * the identity are stored, and only when nothing is written any more are the files closed and the directory released.
 */
export async function shutDown(log: Log): Promise<void> {
  const { lifecycle, directory, identity, flusher, holds, checkpointer, rotation, segments, writeQueue } = log;
  lifecycle.closing();
  await writeQueue.close();
  // A checkpoint may be waiting for a follower.
  flusher.durableId.end(closedError());
  await checkpointer.stop();
  await holds.idle();
  await identity.idle();
  // A descriptor that is closed during a write could be another file's when the write happens.
  await flusher.landed();
  lifecycle.closed();
  await rotation.close();
  for (const segment of [...segments, ...checkpointer.retirement.held]) await segment.close();
  await directory.release();
}
