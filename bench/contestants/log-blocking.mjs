/** The log with `blockingFlush`: the flush runs on the calling thread, for engines that live in a worker thread. */
import { open as openAppending } from './log-append.mjs';

export function open(directory, size, settings) {
  return openAppending(directory, size, { ...settings, blockingFlush: true });
}
