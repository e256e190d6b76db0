import { offAbort, onAbort } from '../../base/abort.js';
import { entryLength } from '../../format/segment-format.js';
import type { Request } from './append.js';
import type { OpenEntry } from './open-entry.js';

const EMPTY_ENTRY_LENGTH = entryLength(0, 0);

/** Hears of an entry in pieces that has the write slot, or why it cannot have it. */
export interface BeginWaiter {
  begun(entry: OpenEntry): void;
  refused(error: unknown): void;
}

/** From where entries are written, one at a time. */
export interface WriteSlot {
  takeSlot(isComplete: boolean): OpenEntry;
}

/** The beginning of an entry in pieces, which waits for the write slot. */
export class EntryBegin implements Request {
  readonly isComplete: boolean;
  readonly #slot: WriteSlot;
  readonly #waiter: BeginWaiter;
  #signal: AbortSignal | undefined;
  #abort: (() => void) | undefined;

  constructor(slot: WriteSlot, isComplete: boolean, waiter: BeginWaiter) {
    this.#slot = slot;
    this.isComplete = isComplete;
    this.#waiter = waiter;
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
      this.#waiter.refused(signal.reason);
    };
    onAbort(signal, this.#abort);
  }

  writeTo(): void {
    const entry = this.#slot.takeSlot(this.isComplete);
    this.#stay();
    this.#waiter.begun(entry);
  }

  refuse(error: unknown): void {
    this.#stay();
    this.#waiter.refused(error);
  }

  #stay(): void {
    if (this.#abort !== undefined) offAbort(this.#signal, this.#abort);
  }
}
