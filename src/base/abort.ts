/** What is called when a signal is aborted, in the order in which it was added. */
const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `callback` once if `signal` is aborted. However many callbacks a signal has, it has one listener: Node warns
 * of a leak at the eleventh, and removing one of many from a signal takes time in proportion to their number.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): void {
  if (signal === undefined) return;
  const callbacks = callbacksOf.get(signal);
  if (callbacks === undefined) {
    callbacksOf.set(signal, new Set([callback]));
    signal.addEventListener('abort', callAll, { once: true });
  } else callbacks.add(callback);
}

/** Undoes `onAbort`. */
export function offAbort(signal: AbortSignal | undefined, callback: () => void): void {
  if (signal === undefined) return;
  const callbacks = callbacksOf.get(signal);
  if (callbacks?.delete(callback) !== true || callbacks.size > 0) return;
  callbacksOf.delete(signal);
  signal.removeEventListener('abort', callAll);
}

/**
 * Settles as `promise` does, or rejects with the reason of `signal`, which is not aborted yet, once it is. What the
 * promise stands for goes on, and must release by itself what it holds.
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    onAbort(signal, abort);
    promise.then(resolve, reject).finally(() => offAbort(signal, abort));
  });
}

function callAll(event: Event): void {
  const signal = event.target as AbortSignal;
  const callbacks = callbacksOf.get(signal);
  if (callbacks === undefined) return;
  for (const callback of callbacks) {
    callbacks.delete(callback);
    callback();
  }
  callbacksOf.delete(signal);
}
