import path from 'node:path';
import { Serial } from '../base/async.js';
import { toWalError, WalError } from '../base/errors.js';
import { decodeHolds, encodeHolds, type StoredHold } from '../contracts/holds-format.js';
import type { EntryId } from '../contracts/entry.js';
import { HOLDS_FILE_NAME, NEW_HOLDS_FILE_NAME } from '../contracts/segment-name.js';
import type { FileManager } from '../files/file-manager.js';
import { readFully, writeFully } from '../files/transfer.js';
import type { Segment } from '../segment/segment.js';
import type { DirectorySync } from './directory-sync.js';

export interface HoldsEvents {
  /** Somebody wants less than before. */
  onLess(): void;
  /** A hold has kept more than it may. */
  onBroken(name: string, from: EntryId, retainedBytes: number): void;
}

/**
 * Who wants to read entries that are checkpointed, by name. What they want is durable, and so is up to where the log
 * is checkpointed while somebody wants more: without holds there is no such file.
 */
export class Holds {
  readonly #fileManager: FileManager;
  readonly #directory: string;
  readonly #directorySync: DirectorySync;
  readonly #events: HoldsEvents;
  readonly #holds = new Map<string, StoredHold>();
  readonly #serial = new Serial();
  #checkpointedId: EntryId = 0;

  constructor(fileManager: FileManager, directory: string, directorySync: DirectorySync, events: HoldsEvents) {
    this.#fileManager = fileManager;
    this.#directory = directory;
    this.#directorySync = directorySync;
    this.#events = events;
  }

  /** Reads what is stored. */
  async load(): Promise<void> {
    const stored = decodeHolds(await this.#read());
    if (stored === undefined) throw new WalError('WAL_CORRUPT', `${HOLDS_FILE_NAME} is damaged`);
    this.#checkpointedId = stored.checkpointedId;
    for (const hold of stored.holds) this.#holds.set(hold.name, hold);
  }

  /** Entries up to here were safe outside when the log was opened. */
  get checkpointedId(): EntryId {
    return this.#checkpointedId;
  }

  get(name: string): StoredHold | undefined {
    return this.#holds.get(name);
  }

  [Symbol.iterator](): Iterator<StoredHold> {
    return this.#holds.values();
  }

  /** The lowest id that is held; Infinity if none is. */
  get lowestId(): number {
    const ids = [...this.#holds.values()].map(({ from, isBroken }) => (isBroken ? Infinity : from));
    return Math.min(Infinity, ...ids);
  }

  /** The names of the holds that want entries of `segment`. */
  namesWanting(segment: Segment): string[] {
    const wanting = [...this.#holds.values()].filter(({ from, isBroken }) => !isBroken && from <= segment.lastId);
    return wanting.map(({ name }) => name);
  }

  wants(segment: Segment): boolean {
    return segment.lastId >= this.lowestId;
  }

  /** Adds or changes a hold. Resolves when that is durable. */
  async set(hold: StoredHold): Promise<void> {
    const before = this.#holds.get(hold.name);
    this.#holds.set(hold.name, hold);
    try {
      await this.#store();
    } catch (error) {
      // Unless it was broken meanwhile, which must stay so.
      if (this.#holds.get(hold.name) === hold) {
        if (before === undefined) this.#holds.delete(hold.name);
        else this.#holds.set(hold.name, before);
      }
      throw error;
    }
    this.#events.onLess();
  }

  /** Removes a hold. Resolves when that is durable. */
  async delete(name: string): Promise<void> {
    const before = this.#holds.get(name);
    if (before === undefined) return;
    this.#holds.delete(name);
    try {
      await this.#store();
    } catch (error) {
      this.#holds.set(name, before);
      throw error;
    }
    this.#events.onLess();
  }

  async checkpointed(id: EntryId): Promise<void> {
    this.#checkpointedId = Math.max(this.#checkpointedId, id);
    await this.#store();
  }

  /** Breaks the holds that keep more than they may of `segments`, which are checkpointed. */
  async breakThoseAbove(segments: readonly Segment[], bytesOf: (segment: Segment) => number): Promise<void> {
    for (const name of [...this.#holds.keys()]) {
      // It may have changed while another one was stored.
      const hold = this.#holds.get(name);
      if (hold === undefined || hold.isBroken) continue;
      let retained = 0;
      for (const segment of segments) if (segment.lastId >= hold.from) retained += bytesOf(segment);
      if (retained <= hold.maxBytes) continue;
      // In force at once, whether it can be stored or not: the disk must not fill up.
      this.#holds.set(name, { ...hold, isBroken: true });
      this.#events.onBroken(name, hold.from, retained);
      this.#events.onLess();
      await this.#store();
    }
  }

  /** Writes a new file beside the old one and puts it in its place. */
  #store(): Promise<void> {
    return this.#serial.run(async () => {
      const target = path.join(this.#directory, HOLDS_FILE_NAME);
      const fresh = path.join(this.#directory, NEW_HOLDS_FILE_NAME);
      const holds = [...this.#holds.values()];
      try {
        // A crash can leave this name beside the other one, for the same file, which must not be written in place.
        await this.#fileManager.remove(fresh).catch((error: unknown) => {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        });
        const file = await this.#fileManager.open(fresh, { access: 'create' });
        try {
          await writeFully(file, [encodeHolds({ checkpointedId: this.#checkpointedId, holds })], 0);
          await file.sync();
        } finally {
          await file.close();
        }
        await this.#fileManager.rename(fresh, target);
        await this.#directorySync.sync();
      } catch (error) {
        throw toWalError(error, `${HOLDS_FILE_NAME} cannot be written`);
      }
    });
  }

  async #read(): Promise<Buffer> {
    const file = await this.#fileManager.open(path.join(this.#directory, HOLDS_FILE_NAME), { access: 'read' });
    try {
      const bytes = Buffer.alloc(await file.size());
      await readFully(file, bytes, 0);
      return bytes;
    } finally {
      await file.close();
    }
  }
}
