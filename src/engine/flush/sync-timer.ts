import type { Environment } from '../../base/environment.js';
import type { ResolvedOptions } from '../../model/options.js';

/** With `sync: 'interval'`, calls for a sync some time after something was written without one. */
export class SyncTimer {
  readonly #environment: Environment;
  readonly #milliseconds: number | undefined;
  readonly #onDue: () => void;
  #cancel: (() => void) | undefined;

  constructor(environment: Environment, { sync, syncIntervalMs }: ResolvedOptions, onDue: () => void) {
    this.#environment = environment;
    this.#milliseconds = sync === 'interval' ? syncIntervalMs : undefined;
    this.#onDue = onDue;
  }

  /** Something was written that is not durable. */
  start(): void {
    if (this.#milliseconds === undefined || this.#cancel !== undefined) return;
    this.#cancel = this.#environment.callAfter(this.#milliseconds, () => {
      this.#cancel = undefined;
      this.#onDue();
    });
  }

  /** Everything is durable, or nothing will be any more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
