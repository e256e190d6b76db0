/** What a simulated disk consists of: files, their names, and changes on their way to the disk. */

import { FileBytes } from './file-bytes.js';

/** What a sync of one file makes durable besides: nothing (`strict`), or all earlier sizes and names (`ordered`). */
export type DiskMode = 'strict' | 'ordered';

/**
 * Which bytes a crash may turn into zeros or garbage: those that a pending write gives another value
 * (`changed`: writing a byte that is there already cannot hurt it), all that it writes (`written`),
 * or every byte of the sectors it touches (`sector`).
 */
export type Damage = 'changed' | 'written' | 'sector';

/** How a disk behaves in a crash. */
export interface DiskTraits {
  /** Default: `strict`. */
  readonly mode: DiskMode;
  /** The unit in which bytes survive. Default: 512. */
  readonly sectorBytes: number;
  /** Default: `written`. */
  readonly damage: Damage;
}

/** What a disk holds, without what is in progress. */
export interface DiskContent {
  readonly directories: ReadonlySet<string>;
  readonly names: ReadonlyMap<string, Inode>;
  readonly durableNames: ReadonlyMap<string, Inode>;
  readonly pending: readonly Change[];
}

interface ChangeOfOperation {
  /** Changes of one operation carry one number. */
  readonly operation: number;
  /** When the operation finished; 0 while it is in progress. */
  readonly time: number;
}

/** Bytes on their way to the disk. */
export interface DataChange extends ChangeOfOperation {
  /** What sort of change this is. */
  readonly kind: 'data';
  /** The file. */
  readonly inode: Inode;
  /** Where in the file. */
  readonly position: number;
  /** What is written there. */
  readonly bytes: Uint8Array;
}

/** A size on its way to the disk: the least the file has from now on (`grows`), or exactly this. */
export interface SizeChange extends ChangeOfOperation {
  /** What sort of change this is. */
  readonly kind: 'size';
  /** The file. */
  readonly inode: Inode;
  /** Its size in bytes. */
  readonly size: number;
  /** Whether a larger size that is there already stays. */
  readonly grows: boolean;
}

/** A name that appears or disappears. */
export interface LinkChange extends ChangeOfOperation {
  /** Whether the name appears or disappears. */
  readonly kind: 'link' | 'unlink';
  /** The name. */
  readonly path: string;
  /** The file. */
  readonly inode: Inode;
}

/** Something on its way to the disk, which a crash can lose. */
export type Change = DataChange | SizeChange | LinkChange;

/** A file, whatever it is called: what programs read, and what is on the disk. */
export class Inode {
  readonly #cached: FileBytes;
  readonly #durable: FileBytes;

  constructor(durable?: Uint8Array, cached = durable) {
    this.#durable = new FileBytes(durable);
    this.#cached = new FileBytes(cached);
  }

  /** The size of what is in the cache. */
  get size(): number {
    return this.#cached.size;
  }

  /** The size of what is on the disk. */
  get durableSize(): number {
    return this.#durable.size;
  }

  /** What is on the disk. It stays as it is: the next change goes to a copy. */
  get durable(): Uint8Array {
    return this.#durable.share();
  }

  /** The cached bytes. They stay as they are: the next change goes to a copy. */
  share(): Uint8Array {
    return this.#cached.share();
  }

  /** Copies cached bytes into `target`; returns how many there were. */
  read(target: Uint8Array, position: number): number {
    return this.#cached.read(target, position);
  }

  /** Changes cached bytes. */
  patch(position: number, bytes: Uint8Array): void {
    this.#cached.patch(position, bytes);
  }

  /** Changes the cached size; what is added reads as zeros. */
  resize(size: number): void {
    this.#cached.resize(size);
  }

  /** Makes bytes durable as far as the durable size goes: a write makes bytes durable, not the size. */
  patchDurable(position: number, bytes: Uint8Array): void {
    const room = this.#durable.size - position;
    if (room > 0) this.#durable.patch(position, room < bytes.length ? bytes.subarray(0, room) : bytes);
  }

  /** Changes the size on the disk; what is added reads as zeros. */
  resizeDurable({ size, grows }: { readonly size: number; readonly grows: boolean }): void {
    if (!grows || this.#durable.size < size) this.#durable.resize(size);
  }
}

/** What is left of a write when the range from `start` to `end` is taken out of it. */
export function outside(change: DataChange, start: number, end: number): DataChange[] {
  const changeEnd = change.position + change.bytes.length;
  if (end <= change.position || start >= changeEnd) return [change];
  const left = [];
  if (start > change.position) left.push({ ...change, bytes: change.bytes.subarray(0, start - change.position) });
  if (end < changeEnd) left.push({ ...change, position: end, bytes: change.bytes.subarray(end - change.position) });
  return left;
}

/** The names after `changes`. A name disappears only if it still names the file it was taken from. */
export function withLinks(names: ReadonlyMap<string, Inode>, changes: readonly LinkChange[]): Map<string, Inode> {
  const result = new Map(names);
  for (const { kind, path, inode } of changes) {
    if (kind === 'link') result.set(path, inode);
    else if (result.get(path) === inode) result.delete(path);
  }
  return result;
}
