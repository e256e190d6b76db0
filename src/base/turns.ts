/** What may be done within one turn of the event loop, as bytes that are checksummed and copied: about 2 ms. */
const TURN_BYTES = 4 * 1024 * 1024;

/** What one item costs besides its bytes, as bytes: 1024 items, of any length, fill a turn. */
const ITEM_BYTES = 4 * 1024;

/**
 * Keeps long work over things in memory from holding the event loop. An `await` that is already settled runs in the
 * same turn, so a loop over a million of them lets no timer and no socket in. Every loop whose length depends on the
 * data therefore counts what it handles, and awaits `nextTurn` when a turn's share is used up:
 *
 *     const turn = new TurnBudget();
 *     for (const item of items) {
 *       handle(item);
 *       if (turn.spend(item.length)) await turn.nextTurn();
 *     }
 *
 * Work is counted rather than timed, so that the same work yields at the same places in every run.
 */
export class TurnBudget {
  #left = TURN_BYTES;

  /** Counts one item of `bytes` bytes. Returns whether this turn's share is used up. */
  spend(bytes: number): boolean {
    this.#left -= ITEM_BYTES + bytes;
    return this.#left <= 0;
  }

  /** Whether this turn's share is used up. */
  get isSpent(): boolean {
    return this.#left <= 0;
  }

  /** Resolves in a later turn of the event loop, after the timers and the I/O that are due. */
  nextTurn(): Promise<void> {
    this.#left = TURN_BYTES;
    return new Promise((resolve) => setImmediate(resolve));
  }
}
