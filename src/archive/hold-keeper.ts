import type { Environment } from '../base/environment.js';
import type { EntryId, Hold, WriteAheadLog } from '../index.js';

/** A hold is a file that is written and synced beside the commits. */
const EVERY_MS = 1000;

/** Lets the log free what is archived, a step at a time. */
export class HoldKeeper {
  readonly #log: WriteAheadLog;
  readonly #environment: Environment;
  #hold: Hold;
  #advancing: Promise<void> = Promise.resolve();
  #isAdvancing = false;
  #advancedAt: number;

  constructor(log: WriteAheadLog, hold: Hold, environment: Environment) {
    this.#log = log;
    this.#hold = hold;
    this.#environment = environment;
    this.#advancedAt = environment.now();
  }

  /** The archive has all entries up to `id`. That one is kept: the next opening compares it. */
  advance(id: EntryId): void {
    const now = this.#environment.now();
    if (this.#isAdvancing || now - this.#advancedAt < EVERY_MS) return;
    this.#advancedAt = now;
    this.#isAdvancing = true;
    this.#advancing = this.#advance(id).finally(() => (this.#isAdvancing = false));
  }

  async close(id: EntryId): Promise<void> {
    await this.#advancing;
    await this.#advance(id);
  }

  async #advance(id: EntryId): Promise<void> {
    try {
      if (!this.#hold.isBroken) await this.#hold.advance(Math.max(id, this.#hold.from));
      // What is needed next may still be there. If not, shipping ends with a gap.
      else this.#hold = await this.#log.hold(this.#hold.name, { from: id });
    } catch {
      // The log says itself what is wrong with it. The hold stays where it is, or is begun again with the next step.
    }
  }
}
