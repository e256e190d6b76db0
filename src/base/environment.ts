import { randomFillSync } from 'node:crypto';

/** What the log takes from outside besides storage, so that a test can decide it. */
export interface Environment {
  /** Fills `target` with bytes that nobody can foresee. */
  randomFill(target: Uint8Array): void;
  /**
   * Calls `callback` once after about `milliseconds`; the returned function cancels it. Does not keep the process
   * alive.
   */
  callAfter(milliseconds: number, callback: () => void): () => void;
  /** Milliseconds on a clock that only goes forward. */
  now(): number;
}

export const systemEnvironment: Environment = {
  randomFill(target) {
    randomFillSync(target);
  },
  callAfter(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    timer.unref();
    return () => clearTimeout(timer);
  },
  now: () => performance.now(),
};
