import { posix } from 'node:path';
import { crc32 } from '../../src/base/crc32.js';
import { CrashPoint } from './crash-point.js';
import {
  Inode,
  outside,
  withLinks,
  type Change,
  type DiskContent,
  type DiskTraits,
  type LinkChange,
  type SizeChange,
} from './disk-content.js';
import type { Random } from './random.js';

/**
 * A disk with a page cache in front of it, kept in memory, that shows what a crash can leave behind.
 *
 * Every file is an inode with two states: *cached* (what programs read, gone when the power goes)
 * and *durable* (what survives). Names are apart from files and have the same two states. Each
 * operation changes the cached state and leaves *pending changes*: bytes, a size, a name that
 * appears, a name that disappears. A sync of a file makes its bytes and its size durable, a sync of
 * a directory its names. When the power goes, each change still pending survives or not, whatever
 * became of the others: a size without its bytes, bytes without a name, the second half of a rename
 * without the first. `crashPoint` captures that moment; `CrashPoint` makes the disks it can leave.
 *
 * - `strict` mode promises nothing beyond that. In `ordered` mode a sync of a file also commits the
 *   changes of sizes and names made before it, which survive in the order in which they were made,
 *   as on ext4.
 * - Bytes survive by sector: of one write, any sectors can survive, and one can end as a mixture, as
 *   zeros or as garbage. How far such damage reaches is the option `damage`.
 * - A sync that fails marks the file's pages clean: reading shows the new bytes, the disk has the
 *   old ones, and the next sync succeeds without repairing that. Sizes and names stay pending.
 *
 * - With `capacityBytes` it can be full: a file takes space by sector, as far as it is long, and what would make it
 *   longer fails for want of space. Names take none. A crash leaves the capacity as it was.
 *
 * Everything here happens at once; the file manager decides when an operation happens.
 *
 * @example
 * const disk = new SimulatedDisk();
 * disk.write(disk.create('/file'), 0, Buffer.from('hello'));
 * const crash = disk.crashPoint();
 * const nothing = crash.powerLoss(crash.fragments.map(() => 'lost'));
 * console.log(disk.paths(), nothing.paths()); // [ '/file' ] []
 */
export class SimulatedDisk {
  /** How it behaves in a crash. */
  readonly traits: DiskTraits;
  /** Directories, each created durably. */
  readonly directories: Set<string>;
  /** The directories that are locked. A crash frees them. */
  readonly locks = new Set<string>();
  /** How many bytes its files can have. Files that are there already stay, however many it says. */
  capacityBytes = Infinity;
  /** Whether this is what a power loss has left. */
  hasLostPower = false;
  /** Counts operations, so that a sync can tell what had finished before it was asked for. */
  #time = 0;
  // Replaced when they change, never modified, so that a crash point can keep them without a copy.
  #names: ReadonlyMap<string, Inode>;
  #durableNames: ReadonlyMap<string, Inode>;
  #pending: readonly Change[];
  readonly #inProgress = new Map<number, readonly Change[]>();
  #nextOperation = 1;
  #point: CrashPoint | undefined;
  /** What has to be as it was for `#point` to be what a crash finds now. */
  #pointState: readonly unknown[] = [];

  /** An empty disk with the one directory `/`, unless `content` says otherwise. */
  constructor(traits: Partial<DiskTraits> = {}, content: DiskContent = EMPTY) {
    this.traits = { mode: 'strict', sectorBytes: 512, damage: 'written', ...traits };
    this.directories = new Set(content.directories);
    this.#names = content.names;
    this.#durableNames = content.durableNames;
    this.#pending = content.pending;
  }

  /** The moment up to which everything that is finished has happened. */
  get time(): number {
    return this.#time;
  }

