import { clearInterval, setInterval } from 'node:timers';

/** The longest period a timer takes, about 25 days. */
const LONGEST_MS = 2 ** 31 - 1;

const waiting = new Set<object>();
let timer: NodeJS.Timeout | undefined;

/**
 * Keeps the process alive until `letExit` has been called with the same object. The timers of an idle log must not keep
 * a program from ending, but a program that awaits the log must not end before it has been answered: each promise that
 * only such a timer or another caller can settle counts here.
 */
export function keepAlive(waiter: object): void {
  if (waiting.size === 0) timer = setInterval(() => undefined, LONGEST_MS);
  waiting.add(waiter);
}

/** See `keepAlive`. */
export function letExit(waiter: object): void {
  waiting.delete(waiter);
  if (waiting.size === 0) clearInterval(timer);
}

/** Settles as `promise` does, and keeps the process alive until then. */
export async function keepAliveUntil<T>(promise: Promise<T>): Promise<T> {
  keepAlive(promise);
  try {
    return await promise;
  } finally {
    letExit(promise);
  }
}

/**
 * Runs `simulate`, in which processes end that are only simulated: what waited in them never settles, and must not keep
 * the real one alive.
 */
export async function withoutItsWaiters<T>(simulate: () => Promise<T>): Promise<T> {
  const before = new Set(waiting);
  try {
    return await simulate();
  } finally {
    for (const waiter of waiting) if (!before.has(waiter)) letExit(waiter);
  }
}
