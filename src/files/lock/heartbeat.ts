import { hasCode } from '../../base/errno.js';
import { setBeat, STALE_MS } from './heartbeat-directory.js';
import { lockedError, type LockOwner } from './lock-owner.js';

export const BEAT_MS = STALE_MS / 5;
/**
 * How long after a beat ownership is relied on. What is left until another opener takes the owner for silent is for
 * the write that was begun last, for file systems that keep times in steps of two seconds, and for clocks of two
 * machines that differ.
 */
export const HELD_MS = STALE_MS - 3000;

/**
 * The heartbeat of one owner, and what it proves: an owner that has beaten lately is left its directory.
 *
 * Its age is counted from when the last successful beat began, on a clock that only goes forward. A beat that is late,
 * or takes effect late, must not revive the ownership, because an opener may have seen the silence before it.
 */
export class Heartbeat {
  readonly #directory: string;
  readonly #owner: LockOwner;
  readonly #onLost: (cause: Error) => void;
  readonly #now: () => number;
  #state: 'starting' | 'held' | 'lost' | 'ended' = 'starting';
  #time = new Date();
  #lastBegan: number;
  /** Why the last beat failed, if it did. */
  #failure: unknown;
  #loss: Error | undefined;
  #beating: Promise<unknown> = Promise.resolve();

  /** To be made before the owner's record is, whose time is the first sign of life. */
  constructor(directory: string, owner: LockOwner, onLost: (cause: Error) => void, now: () => number) {
    this.#directory = directory;
    this.#owner = owner;
    this.#onLost = onLost;
    this.#now = now;
    this.#lastBegan = now();
  }

  /** The time that was set last, or was to be. */
  get time(): Date {
    return this.#time;
  }

  isHeld(): boolean {
    this.#noticeSilence();
    return this.#state === 'held';
  }

  /**
   * Sets the heartbeat to `time`. Rejects once the directory is lost. Until then a failure is no loss, as the next beat
   * may succeed; but the first one has to.
   */
  async beat(time: Date): Promise<void> {
    if (this.#state === 'ended') return;
    this.#noticeSilence();
    this.#assertNotLost();
    this.#time = time;
    const began = this.#now();
    const beating = setBeat(this.#directory, this.#owner, time);
    this.#beating = beating.catch(() => undefined);
    await beating.then(() => this.#succeeded(began), (error: unknown) => this.#failed(error));
    this.#assertNotLost();
  }

  /** Resolves when no beat is under way; there will be none any more. */
  async end(): Promise<void> {
    this.#state = 'ended';
    await this.#beating;
  }

  #succeeded(began: number): void {
    this.#failure = undefined;
    this.#noticeSilence();
    if (this.#state === 'lost' || this.#state === 'ended') return;
    this.#lastBegan = began;
    this.#state = 'held';
  }

  #failed(error: unknown): void {
    this.#failure = error;
    if (hasCode(error, 'ENOENT')) this.#lose();
    else if (this.#state === 'starting') throw error;
    else this.#noticeSilence();
  }

  #noticeSilence(): void {
    if (this.#now() - this.#lastBegan > HELD_MS) this.#lose();
  }

  #lose(): void {
    if (this.#state === 'lost' || this.#state === 'ended') return;
    const loss = this.#state === 'starting' ? lockedError(this.#directory, undefined) : this.#lossError();
    this.#loss = loss;
    if (this.#state === 'held') {
      // Not within the question whether it is held, which may be asked in the middle of anything.
      queueMicrotask(() => {
        if (this.#state === 'lost') this.#onLost(loss);
      });
    }
    this.#state = 'lost';
  }

  #assertNotLost(): void {
    if (this.#loss !== undefined) throw this.#loss;
  }

  #lossError(): Error {
    const message = `the heartbeat in ${this.#directory} was not renewed in time, or the directory was taken`;
    // By this code proper-lockfile stops beating.
    return Object.assign(new Error(message, { cause: this.#failure }), { code: 'ENOENT' });
  }
}