  /** What the program sees: every file's path. */
  paths(): string[] {
    return [...this.#names.keys()];
  }

  /** The file that `path` names in the cached state. */
  lookup(path: string): Inode | undefined {
    return this.#names.get(path);
  }

  /** How many bytes the files take that programs see. */
  get usedBytes(): number {
    let used = 0;
    for (const inode of new Set(this.#names.values())) used += this.#inSectors(inode.size);
    return used;
  }

  /** How far the file can be written without more space than there is. */
  roomFor(inode: Inode): number {
    if (this.capacityBytes === Infinity) return Infinity;
    return this.#inSectors(inode.size) + Math.max(0, this.capacityBytes - this.usedBytes);
  }

  /** How many changes are not durable. */
  get pendingChanges(): number {
    return this.#pending.length;
  }

  /** Creates an empty file, replacing nothing: `path` must be free. */
  create(path: string): Inode {
    const inode = new Inode();
    this.#apply([{ kind: 'link', path, inode, operation: this.#nextOperation++, time: ++this.#time }]);
    return inode;
  }

  /** Renames a file, replacing another that has the new name. */
  rename(from: string, to: string): void {
    this.#apply(this.#renaming(from, to, ++this.#time));
  }

  /** Gives a file another name, which must be free. */
  link(from: string, to: string): void {
    this.#apply([this.#linking(from, to, ++this.#time)]);
  }

  /** Removes a name. */
  remove(path: string): void {
    const inode = this.#named(path);
    this.#apply([{ kind: 'unlink', path, inode, operation: this.#nextOperation++, time: ++this.#time }]);
  }

  /** Changes bytes in the cache. `bytes` is kept: it must not change any more. */
  write(inode: Inode, position: number, bytes: Uint8Array): void {
    const changes = this.#writing(inode, position, bytes, ++this.#time);
    inode.patch(position, bytes);
    this.#pending = this.#pending.concat(changes);
  }

  /** Drops a file's pages from the cache: it shows what is durable from now on. */
  evict(inode: Inode): void {
    const bytes = Buffer.alloc(inode.size);
    bytes.set(inode.durable.subarray(0, inode.size));
    this.#time++;
    inode.patch(0, bytes);
  }

  /** As `write`, and durable at once, with as much of the size as it takes to read it back. */
  writeDurably(inode: Inode, position: number, bytes: Uint8Array): void {
    const grew = position + bytes.length > inode.durableSize;
    inode.patch(position, bytes);
    this.#time++;
    if (grew) this.#makeSizeDurable(inode, position + bytes.length);
    this.#overrule(inode, position, position + bytes.length);
    inode.patchDurable(position, bytes);
  }

  /** A durable write that failed: the cache has the bytes; the disk has them only if `survives` says so. */
  failDurableWrite(inode: Inode, position: number, bytes: Uint8Array, survives: Survives): void {
    this.write(inode, position, bytes);
    this.failSync(inode, this.#time, survives);
  }

  /** Sets a file's size; what is added reads as zeros. */
  truncate(inode: Inode, size: number): void {
    const operation = this.#nextOperation++;
    inode.resize(size);
    const change: Change = { kind: 'size', inode, size, grows: false, operation, time: ++this.#time };
    this.#pending = this.#pending.concat(change);
  }

  /** Makes durable what was done to the file up to `time`. */
  sync(inode: Inode, time: number): void {
    this.#drain((change) => {
      if (change.time > time) return false;
      if (change.kind === 'data' || change.kind === 'size') {
        if (change.inode === inode) return true;
      }
      return this.#isOrdered && change.kind !== 'data';
    });
  }

  /** A sync that failed: its bytes are lost, unless `survives` says otherwise, and taken for clean. */
  failSync(inode: Inode, time: number, survives: Survives): void {
    const concerned = (change: Change): boolean =>
      change.kind === 'data' && change.inode === inode && change.time <= time;
    const lost = new Set(this.#pending.filter((change) => concerned(change) && !survives()));
    this.#pending = this.#pending.filter((change) => !lost.has(change));
    this.#drain(concerned);
  }

  /** Makes durable the names created, renamed and removed in `directory` up to `time`. */
  syncDirectory(directory: string, time: number): void {
    this.#drain((change) => {
      if (change.time > time || change.kind === 'data') return false;
      if (change.kind === 'size') return this.#isOrdered;
      return this.#isOrdered || posix.dirname(change.path) === directory;
    });
  }

  /** Notes that a write is in progress: a crash may leave any part of it. Returns what ends it. */
  beginWrite(inode: Inode, position: number, bytes: Uint8Array): () => void {
    return this.#begin(this.#writing(inode, position, bytes, 0));
  }

  /** As `beginWrite`, for `truncate`. */
  beginTruncate(inode: Inode, size: number): () => void {
    const operation = this.#nextOperation++;
    return this.#begin([{ kind: 'size', inode, size, grows: false, operation, time: 0 }]);
  }

  /** A file that a crash can find created before `create` is done; it is another inode than the one that follows. */
  beginCreate(path: string): () => void {
    return this.#begin([{ kind: 'link', path, inode: new Inode(), operation: this.#nextOperation++, time: 0 }]);
  }

  /** As `beginWrite`, for `rename`. */
  beginRename(from: string, to: string): () => void {
    return this.#begin(this.#renaming(from, to, 0));
  }

  /** As `beginWrite`, for `link`. */
  beginLink(from: string, to: string): () => void {
    return this.#begin([this.#linking(from, to, 0)]);
  }

  /** As `beginWrite`, for `remove`. */
  beginRemove(path: string): () => void {
    const inode = this.#named(path);
    return this.#begin([{ kind: 'unlink', path, inode, operation: this.#nextOperation++, time: 0 }]);
  }

  /** What a crash at this moment finds, the same object until something changes. Later operations do not change it. */
  crashPoint(): CrashPoint {
    const state = [
      this.#time, this.directories.size, this.#names, this.#durableNames, this.#pending, ...this.#inProgress.values(),
    ];
    const isSame = state.length === this.#pointState.length && state.every((part, i) => part === this.#pointState[i]);
    if (this.#point === undefined || !isSame) this.#point = this.#newCrashPoint();
    this.#pointState = state;
    return this.#point;
  }

  #newCrashPoint(): CrashPoint {
    return new CrashPoint(
      this.traits,
      {
        directories: new Set(this.directories),
        names: this.#names,
        durableNames: this.#durableNames,
        pending: this.#pending,
      },
      [...this.#inProgress.values()],
      (content) => {
        const disk = new SimulatedDisk(this.traits, content);
        disk.capacityBytes = this.capacityBytes;
        return disk;
      },
    );
  }

  #inSectors(bytes: number): number {
    return Math.ceil(bytes / this.traits.sectorBytes) * this.traits.sectorBytes;
  }

  get #isOrdered(): boolean {
    return this.traits.mode === 'ordered';
  }

  /** The same for disks that no program could tell apart, now or after a crash. */
  fingerprint(): string {
    const files = [...this.#names].map(([path, inode]) => {
      return `${path} ${inode.size} ${checksum(inode.share())} ${checksum(inode.durable)}`;
    });
    const durable = [...this.#durableNames.keys()].sort().join(' ');
    return `${files.sort().join('\n')}\n${durable}\n${this.#pending.length}`;
  }

  #begin(changes: readonly Change[]): () => void {
    const operation = this.#nextOperation++;
    this.#inProgress.set(operation, changes);
    return () => void this.#inProgress.delete(operation);
  }

