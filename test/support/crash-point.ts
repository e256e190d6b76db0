import {
  Inode,
  withLinks,
  type Change,
  type DataChange,
  type DiskContent,
  type DiskTraits,
  type LinkChange,
  type SizeChange,
} from './disk-content.js';
import { Random } from './random.js';
import type { SimulatedDisk } from './simulated-disk.js';

/** What becomes of a fragment. A `torn` one survives up to some byte; `zeros` and `garbage` are damage. */
export type Fate = 'kept' | 'lost' | 'torn' | 'zeros' | 'garbage';

/** A piece of a change that survives a crash or not, whatever becomes of the others. */
export interface Fragment {
  /** The piece. */
  readonly change: Change;
  /** True if its operation was in progress, so that even a program that starts again may not see it. */
  readonly isInProgress: boolean;
}

/** The moment of a crash: everything durable, everything pending, everything in progress. */
export class CrashPoint {
  readonly #traits: DiskTraits;
  readonly #content: DiskContent;
  readonly #inProgress: readonly (readonly Change[])[];
  readonly #files: ReadonlyMap<Inode, FileState>;
  readonly #diskWith: (content: DiskContent) => SimulatedDisk;
  #fragments: readonly Fragment[] | undefined;

  /** @internal Made by `SimulatedDisk.crashPoint`. */
  constructor(
    traits: DiskTraits,
    content: DiskContent,
    inProgress: readonly (readonly Change[])[],
    diskWith: (content: DiskContent) => SimulatedDisk,
  ) {
    this.#traits = traits;
    this.#diskWith = diskWith;
    this.#content = content;
    this.#inProgress = inProgress;
    this.#files = statesOf(content);
  }

  /** What survives or not, each for itself. Split when somebody asks: most moments of a run are never crashed. */
  get fragments(): readonly Fragment[] {
    return (this.#fragments ??= [
      ...this.#content.pending.flatMap((change) => this.#split(change, false)),
      ...this.#inProgress.flat().flatMap((change) => this.#split(change, true)),
    ]);
  }

  /**
   * The disk after the power has gone and come back: what was durable, and of the fragments what
   * `fates` says, in the order of `fragments`. `seed` decides where torn ones end and what garbage is.
   */
  powerLoss(fates: readonly Fate[], seed = 0): SimulatedDisk {
    const survivors = new Survivors(this.#files, this.#traits, new Random(seed));
    const links: LinkChange[] = [];
    const { fragments } = this;
    this.#inOrder(fates).forEach((fate, i) => {
      const { change } = fragments[i];
      if (change.kind === 'data') survivors.write(change, fate);
      else if (fate === 'lost') return;
      else if (change.kind === 'size') survivors.resize(change);
      else links.push(change);
    });
    const inodes = new Map<Inode, Inode>();
    const names = new Map<string, Inode>();
    for (const [path, inode] of withLinks(this.#content.durableNames, links)) {
      const survivor = inodes.get(inode) ?? new Inode(survivors.bytesOf(inode));
      inodes.set(inode, survivor);
      names.set(path, survivor);
    }
    const { directories } = this.#content;
    const disk = this.#diskWith({ directories, names, durableNames: names, pending: [] });
    disk.hasLostPower = true;
    return disk;
  }

  /**
   * The disk that the next process finds when only this one ends: everything finished is there,
   * pending as before. Of what was in progress, a fragment is there if `happened` says so.
   */
  processDeath(happened: (fragment: Fragment) => boolean): SimulatedDisk {
    const copies = new Map<Inode, Inode>();
    const copyOf = (inode: Inode): Inode => {
      const state = this.#files.get(inode);
      const copy = copies.get(inode) ?? new Inode(state?.durable, state?.cached);
      copies.set(inode, copy);
      return copy;
    };
    const copyNames = (names: ReadonlyMap<string, Inode>): Map<string, Inode> =>
      new Map([...names].map(([path, inode]) => [path, copyOf(inode)]));
    const pending = this.#content.pending.map((change) => ({ ...change, inode: copyOf(change.inode), time: 0 }));
    const inProgress = this.fragments.filter((fragment) => fragment.isInProgress && happened(fragment));
    const late: Change[] = [];
    let names = copyNames(this.#content.names);
    for (const fragment of inProgress) {
      const change = { ...fragment.change, inode: copyOf(fragment.change.inode) };
      // To a program that runs, a file is as long as what was written to it.
      const end = change.kind === 'data' ? change.position + change.bytes.length : 0;
      if (end > change.inode.size) late.push({ ...change, kind: 'size', size: end, grows: true });
      if (change.kind === 'size' && change.grows) continue;
      if (change.kind === 'data') change.inode.patch(change.position, change.bytes);
      else if (change.kind === 'size') change.inode.resize(change.size);
      else names = withLinks(names, [change]);
      late.push(change);
    }
    return this.#diskWith({
      directories: this.#content.directories,
      names,
      durableNames: copyNames(this.#content.durableNames),
      pending: [...pending, ...late],
    });
  }

  /** In ordered mode sizes and names survive as they were made, an operation whole or not at all. */
  #inOrder(fates: readonly Fate[]): readonly Fate[] {
    if (this.#traits.mode === 'strict') return fates;
    let lostOperation: number | undefined;
    return fates.map((fate, i) => {
      const { change } = this.fragments[i];
      if (change.kind === 'data') return fate;
      const isSecondHalf = change.kind === 'unlink' && this.fragments[i - 1]?.change.operation === change.operation;
      if (lostOperation === undefined && fate === 'lost' && !isSecondHalf) lostOperation = change.operation;
      return lostOperation === undefined ? 'kept' : 'lost';
    });
  }

  /** Bytes survive by sector. Sectors of zeros that change nothing are one fragment: there can be thousands. */
  #split(change: Change, isInProgress: boolean): Fragment[] {
    if (change.kind !== 'data') return [{ change, isInProgress }];
    const pieces: { start: number; end: number; isInert: boolean }[] = [];
    const end = change.position + change.bytes.length;
    for (let start = change.position; start < end; ) {
      const pieceEnd = Math.min(end, start - (start % this.#traits.sectorBytes) + this.#traits.sectorBytes);
      const isInert = this.#isInert(change, start, pieceEnd);
      const last = pieces.at(-1);
      if (isInert && last?.isInert) last.end = pieceEnd;
      else pieces.push({ start, end: pieceEnd, isInert });
      start = pieceEnd;
    }
    return pieces.map((piece) => {
      const bytes = change.bytes.subarray(piece.start - change.position, piece.end - change.position);
      return { change: { ...change, position: piece.start, bytes }, isInProgress };
    });
  }

  #isInert(change: DataChange, start: number, end: number): boolean {
    const durable = this.#files.get(change.inode)?.durable.subarray(start, end) ?? [];
    return isZero(change.bytes.subarray(start - change.position, end - change.position)) && isZero(durable);
  }
}

