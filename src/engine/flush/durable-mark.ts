import type { WalError } from '../../base/errors.js';
import { Waiters } from '../../base/waiters.js';
import type { EntryId } from '../../model/entry.js';
import type { Segment } from '../../segment/segment.js';

interface Place {
  readonly segment: Segment;
  readonly offset: number;
}

/** How far the log is durable, by id and by place, and the promises that wait for it to become more. */
export class DurableMark {
  #value: EntryId = 0;
  /** Counts the changes. */
  #version = 0;
  readonly #idWaiters = new Waiters<() => boolean>();
  readonly #placeWaiters = new Waiters<Place>();
  #end: WalError | undefined;

  /** The highest entry id that is durable. */
  get value(): EntryId {
    return this.#value;
  }

  get version(): number {
    return this.#version;
  }

  /** Whether a reader waits for an entry that is not durable yet. */
  get isPlaceAwaited(): boolean {
    return this.#placeWaiters.size > 0;
  }

  /** The log continues after `id`: what was recovered, or what is left after a truncation. */
  set(id: EntryId): void {
    this.#value = id;
    this.#version++;
    if (this.#idWaiters.size > 0) this.#idWaiters.resolve((isMet) => isMet());
  }

  /** Everything in `segment` before `end` is durable; its last entry is `id`. */
  advance(segment: Segment, end: number, id: EntryId): void {
    segment.settleDurable(end);
    if (id > this.#value) this.set(id);
    if (this.isPlaceAwaited) this.#placeWaiters.resolve((place) => place.offset < place.segment.durableEnd);
  }

  /** Resolves when `id` or a higher one is durable. Rejects with the signal's reason, or when that cannot happen. */
  reached(id: EntryId, signal?: AbortSignal): Promise<void> {
    return this.#wait(() => id <= this.#value, signal);
  }

  /** Resolves when there has been a change since `version`. Rejects as `reached` does. */
  changed(version: number, signal: AbortSignal): Promise<void> {
    return this.#wait(() => version !== this.#version, signal);
  }

  /** Resolves when the entry around `offset` is durable, rejects if that can no longer happen. Causes no flush. */
  placeReached(segment: Segment, offset: number, signal?: AbortSignal): Promise<void> {
    return this.#placeWaiters.wait({ segment, offset }, signal);
  }

  /** Bytes from `offset` on were rolled back: rejects those who wait to read them. */
  forget(segment: Segment, offset: number, error: WalError): void {
    this.#placeWaiters.reject(error, (place) => place.segment === segment && place.offset >= offset);
  }

  /** Nothing more becomes durable: rejects everyone who waits for it. */
  end(reason: WalError): void {
    this.#end ??= reason;
    this.#idWaiters.reject(reason);
    this.#placeWaiters.reject(reason);
  }

  async #wait(isMet: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (isMet()) return;
    if (this.#end !== undefined) throw this.#end;
    await this.#idWaiters.wait(isMet, signal);
  }
}
