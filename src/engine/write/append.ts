import type { WalError } from '../../base/errors.js';
import { entryDataLength } from '../../model/entry.js';
import type { ChunkRecord, CommittedEntry, EntryData, OnCommitted } from '../../model/entry.js';
import type { CommitWaiter } from '../../segment/commits.js';
import type { SegmentEncoder } from '../../segment/segment-encoder.js';
import type { Rotation } from './rotation.js';

/** Something that waits in line for the write slot. */
export interface Request {
  /** The bytes it will write at least. */
  readonly length: number;
  /** Whether it is carried out although the log is being shut down: it needs nothing more from its caller. */
  readonly isComplete: boolean;
  /**
   * Its turn has come: writes to the active segment. If it throws, whatever it has written is forgotten, and it is
   * refused with the error. `hasWaited`: its caller's memory may have changed since it was submitted.
   */
  writeTo(rotation: Rotation, hasWaited: boolean): void;
  refuse(error: unknown): void;
}

/** These stand in for data that has been copied, so that it can be collected while the entries are on their way. */
const NO_CHUNKS: readonly Uint8Array[] = [];
const NO_ENTRY: CommittedEntry = { id: 0, chunks: [] };
const NO_ENTRIES: readonly EntryData[] = [];

/** What both kinds of append have in common: they need nothing more from their caller, and are never given up. */
abstract class Append<Result> implements Request, CommitWaiter {
  constructor(
    readonly length: number,
    readonly isDurable: boolean,
    readonly resolve: (result: Result) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  get isComplete(): boolean {
    return true;
  }

  abstract writeTo(rotation: Rotation, hasWaited: boolean): void;

  abstract committed(): void;

  failed(error: WalError): void {
    this.reject(error);
  }

  refuse(error: unknown): void {
    this.reject(error);
  }

  /** The room that was asked for is the room that is taken. */
  protected assertLength(length: number): void {
    if (length === this.length) return;
    throw new RangeError(`the data of an append changed before it was written: ${length} bytes, not ${this.length}`);
  }
}

/** A whole entry on its way to the disk. The usual case, and so not a batch of one. */
export class EntryAppend extends Append<CommittedEntry> {
  #data: EntryData;
  protected entry = NO_ENTRY;

  constructor(
    data: EntryData, length: number, isDurable: boolean,
    resolve: (entry: CommittedEntry) => void, reject: (error: unknown) => void,
  ) {
    super(length, isDurable, resolve, reject);
    this.#data = data;
  }

  writeTo(rotation: Rotation, hasWaited: boolean): void {
    const data = this.#data;
    const { encoder } = rotation;
    if (hasWaited) this.assertLength(entryDataLength(data));
    const id = rotation.takeId();
    if (data instanceof Uint8Array) {
      this.entry = { id, chunks: [encoder.writeEntry(id, data, this, this.isDurable)] };
    } else {
      encoder.beginEntry(id);
      this.entry = { id, chunks: encodeChunks(encoder, data) };
      encoder.endEntry(id, this, this.isDurable);
    }
    this.#data = NO_CHUNKS;
  }

  committed(): void {
    this.resolve(this.entry);
  }
}

/** An entry with something to call when it is committed: a class of its own, so that the others carry nothing. */
export class CallingEntryAppend extends EntryAppend {
  readonly #onCommitted: OnCommitted<CommittedEntry>;

  constructor(
    data: EntryData, length: number, isDurable: boolean, onCommitted: OnCommitted<CommittedEntry>,
    resolve: (entry: CommittedEntry) => void, reject: (error: unknown) => void,
  ) {
    super(data, length, isDurable, resolve, reject);
    this.#onCommitted = onCommitted;
  }

  override committed(): void {
    resolveAfter(this.#onCommitted, this.entry, this.resolve, this.reject);
  }
}

/** Whole entries, at least one, on their way to the disk: all or none of them. */
export class BatchAppend extends Append<readonly CommittedEntry[]> {
  #data: readonly EntryData[];
  readonly #onCommitted: OnCommitted<readonly CommittedEntry[]> | undefined;
  #entries: readonly CommittedEntry[] = [];

  constructor(
    data: readonly EntryData[], length: number, isDurable: boolean,
    onCommitted: OnCommitted<readonly CommittedEntry[]> | undefined,
    resolve: (entries: readonly CommittedEntry[]) => void, reject: (error: unknown) => void,
  ) {
    super(length, isDurable, resolve, reject);
    this.#data = data;
    this.#onCommitted = onCommitted;
  }

  writeTo(rotation: Rotation, hasWaited: boolean): void {
    if (hasWaited) this.assertLength(batchLength(this.#data));
    const { encoder } = rotation;
    let id = rotation.takeId();
    encoder.beginEntry(id);
    this.#entries = this.#data.map((data, i) => {
      if (i > 0) {
        id = rotation.takeId();
        encoder.continueBatch(id);
      }
      return { id, chunks: encodeChunks(encoder, data) };
    });
    this.#data = NO_ENTRIES;
    encoder.endEntry(id, this, this.isDurable);
  }

  committed(): void {
    resolveAfter(this.#onCommitted, this.#entries, this.resolve, this.reject);
  }
}

/**
 * Calls `onCommitted`, if there is one, and resolves with `result`. What the call throws rejects its caller's promise,
 * and concerns no other commit.
 */
export function resolveAfter<Result>(
  onCommitted: OnCommitted<Result> | undefined, result: Result,
  resolve: (result: Result) => void, reject: (error: unknown) => void,
): void {
  try {
    onCommitted?.(result);
  } catch (error) {
    reject(error);
    return;
  }
  resolve(result);
}

/** The bytes that the entries of a batch take. */
export function batchLength(batch: readonly EntryData[]): number {
  return batch.reduce((sum, entry) => sum + entryDataLength(entry), 0);
}

function encodeChunks(encoder: SegmentEncoder, data: EntryData): readonly ChunkRecord[] {
  return data instanceof Uint8Array ? [encoder.writeChunk(data)] : data.map((bytes) => encoder.writeChunk(bytes));
}
