import type { LogManager } from './write-ahead-log.js';

/**
 * A LogManager that wants nothing back: it gives up what a log holds when it is opened, and checkpoints into the void.
 */
export const LogVoid: LogManager = {
  shouldRecoverSegment: () => 'abandon',
  recover: () => undefined,
  checkpointTo: () => undefined,
};
