/** An archive that a test writes slot by slot, without a log. */
import { gzipSync } from 'node:zlib';
import { directoryStore } from '../../src/archive/directory-store.js';
import { EntriesEncoder, type EntryToArchive } from '../../src/archive/entries-format.js';
import { EMPTY_INDEX, type ArchiveIndex, type Run } from '../../src/archive/index-format.js';
import type { ObjectStore } from '../../src/archive/object-store.js';
import { encodeForRun, encodeSlot, hashOf, type Part } from '../../src/archive/slot-format.js';
import { getSlot, type SlotStore } from '../../src/archive/slot-store.js';
import { Slots } from '../../src/archive/slots.js';
import { MemoryFileManager } from '../../src/index.js';

export const PREFIX = 'orders/1';
export const LOG_ID = '5a0e7e0c-3d7b-4c59-9d5a-2f6f0a4f1d11';

/** Chunks as text; the entries of a batch are in one array. */
export type Batch = readonly (readonly string[])[];

export class ArchiveFixture {
  readonly store: ObjectStore;
  readonly at: SlotStore;
  /** What the slots that come say of the time. */
  time = 0;
  /** How many bytes a part has; undefined: bodies are in their slots. */
  partBytes: number | undefined;
  compress: 'gzip' | undefined;
  versionInfo: Uint8Array = new Uint8Array();
  #slots: Slots | undefined;
  #index: ArchiveIndex = EMPTY_INDEX;
  #nextId: number;
  #objects = 0;

  constructor(store: ObjectStore = directoryStore('/archive', new MemoryFileManager()), nextId = 1) {
    this.store = store;
    this.at = { store, prefix: PREFIX, signal: new AbortController().signal };
    this.#nextId = nextId;
  }

  /** Begins an epoch. */
  async open(writer: string): Promise<void> {
    const by = { logId: LOG_ID, writer, now: () => this.time };
    this.#slots = await Slots.open(this.at, by, { firstId: this.#nextId, check: async () => undefined });
  }

  get slot(): number {
    return this.#opened.slot;
  }

  /** Adds a slot with these batches. `skip` ids are passed over before them. */
  async append(batches: readonly Batch[], skip = 0): Promise<void> {
    this.#nextId += skip;
    const encoder = new EntriesEncoder();
    const bytes: Uint8Array[] = [];
    for (const batch of batches) {
      for (const [i, chunks] of batch.entries()) {
        bytes.push(encoder.encodeInMemory(this.#entry(chunks, i === batch.length - 1)) ?? new Uint8Array());
      }
    }
    const whole = Buffer.concat(bytes);
    const { compress, partBytes } = this;
    const parts = partBytes === undefined ? undefined : await this.#store(whole, partBytes, 'runs');
    const body = parts !== undefined ? new Uint8Array() : compress === undefined ? whole : gzipSync(whole);
    const format = { ...compress && { compress }, ...parts && { parts } };
    await this.#opened.append({ lastId: this.#nextId - 1, lastHash: hashOf(whole), body, ...format });
  }

  /** Merges all slots into one run, and deletes them. */
  async merge(): Promise<void> {
    const { begin, slot: lastSlot } = this.#opened;
    const pieces: Uint8Array[] = [];
    let [firstId, lastId, time] = [Infinity, 0, 0];
    for (let slot = begin; slot <= lastSlot; slot++) {
      const found = await getSlot(this.at, slot);
      if (found === undefined) throw new Error(`slot ${slot} is missing`);
      pieces.push(encodeForRun(encodeSlot(found, found.body), found));
      ({ lastId, time } = found);
      firstId = Math.min(firstId, found.firstId);
    }
    const [part] = await this.#store(Buffer.concat(pieces), Infinity, 'runs', false);
    const run: Run = { ...part, firstSlot: begin, lastSlot, firstId, lastId, time, parts: [] };
    await this.#changeIndex({ ...this.#index, runs: [...this.#index.runs, run] }, lastSlot + 1);
  }

  /** Adds a snapshot, and drops all runs. */
  async snapshot(lastId: number, state: string, dropsRuns = true): Promise<void> {
    const parts = await this.#store(Buffer.from(state), 10, 'snapshots');
    const { compress } = this;
    const snapshot = { lastId, time: this.time, parts, ...compress && { compress } };
    const runs = dropsRuns ? [] : this.#index.runs;
    await this.#changeIndex({ runs, snapshots: [...this.#index.snapshots, snapshot] }, this.#opened.begin);
    if (!dropsRuns) return;
    for await (const key of this.store.list(`${PREFIX}/runs/`, this.at)) await this.store.delete([key], this.at);
  }

  /** The keys of all objects below the prefix. */
  async keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const key of this.store.list(`${PREFIX}/`, this.at)) keys.push(key);
    return keys;
  }

  /** Puts other bytes into an object. */
  async replace(key: string, change: (bytes: Buffer) => Uint8Array): Promise<void> {
    const bytes = change(Buffer.from(await this.store.get(key, this.at) ?? []));
    await this.store.delete([key], this.at);
    await this.store.create(key, bytes, this.at);
  }

  get #opened(): Slots {
    if (this.#slots === undefined) throw new Error('it has not been opened');
    return this.#slots;
  }

  async #changeIndex(index: ArchiveIndex, begin: number): Promise<void> {
    await this.#opened.appendIndex(begin, index);
    this.#index = index;
    await this.#opened.deleteBefore(begin, new Set());
  }

  async #store(bytes: Uint8Array, length: number, folder: string, compresses = true): Promise<Part[]> {
    const parts: Part[] = [];
    for (let at = 0; at < bytes.length; at += length) {
      const piece = bytes.subarray(at, at + length);
      const body = this.compress !== undefined && compresses ? gzipSync(piece) : piece;
      const key = `${folder}/${String(++this.#objects).padStart(4, '0')}`;
      await this.store.create(`${PREFIX}/${key}`, body, this.at);
      parts.push({ key, length: body.length, hash: hashOf(body) });
    }
    return parts;
  }

  #entry(texts: readonly string[], endsBatch: boolean): EntryToArchive {
    const chunks = texts.map((text) => Buffer.from(text));
    const { versionInfo } = this;
    return {
      id: this.#nextId++, endsBatch, segment: { versionInfo }, chunksInMemory: () => chunks,
      async *[Symbol.asyncIterator]() { /* it is in memory */ },
    };
  }
}
