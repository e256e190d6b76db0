import type { WalError } from '../../base/errors.js';
import type { ChunkRecord, CommittedEntry, EntryData } from '../../model/entry.js';
import type { CommitWaiter, SegmentEncoder } from '../../segment/segment-encoder.js';

/** Somebody who wants the writer's place. */
export interface Request {
  /** The bytes it will write at least. */
  readonly length: number;
  /** Whether it is carried out although the log is being shut down: it needs nothing more from its caller. */
  readonly isComplete: boolean;
  start(): void;
  refuse(error: WalError): void;
}

/** Where an append is written when its turn has come. */
export interface AppendTarget {
  write(append: EntryAppend | BatchAppend): void;
}

/** Where ids come from. */
export interface IdSource {
  nextId: number;
}

/** Stands in for data that has been copied, so that it can be collected while the entries are on their way. */
const NO_CHUNKS: readonly Uint8Array[] = [];
const NO_ENTRIES: readonly EntryData[] = [];

/** What both kinds of append have in common: they need nothing more from their caller, and are never given up. */
abstract class Append<Result> implements Request, CommitWaiter {
  constructor(
    readonly target: AppendTarget,
    readonly length: number,
    readonly isDurable: boolean,
    readonly resolve: (result: Result) => void,
    readonly reject: (error: WalError) => void,
  ) {}

  get isComplete(): boolean {
    return true;
  }

  abstract start(): void;

  abstract committed(): void;

  failed(error: WalError): void {
    this.reject(error);
  }

  refuse(error: WalError): void {
    this.reject(error);
  }
}

/** A whole entry on its way to the disk. The usual case, and so not a batch of one. */
export class EntryAppend extends Append<CommittedEntry> {
  #data: EntryData;
  #id = 0;
  #chunks: readonly ChunkRecord[] = [];

  constructor(
    target: AppendTarget, data: EntryData, length: number, isDurable: boolean,
    resolve: (entry: CommittedEntry) => void, reject: (error: WalError) => void,
  ) {
    super(target, length, isDurable, resolve, reject);
    this.#data = data;
  }

  start(): void {
    this.target.write(this);
  }

  encode(buffer: SegmentEncoder, ids: IdSource): void {
    this.#id = ids.nextId++;
    buffer.beginEntry(this.#id);
    this.#chunks = encodeChunks(buffer, this.#data);
    this.#data = NO_CHUNKS;
    buffer.endEntry(this.#id, this, this.isDurable);
  }

  committed(): void {
    this.resolve({ id: this.#id, chunks: this.#chunks });
  }
}

/** Whole entries, at least one, on their way to the disk: all or none of them. */
export class BatchAppend extends Append<readonly CommittedEntry[]> {
  #data: readonly EntryData[];
  #entries: readonly CommittedEntry[] = [];

  constructor(
    target: AppendTarget, data: readonly EntryData[], length: number, isDurable: boolean,
    resolve: (entries: readonly CommittedEntry[]) => void, reject: (error: WalError) => void,
  ) {
    super(target, length, isDurable, resolve, reject);
    this.#data = data;
  }

  start(): void {
    this.target.write(this);
  }

  encode(buffer: SegmentEncoder, ids: IdSource): void {
    let id = ids.nextId++;
    buffer.beginEntry(id);
    this.#entries = this.#data.map((data, i) => {
      if (i > 0) {
        id = ids.nextId++;
        buffer.joinEntry(id);
      }
      return { id, chunks: encodeChunks(buffer, data) };
    });
    this.#data = NO_ENTRIES;
    buffer.endEntry(id, this, this.isDurable);
  }

  committed(): void {
    this.resolve(this.#entries);
  }
}

function encodeChunks(buffer: SegmentEncoder, data: EntryData): readonly ChunkRecord[] {
  return data instanceof Uint8Array ? [buffer.writeChunk(data)] : data.map((bytes) => buffer.writeChunk(bytes));
}
