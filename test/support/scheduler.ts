import { nextTick } from 'node:process';
import type { Random } from './random.js';

/** A promise that no runnable operation and no timer can settle any more. */
export class HangError extends Error {
  /** Tells it from other errors where `instanceof` does not. */
  override readonly name = 'HangError';
}

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** Event-loop turns without any activity after which nothing is expected to happen any more. */
const QUIET_TURNS = 3;
/** What follows it runs as a microtask, at a fraction of what `queueMicrotask` costs. */
const MICROTASK = Promise.resolve();
/** Timers fired while one promise is waited for, beyond which it is taken to wait for ever. */
const MAX_TIMERS_FIRED = 2_000;

/**
 * Decides which of the operations in progress finishes next. An operation finishes only when the
 * program under test has nothing left to do at once, so everything it can have in progress side by
 * side is in progress side by side. Timers run on a clock that moves only when nothing else can.
 *
 * No real timer is involved: a run is as fast as the machine, and the same on every machine.
 */
export class Scheduler {
  /** The simulated time in milliseconds. */
  now = 0;
  /** Operations finished so far. */
  steps = 0;
  readonly #random: Random | undefined;
  readonly #runnable: (() => void)[] = [];
  readonly #timers = new Set<Timer>();
  readonly #watchers = new Set<(reason: HangError) => void>();
  #pumping = false;
  #checking = false;
  #quietTurns = 0;
  #stepsAtLastTurn = 0;
  #timersFired = 0;

  /** Without `random`, operations finish in the order in which they were started. */
  constructor(random?: Random) {
    this.#random = random;
  }

  /** Lets `finish` run at some later moment, in any order among the others. */
  enqueue(finish: () => void): void {
    this.#runnable.push(finish);
    if (this.#pumping) return;
    this.#pumping = true;
    void MICROTASK.then(this.#pumpWhenNothingElseRuns);
  }

  /** Calls `run` after `milliseconds` of simulated time; returns what cancels it. */
  setTimer(run: () => void, milliseconds: number): () => void {
    const timer: Timer = { at: this.now + milliseconds, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Forgets every timer, as the end of the process does. */
  clearTimers(): void {
    this.#timers.clear();
  }

  /** The process ends: nothing that was in progress finishes, and nobody waits for it any more. */
  end(): void {
    this.clearTimers();
    this.#runnable.length = 0;
    this.#watchers.clear();
  }

  /** Settles as `promise` does, or rejects with a HangError once nothing can settle it any more. */
  settled<T>(promise: Promise<T>, what: string): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const onHang = (reason: HangError): void => {
        reason.message = `${what} never settled: ${reason.message}`;
        reject(reason);
      };
      this.#watchers.add(onHang);
      this.#timersFired = 0;
      this.#checkForHangs();
      const forgetting = <A>(settle: (outcome: A) => void) => (outcome: A): void => {
        this.#watchers.delete(onHang);
        settle(outcome);
      };
      promise.then(forgetting(resolve), forgetting(reject));
    });
  }

  /** Lets up to about `count` operations finish. */
  async advance(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await new Promise<void>((resolve) => queueMicrotask(() => nextTick(resolve)));
    }
  }

  /** Resolves when no operation is in progress and none follows; timers are left alone. */
  async idle(): Promise<void> {
    let quiet = 0;
    while (quiet < QUIET_TURNS) {
      const steps = this.steps;
      await new Promise((resolve) => setImmediate(resolve));
      quiet = this.#runnable.length > 0 || steps !== this.steps ? 0 : quiet + 1;
    }
  }

  /** Advances the clock to the next timer and runs it. False if there is none. */
  fireNextTimer(): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer;
    if (next === undefined) return false;
    this.#timers.delete(next);
    this.now = Math.max(this.now, next.at);
    next.run();
    return true;
  }

  // A tick runs only when the queue of microtasks has drained, but a tick asked for within a tick
  // runs before it: hence the microtask in between.
  readonly #pumpWhenNothingElseRuns = (): void => nextTick(this.#pump);

  readonly #pump = (): void => {
    const index = this.#random === undefined ? 0 : this.#random.below(this.#runnable.length);
    // Mostly there is only the one.
    const finish = this.#runnable.length === 1 ? this.#runnable.pop() : this.#runnable.splice(index, 1)[0];
    this.steps++;
    finish?.();
    if (this.#runnable.length > 0) void MICROTASK.then(this.#pumpWhenNothingElseRuns);
    else this.#pumping = false;
  };

  #checkForHangs(): void {
    this.#quietTurns = 0;
    if (this.#checking) return;
    this.#checking = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    if (this.#watchers.size === 0) {
      this.#checking = false;
      return;
    }
    const active = this.#runnable.length > 0 || this.steps !== this.#stepsAtLastTurn;
    this.#quietTurns = active ? 0 : this.#quietTurns + 1;
    this.#stepsAtLastTurn = this.steps;
    if (this.#quietTurns >= QUIET_TURNS) this.#nothingRuns();
    setImmediate(this.#turn);
  };

  #nothingRuns(): void {
    this.#quietTurns = 0;
    if (this.#timersFired++ < MAX_TIMERS_FIRED && this.fireNextTimer()) return;
    for (const hang of this.#watchers) hang(new HangError('no operation and no timer is left that could settle it'));
    this.#watchers.clear();
  }
}
