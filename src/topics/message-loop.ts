import { offAbort, onAbort } from '../base/abort.js';
import type { Message } from './message.js';

/** What a loop over a group's messages needs of the group. */
export interface LoopSource {
  /** Called before the first message. Throws if there may be no such loop now. */
  begin(): void;
  /** Called once after a successful `begin`. */
  end(): void;
  /** Waits for one message. */
  take(signal: AbortSignal): Promise<readonly Message[]>;
  /** Whether all is closed, so that the loop just ends. */
  isClosed(): boolean;
}

/** Hands out the messages of a group one at a time. It can be ended while it waits for the next. */
export class MessageLoop implements AsyncIterableIterator<Message> {
  readonly #source: LoopSource;
  readonly #signal: AbortSignal | undefined;
  readonly #ending = new AbortController();
  #state: 'new' | 'running' | 'done' = 'new';

  constructor(source: LoopSource, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Message, undefined>> {
    try {
      this.#signal?.throwIfAborted();
      if (this.#state === 'new') this.#begin();
      if (this.#state === 'running' && !this.#source.isClosed()) {
        const [message] = await this.#source.take(this.#ending.signal);
        if (message !== undefined) return { done: false, value: message };
      }
    } catch (error) {
      const wasEnded = this.#state === 'done' && this.#signal?.aborted !== true;
      this.#end();
      if (!wasEnded && !this.#source.isClosed()) throw error;
    }
    this.#end();
    return { done: true, value: undefined };
  }

  /** Ends the loop, also for a `next` that is waiting. */
  async return(): Promise<IteratorResult<Message, undefined>> {
    this.#end();
    return { done: true, value: undefined };
  }

  readonly #onAbort = (): void => this.#ending.abort(this.#signal?.reason);

  #begin(): void {
    this.#source.begin();
    this.#state = 'running';
    onAbort(this.#signal, this.#onAbort);
  }

  #end(): void {
    const wasRunning = this.#state === 'running';
    this.#state = 'done';
    if (!wasRunning) return;
    offAbort(this.#signal, this.#onAbort);
    this.#source.end();
    this.#ending.abort();
  }
}
