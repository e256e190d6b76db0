/** What a simulated disk consists of: files, their names, and changes on their way to the disk. */

export type DiskMode = 'strict' | 'ordered';

/**
 * Which bytes a crash may turn into zeros or garbage: those that a pending write gives another value
 * (`changed`: writing a byte that is there already cannot hurt it), all that it writes (`written`),
 * or every byte of the sectors it touches (`sector`).
 */
export type Damage = 'changed' | 'written' | 'sector';

export interface DiskTraits {
  readonly mode: DiskMode;
  readonly sectorBytes: number;
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
  readonly kind: 'data';
  readonly inode: Inode;
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** A size on its way to the disk: the least the file has from now on (`grows`), or exactly this. */
export interface SizeChange extends ChangeOfOperation {
  readonly kind: 'size';
  readonly inode: Inode;
  readonly size: number;
  readonly grows: boolean;
}

/** A name that appears or disappears. */
export interface LinkChange extends ChangeOfOperation {
  readonly kind: 'link' | 'unlink';
  readonly path: string;
  readonly inode: Inode;
}

export type Change = DataChange | SizeChange | LinkChange;

const NOTHING = new Uint8Array(0);

/** A file, whatever it is called. */
export class Inode {
  /** What is on the disk. Replaced when it changes, never modified. */
  durable: Uint8Array;
  /** What is in the cache, in its first `size` bytes. */
  #cached: Uint8Array;
  #size: number;
  #isShared = false;

  constructor(durable: Uint8Array = NOTHING, cached: Uint8Array = durable) {
    this.durable = durable;
    this.#cached = cached;
    this.#size = cached.length;
    this.#isShared = true;
  }

  get size(): number {
    return this.#size;
  }

  /** The cached bytes. They stay as they are: the next change goes to a copy. */
  share(): Uint8Array {
    this.#isShared = true;
    return this.#size === this.#cached.length ? this.#cached : this.#cached.subarray(0, this.#size);
  }

  read(target: Uint8Array, position: number): number {
    const end = Math.min(this.#size, position + target.length);
    if (position >= end) return 0;
    target.set(this.#cached.subarray(position, end));
    return end - position;
  }

  patch(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    this.#own(Math.max(end, this.#size));
    this.#cached.set(bytes, position);
    this.#size = Math.max(this.#size, end);
  }

  resize(size: number): void {
    this.#own(size);
    if (size < this.#size) this.#cached.fill(0, size, this.#size);
    this.#size = size;
  }

  #own(size: number): void {
    if (!this.#isShared && this.#cached.length >= size) return;
    const owned = new Uint8Array(Math.max(size, this.#size));
    owned.set(this.#cached.subarray(0, this.#size));
    this.#cached = owned;
    this.#isShared = false;
  }
}

/** `bytes` with a part replaced, no longer than before: a write makes bytes durable, not the size. */
export function patched(bytes: Uint8Array, position: number, part: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  if (position < copy.length) copy.set(part.subarray(0, copy.length - position), position);
  return copy;
}

export function resized(bytes: Uint8Array, change: { readonly size: number; readonly grows: boolean }): Uint8Array {
  if (change.grows && bytes.length >= change.size) return bytes;
  const copy = new Uint8Array(change.size);
  copy.set(bytes.subarray(0, change.size));
  return copy;
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
