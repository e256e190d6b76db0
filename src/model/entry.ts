import { show } from '../base/bytes.js';
import { WalError } from '../base/errors.js';
import { LogPosition } from './log-position.js';
import { entryLength, MAX_CHUNK_LENGTH } from '../format/segment-format.js';

/**
 * Numbers entries from 1 in the order in which they were begun: a safe integer, never given twice.
 *
 * @example
 * const id: EntryId = (await log.append('hello')).id;
 * console.log(id); // 1
 */
export type EntryId = number;

/**
 * What a chunk may be written from. Strings are stored as UTF-8.
 *
 * @example
 * const chunks: ChunkData[] = ['grün', new Uint8Array([1, 2, 3])];
 * console.log((await log.append(chunks)).chunks.map(({ length }) => length)); // [ 5, 3 ]
 */
export type ChunkData = Uint8Array | string;

/**
 * A chunk that has been written.
 *
 * @example
 * const index = new Map<string, ChunkRecord>();
 * const { chunks } = await log.append('hello');
 * index.set('greeting', chunks[0]);
 * console.log(index.get('greeting')?.length); // 5
 */
export interface ChunkRecord {
  /** Where it can be read once its entry is durable. */
  readonly position: LogPosition;
  /**
   * The checksum stored with it. It covers the position and the length too, so it is not the CRC-32 of the data alone.
   */
  readonly crc: number;
  /** The length of its data in bytes. */
  readonly length: number;
}

/**
 * An entry that was committed: durable, unless the log or its caller asked for less.
 *
 * @example
 * const entry: CommittedEntry = await log.append(['a', 'b']);
 * console.log(entry.id, entry.chunks.length); // 1 2
 */
export interface CommittedEntry {
  /** Its number. */
  readonly id: EntryId;
  /** Its chunks, in the order in which they were given. */
  readonly chunks: readonly ChunkRecord[];
}

/**
 * What a single commit asks for.
 *
 * @example
 * await log.append('in order, and durable with whatever comes next', { durable: false });
 * await log.append('durable, and all before it');
 */
export interface CommitOptions {
  /** Whether to wait until the entry is durable, rather than handed to the operating system. Default: by `sync`. */
  readonly durable?: boolean;
}

/**
 * What a single commit asks for, and what is called when it is done.
 *
 * @example
 * const state = new Map<string, string>();
 * const set = (key: string, value: string) => log.append([key, value], { onCommitted: () => state.set(key, value) });
 * await Promise.all([set('color', 'red'), set('color', 'blue')]);
 * console.log(state.get('color')); // blue
 */
export interface AppendOptions<Committed = unknown> extends CommitOptions {
  /**
   * Called with what the promise will resolve with, once the commit is as safe as was asked for, and before its promise
   * resolves. These calls come in the order of the ids, whatever the promises do, each after those of all entries
   * before it: what is applied here is applied in the order in which it will be recovered. Must be synchronous: a
   * promise is not awaited. If it throws, this commit's promise rejects with that, although the entry is committed;
   * nothing else is concerned.
   */
  readonly onCommitted?: (this: void, committed: Committed) => unknown;
}

export type OnCommitted<Committed> = NonNullable<AppendOptions<Committed>['onCommitted']>;

/** The bytes of `data`, without a copy where they are bytes already. Throws a TypeError for any other type. */
export function chunkBytes(data: ChunkData): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  if (data instanceof Uint8Array) return data;
  throw new TypeError(`chunk data must be a Uint8Array or a string, not ${show(data)}`);
}

/** Throws `WAL_TOO_LARGE` for a chunk whose length the format cannot state. */
export function assertChunkLength(length: number): void {
  if (length <= MAX_CHUNK_LENGTH) return;
  throw new WalError('WAL_TOO_LARGE', `a chunk has at most ${MAX_CHUNK_LENGTH} bytes, not ${length}`);
}

/** The data of a whole entry: one chunk as it is, since an array around it would be felt, or any number of them. */
export type EntryData = Uint8Array | readonly Uint8Array[];

/** What `data` stands for. Throws a TypeError for anything but chunk data or an array of it. */
export function entryData(data: ChunkData | readonly ChunkData[]): EntryData {
  return Array.isArray(data) ? Array.from(data, chunkBytes) : chunkBytes(data as ChunkData);
}

/** The bytes an entry takes in its segment. Throws `WAL_TOO_LARGE` if one of its chunks is too long. */
export function entryDataLength(data: EntryData): number {
  if (data instanceof Uint8Array) {
    assertChunkLength(data.length);
    return entryLength(1, data.length);
  }
  let dataLength = 0;
  for (const chunk of data) {
    assertChunkLength(chunk.length);
    dataLength += chunk.length;
  }
  return entryLength(data.length, dataLength);
}

/** Throws a TypeError or RangeError for what cannot be an entry's id. */
export function assertId(name: string, id: unknown): void {
  if (typeof id !== 'number') throw new TypeError(`${name} must be a number, not ${show(id)}`);
  if (!Number.isSafeInteger(id) || id < 0) throw new RangeError(`${name} must be an integer from 0, not ${id}`);
}

/** Throws a TypeError or RangeError for what no iteration can begin with. */
export function assertFrom(from: unknown): asserts from is EntryId | LogPosition | undefined {
  if (from === undefined || from instanceof LogPosition) return;
  if (typeof from !== 'number') throw new TypeError(`from must be an entry id or a LogPosition, not ${show(from)}`);
  assertId('from', from);
}

/** Throws for anything but a boolean, and for both at once: what is to come has no last entry to begin with. */
export function assertDirection(follow: unknown, reverse: unknown): void {
  if (typeof follow !== 'boolean') throw new TypeError(`follow must be a boolean, not ${show(follow)}`);
  if (typeof reverse !== 'boolean') throw new TypeError(`reverse must be a boolean, not ${show(reverse)}`);
  if (follow && reverse) throw new RangeError('follow and reverse exclude each other');
}

/** For an id that no entry has yet, nor the next one will have. */
export function futureError(name: string, id: EntryId, nextId: EntryId): WalError {
  return new WalError('WAL_OUT_OF_RANGE', `${name} is ${id}, but the next entry will be ${nextId}`);
}
