import { clearInterval, setInterval } from 'node:timers';
import { assert } from './assert.js';

/** The longest period a timer takes, about 25 days. */
const LONGEST_MS = 2 ** 31 - 1;

let waiting = 0;
let timer: NodeJS.Timeout | undefined;

/**
 * Keeps the process alive until `letExit` has been called as often as this. The timers of an idle log must not keep a
 * program from ending, but a program that awaits the log must not end before it has been answered: each promise that
 * only such a timer or another caller can settle is counted here.
 */
export function keepAlive(): void {
  waiting++;
  if (waiting === 1) timer = setInterval(() => undefined, LONGEST_MS);
}

/** See `keepAlive`. */
export function letExit(): void {
  assert(waiting > 0, 'the process is let go as often as it was kept alive');
  waiting--;
  if (waiting === 0) clearInterval(timer);
}

/** Settles as `promise` does, and keeps the process alive until then. */
export async function keepAliveUntil<T>(promise: Promise<T>): Promise<T> {
  keepAlive();
  try {
    return await promise;
  } finally {
    letExit();
  }
}