interface FileState {
  readonly durable: Uint8Array;
  readonly cached: Uint8Array;
}

function statesOf(content: DiskContent): Map<Inode, FileState> {
  const states = new Map<Inode, FileState>();
  const add = (inode: Inode): void => {
    if (!states.has(inode)) states.set(inode, { durable: inode.durable, cached: inode.share() });
  };
  for (const inode of content.names.values()) add(inode);
  for (const inode of content.durableNames.values()) add(inode);
  for (const change of content.pending) add(change.inode);
  return states;
}

/** The files as a crash leaves them, built up change by change. */
class Survivors {
  readonly #files: ReadonlyMap<Inode, FileState>;
  readonly #traits: DiskTraits;
  readonly #random: Random;
  /** Files that a change has touched. Bytes beyond the size are there but cannot be read. */
  readonly #touched = new Map<Inode, { bytes: Uint8Array; size: number }>();

  constructor(files: ReadonlyMap<Inode, FileState>, traits: DiskTraits, random: Random) {
    this.#files = files;
    this.#traits = traits;
    this.#random = random;
  }

  bytesOf(inode: Inode): Uint8Array {
    const touched = this.#touched.get(inode);
    return touched === undefined ? this.#durable(inode) : touched.bytes.subarray(0, touched.size);
  }

  resize(change: SizeChange): void {
    const file = this.#touch(change.inode, change.size);
    if (change.grows) {
      file.size = Math.max(file.size, change.size);
    } else {
      file.size = change.size;
      file.bytes.fill(0, change.size);
    }
  }

  write(change: DataChange, fate: Fate): void {
    if (fate === 'lost') return;
    const { position, bytes } = change;
    const file = this.#touch(change.inode, position + bytes.length + this.#traits.sectorBytes);
    if (fate === 'kept') file.bytes.set(bytes, position);
    else if (fate === 'torn') file.bytes.set(bytes.subarray(0, this.#random.below(bytes.length)), position);
    else this.#damage(file.bytes, change, fate === 'zeros');
  }

  #damage(file: Uint8Array, change: DataChange, isZeroed: boolean): void {
    const { sectorBytes, damage } = this.#traits;
    let start = change.position;
    let end = start + change.bytes.length;
    if (damage === 'sector') {
      start -= start % sectorBytes;
      end += (sectorBytes - (end % sectorBytes)) % sectorBytes;
    }
    for (let at = start; at < end; at++) {
      if (damage === 'changed' && file[at] === change.bytes[at - change.position]) continue;
      file[at] = isZeroed ? 0 : this.#random.next();
    }
  }

  #touch(inode: Inode, capacity: number): { bytes: Uint8Array; size: number } {
    const touched = this.#touched.get(inode);
    if (touched !== undefined && touched.bytes.length >= capacity) return touched;
    const before = touched?.bytes ?? this.#durable(inode);
    const bytes = new Uint8Array(Math.max(capacity, before.length));
    bytes.set(before);
    const file = { bytes, size: touched?.size ?? before.length };
    this.#touched.set(inode, file);
    return file;
  }

  #durable(inode: Inode): Uint8Array {
    return this.#files.get(inode)?.durable ?? NOTHING;
  }
}

const NOTHING = new Uint8Array(0);

function isZero(bytes: Uint8Array | readonly number[]): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}