  #writing(inode: Inode, position: number, bytes: Uint8Array, time: number): Change[] {
    const operation = this.#nextOperation++;
    const end = position + bytes.length;
    const data: Change = { kind: 'data', inode, position, bytes, operation, time };
    if (end <= inode.size) return [data];
    // The size comes first: bytes beyond the durable size cannot be made durable.
    return [{ kind: 'size', inode, size: end, grows: true, operation, time }, data];
  }

  #renaming(from: string, to: string, time: number): LinkChange[] {
    const inode = this.#named(from);
    // Nothing happens, as POSIX has it, if the two are names of one file already.
    if (this.#names.get(to) === inode) return [];
    const operation = this.#nextOperation++;
    return [
      { kind: 'link', path: to, inode, operation, time },
      { kind: 'unlink', path: from, inode, operation, time },
    ];
  }

  #linking(from: string, to: string, time: number): LinkChange {
    return { kind: 'link', path: to, inode: this.#named(from), operation: this.#nextOperation++, time };
  }

  #named(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Error(`no such file: ${path}`);
    return inode;
  }

  #apply(changes: readonly LinkChange[]): void {
    this.#names = withLinks(this.#names, changes);
    this.#pending = this.#pending.concat(changes);
  }

  #drain(isDrained: (change: Change) => boolean): void {
    if (this.#pending.length === 0) return;
    const kept: Change[] = [];
    const links: LinkChange[] = [];
    for (const change of this.#pending) {
      const { kind, inode } = change;
      if (!isDrained(change)) kept.push(change);
      else if (kind === 'data') inode.patchDurable(change.position, change.bytes);
      else if (kind === 'size') inode.resizeDurable(change);
      else links.push(change);
    }
    if (links.length > 0) this.#durableNames = withLinks(this.#durableNames, links);
    this.#pending = kept;
  }

  /** Makes the file's size durable, but none of the bytes that a pending write has put there. */
  #makeSizeDurable(inode: Inode, atLeast: number): void {
    const isSize = (change: Change): change is SizeChange => change.kind === 'size' && change.inode === inode;
    for (const change of this.#pending.filter(isSize)) {
      // What a shrinking cut off does not come back when its bytes are written after all.
      if (!change.grows) this.#overrule(inode, change.size, Infinity, change.time);
    }
    this.#drain((change) => isSize(change) || (this.#isOrdered && change.kind !== 'data'));
    inode.resizeDurable({ size: atLeast, grows: true });
  }

  /** Takes the range out of the file's pending writes older than `time`: newer bytes are durable there. */
  #overrule(inode: Inode, start: number, end: number, time = Infinity): void {
    if (this.#pending.length === 0) return;
    this.#pending = this.#pending.flatMap((change) => {
      if (change.kind !== 'data' || change.inode !== inode || change.time >= time) return [change];
      return outside(change, start, end);
    });
  }
}

const EMPTY: DiskContent = { directories: new Set(['/']), names: new Map(), durableNames: new Map(), pending: [] };

/** Decides whether a change that a failing sync gave up had reached the disk all the same. */
export type Survives = () => boolean;

/** Half of them, by chance. */
export function half(random: Random): Survives {
  return () => random.oneIn(2);
}

/** Files are shared between many disks, so most checksums have been computed before. */
const checksums = new WeakMap<Uint8Array, number>();

function checksum(bytes: Uint8Array): number {
  let value = checksums.get(bytes);
  if (value === undefined) checksums.set(bytes, (value = crc32(bytes)));
  return value;
}
