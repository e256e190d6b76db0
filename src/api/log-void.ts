import type { LogManager } from './write-ahead-log.js';

/**
 * A LogManager that wants nothing back: it gives up what a log holds when it is opened, and checkpoints into the void.
 *
 * @example
 * await log.append('nobody needs this after a restart');
 * await log.shutdown();
 * const again = await WriteAheadLog.recover('my-log', LogVoid, options);
 * console.log(again.recovery.entries, (await again.append('next')).id); // 0 2
 * await again.shutdown();
 */
export const LogVoid: LogManager = {
  shouldRecoverSegment: () => 'abandon',
  recover: () => undefined,
  checkpointTo: () => undefined,
};
