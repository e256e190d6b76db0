import type { EntryId } from '../index.js';

/** Keeps the entries of the latest messages in memory, for those who are about to read them. */
export class RecentMessages {
  readonly #maxBytes: number;
  readonly #entries = new Map<EntryId, Buffer>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(id: EntryId): Buffer | undefined {
    return this.#entries.get(id);
  }

  add(id: EntryId, bytes: Buffer): void {
    this.#entries.set(id, bytes);
    this.#bytes += bytes.length;
    if (this.#bytes <= this.#maxBytes) return;
    for (const [oldest, { length }] of this.#entries) {
      this.#entries.delete(oldest);
      this.#bytes -= length;
      // Some at once: to look for the oldest one takes time.
      if (this.#bytes <= this.#maxBytes * 0.9) break;
    }
  }
}
