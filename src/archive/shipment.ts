import type { EntryId } from '../index.js';
import { EntriesEncoder, type EntryToArchive } from './entries-format.js';
import { EntryHash } from './entry-hash.js';
import { compressBody, PartWriter } from './part-writer.js';
import type { SlotStore } from './slot-store.js';
import type { SlotEntries } from './slots.js';

/** How shipments are stored. */
export interface ShipmentPlan {
  readonly at: SlotStore;
  readonly nextKey: () => string;
  readonly maxBytes: number;
  readonly compress: 'gzip' | undefined;
}

/** The entries that go into one slot. Those that do not fit into it are stored in parts before. */
export class Shipment {
  /** When its first entry was taken from the log. */
  readonly takenAt: number;
  /** How often the log had been truncated when its last entry was read. */
  truncations = 0;
  readonly #plan: ShipmentPlan;
  readonly #encoder = new EntriesEncoder();
  readonly #writer: PartWriter;
  #lastId: EntryId = 0;
  /** The bytes of the last entry, or its hash if it did not fit into memory. */
  #last: Uint8Array | string = '';
  #endsBatch = false;
  #entries = 0;

  constructor(plan: ShipmentPlan, takenAt: number) {
    this.#plan = plan;
    this.takenAt = takenAt;
    this.#writer = new PartWriter(plan.at, plan.nextKey, plan.maxBytes, plan.compress);
  }

  get lastId(): EntryId {
    return this.#lastId;
  }

  get entries(): number {
    return this.#entries;
  }

  /** Whether it ends where a batch does, so that it may end there itself. */
  get isCuttable(): boolean {
    return this.#endsBatch;
  }

  /** Whether it has as many bytes as one may have. */
  get isFull(): boolean {
    return this.#writer.parts.length > 0 || this.#writer.pendingBytes >= this.#plan.maxBytes;
  }

  /** Resolves when the entry is in memory, or in parts. Returns how many bytes it has. */
  async add(entry: EntryToArchive): Promise<number> {
    const whole = this.#encoder.encodeInMemory(entry);
    const bytes = whole === undefined ? await this.#addInPieces(entry) : whole.length;
    if (whole !== undefined) {
      this.#writer.add(whole);
      this.#last = whole;
    }
    this.#lastId = entry.id;
    this.#endsBatch = entry.endsBatch;
    this.#entries++;
    if (!this.#endsBatch || this.#writer.parts.length > 0) await this.#writer.spill();
    return bytes;
  }

  /** Stores what has to be stored before its slot, and resolves with what goes into that. */
  async finish(): Promise<SlotEntries> {
    const { compress } = this.#plan;
    const entries = { lastId: this.#lastId, lastHash: this.#lastHash(), ...(compress && { compress }) };
    const hasParts = this.#writer.parts.length > 0;
    if (hasParts) return { ...entries, body: new Uint8Array(), parts: await this.#writer.finish() };
    return { ...entries, body: await compressBody(this.#writer.take(), compress) };
  }

  async #addInPieces(entry: EntryToArchive): Promise<number> {
    const hash = new EntryHash();
    let bytes = 0;
    for await (const piece of this.#encoder.encode(entry)) {
      hash.update(piece);
      bytes += piece.length;
      this.#writer.add(Buffer.from(piece));
      await this.#writer.spill();
    }
    this.#last = hash.digest();
    return bytes;
  }

  #lastHash(): string {
    if (typeof this.#last === 'string') return this.#last;
    const hash = new EntryHash();
    hash.update(this.#last);
    return hash.digest();
  }
}
