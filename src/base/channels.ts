/**
 * What the log publishes through `node:diagnostics_channel`. Nothing is made or measured while nobody listens, and
 * no message holds bytes of an entry.
 */
import { channel, tracingChannel, type TracingChannel } from 'node:diagnostics_channel';

/** From the call of `append`, `appendBatch` or `commit` until it has resolved: `{ directory }`, then `result`. */
export const commitChannel = tracingChannel('segmented-wal:commit');
/** A write and its sync: `{ directory, segmentId, offset, bytes, entries, isDurable }`. */
export const flushChannel = tracingChannel('segmented-wal:flush');
/** The LogManager persisting a segment: `{ directory, segmentId, lastId }`. */
export const checkpointChannel = tracingChannel('segmented-wal:checkpoint');
/** An opening: `{ directory }`. */
export const recoverChannel = tracingChannel('segmented-wal:recover');

/** Carries out `operation`, and lets those who listen follow it. */
export function traced<T>(to: TracingChannel, describe: () => object, operation: () => Promise<T>): Promise<T> {
  return to.hasSubscribers ? to.tracePromise(operation, describe()) : operation();
}

/** Publishes an event of the log in `directory` on the event's channel. Returns whether anything listens there. */
export function publish(event: string, directory: string, details: object): boolean {
  const to = channel(`segmented-wal:${event}`);
  if (!to.hasSubscribers) return false;
  to.publish({ directory, ...details });
  return true;
}
