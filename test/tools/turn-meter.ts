/**
 * Counts turns of the event loop, and what happens within each: for tests of work that must not hold the loop. Does not
 * keep the process alive.
 */
export class TurnMeter implements Disposable {
  /** How many turns have begun since the meter was made. */
  turns = 0;
  /** The most hits within one turn so far. */
  most = 0;
  #hits = 0;
  #next: NodeJS.Immediate;

  constructor() {
    this.#next = setImmediate(this.#onTurn).unref();
  }

  /** To be called once for each thing that is handled. */
  hit(): void {
    this.#hits++;
    this.most = Math.max(this.most, this.#hits);
  }

  stop(): void {
    clearImmediate(this.#next);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  readonly #onTurn = (): void => {
    this.turns++;
    this.#hits = 0;
    this.#next = setImmediate(this.#onTurn).unref();
  };
}
