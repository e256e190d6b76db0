import { offAbort, onAbort } from '../../base/abort.js';
import { entryLength } from '../../format/segment-format.js';
import type { Request } from './append.js';
import type { OpenEntry } from './open-entry.js';

const EMPTY_ENTRY_LENGTH = entryLength(0, 0);

/** From where entries are written, one at a time. */
export interface WriteSlot {
  takeSlot(isComplete: boolean): OpenEntry;
}

/**
 * The beginning of an entry in pieces, which waits for the write slot. Very many may wait, so each is one small object:
 * what is made of the entry for its caller is passed as a function that they share.
 */
export class EntryBegin<Made> implements Request {
  readonly isComplete: boolean;
  readonly #slot: WriteSlot;
  readonly #make: (entry: OpenEntry) => Made;
  readonly #resolve: (made: Made) => void;
  readonly #reject: (error: unknown) => void;
  #signal: AbortSignal | undefined;
  #abort: (() => void) | undefined;

  constructor(
    slot: WriteSlot, isComplete: boolean, make: (entry: OpenEntry) => Made,
    resolve: (made: Made) => void, reject: (error: unknown) => void,
  ) {
    this.#slot = slot;
    this.isComplete = isComplete;
    this.#make = make;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get length(): number {
    return EMPTY_ENTRY_LENGTH;
  }

  /** Once `signal` is aborted, calls `leave` and refuses the entry. */
  leaveOn(signal: AbortSignal, leave: () => void): void {
    signal.throwIfAborted();
    this.#signal = signal;
    this.#abort = () => {
      leave();
      this.#reject(signal.reason);
    };
    onAbort(signal, this.#abort);
  }

  writeTo(): void {
    const entry = this.#slot.takeSlot(this.isComplete);
    this.#stay();
    this.#resolve(this.#make(entry));
  }

  refuse(error: unknown): void {
    this.#stay();
    this.#reject(error);
  }

  #stay(): void {
    if (this.#abort !== undefined) offAbort(this.#signal, this.#abort);
  }
}
