import { assert } from '../../base/assert.js';
import { Serial, ignoreRejection } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import { isNoSpace } from '../../base/errors.js';
import type { ResolvedOptions } from '../../model/options.js';
import { SALT_LENGTH, decodeHeader, encodeHeader, type SegmentHeader } from '../../format/segment-format.js';
import { NEW_SPARE_NAME, checkpointedName, segmentName } from '../../format/file-names.js';
import type { FileHandle } from '../../files/file-manager.js';
import { Segment } from '../../segment/segment.js';
import type { Lifecycle } from './lifecycle.js';
import type { LogDirectory } from './log-directory.js';
import type { Reserve } from './reserve.js';

const ZEROS = Buffer.alloc(1024 * 1024);
/** More spare files than this are removed: they would only hold disk space after a burst. */
const MAX_SPARES = 3;
/** A smaller file is of no use as a segment. */
const MIN_SEGMENT_BYTES = 1024;

/**
 * The files that hold no live entries: makes the next segment ready before it is needed, and takes
 * files back once their segment is checkpointed. Everything here happens off the commit path.
 */
export class SpareFiles {
  readonly #directory: LogDirectory;
  readonly #reserve: Reserve;
  readonly #lifecycle: Lifecycle;
  readonly #options: ResolvedOptions;
  readonly #environment: Environment;
  readonly #serial = new Serial();
  /** Names of spare files, the next one to use last. */
  #spares: string[] = [];
  readonly #reserved = new Set<string>();
  readonly #retired = new Set<Segment>();
  /** Segments whose files a previous owner may still write to: they are never used again. */
  readonly #unsafe = new Set<Segment>();
  created = 0;
  recycled = 0;

  constructor(
    directory: LogDirectory, reserve: Reserve, lifecycle: Lifecycle, options: ResolvedOptions, environment: Environment,
  ) {
    this.#directory = directory;
    this.#reserve = reserve;
    this.#lifecycle = lifecycle;
    this.#options = options;
    this.#environment = environment;
  }

  get spareCount(): number {
    return this.#spares.length;
  }

  /** Checkpointed segments that somebody still reads. */
  get retired(): ReadonlySet<Segment> {
    return this.#retired;
  }

  /** Takes over the files that recovery found to hold nothing live. Their names are spares' names, durably. */
  adopt(names: readonly string[]): void {
    this.#spares = [...names];
  }

  /**
   * A previous owner may still write to the files called `names`, which hold nothing live, and to those of `segments`.
   * The former are removed. The latter are, once their segments have been retired: what such a late write could change
   * there lies after the end that the next segment's link records, so until then it is harmless.
   */
  async renounce(names: readonly string[], segments: readonly Segment[]): Promise<void> {
    for (const name of names) await this.#directory.remove(name);
    for (const segment of segments) this.#unsafe.add(segment);
  }

  /** Forgets the previous owner, if there was one, once none of its files is left. */
  async forgetPreviousOwner(): Promise<void> {
    if (!this.#directory.previousOwnerMayRun || this.#unsafe.size > 0) return;
    await this.#directory.forgetPreviousOwner();
  }

  /** Keeps a name from being given to a new segment: somebody has renamed a live segment's file to it. */
  reserve(name: string): void {
    this.#reserved.add(name);
  }

  /** Sees to it, in the background, that a spare file is at hand. A failure shows when a segment is prepared. */
  replenish(): void {
    const task = this.#serial.run(async () => {
      if (this.#spares.length === 0) await this.#createSpare();
    });
    ignoreRejection(task);
  }

  /**
   * Makes a segment ready to be written, with `lowestId` or the next free id above it. When this resolves
   * its header and its name are durable, its space is allocated and it holds no link yet, so recovery
   * takes it for a spare file.
   */
  prepare(lowestId: number): Promise<Segment> {
    return this.#serial.run(async () => {
      await this.#directory.assertInPlace();
      let segmentId = lowestId;
      while (this.#reserved.has(segmentName(segmentId))) segmentId++;
      if (this.#spares.length === 0) await this.#createSpare();
      const spare = this.#spares[this.#spares.length - 1];
      const { header, size } = await this.#writeHeader(spare, segmentId);
      const name = segmentName(segmentId);
      await this.#rename(spare, name);
      // It is no spare any more, even if what follows fails: the next attempt takes another file and puts it in its
      // place.
      this.#drop(name);
      await this.#directory.sync();
      // Entries in a directory that the path does not lead to would never be found.
      await this.#directory.assertInPlace();
      const file = await this.#directory.open(name, { access: 'write', durableWrites: true });
      const segment = new Segment(header, segmentId, name, file);
      segment.allocated(size);
      return segment;
    });
  }

  /**
   * Takes back a segment that was prepared but never linked. Its name is durably a spare's before it can get another
   * header: one torn by a crash is nothing in a spare file, but damage in a segment.
   */
  async giveBack(segment: Segment): Promise<void> {
    await segment.close();
    await this.retire(segment);
    this.#spares.push(segment.name);
  }

  /** Makes the reserve a spare file. Resolves with false if there is none. */
  takeReserve(): Promise<boolean> {
    return this.#serial.run(async () => {
      if (!(await this.#reserve.become(NEW_SPARE_NAME))) return false;
      this.#drop(NEW_SPARE_NAME);
      this.#spares.push(NEW_SPARE_NAME);
      return true;
    });
  }

  /**
   * Takes back the file of a segment whose entries are safe elsewhere. When the new name is durable the
   * entries are gone for good; the file is used again when the last reader has let go of it.
   */
  async retire(segment: Segment): Promise<void> {
    await this.#renameToSpare(segment);
    segment.retire();
  }

  /**
   * Gives up the segments among `all`, oldest first, that are discarded: when this resolves no opening shows their
   * entries. The oldest go one after the other, as after a checkpoint. Where older ones stay, a spare takes the place
   * of the file and leads to them. It stays as it is until all older segments are retired.
   */
  async giveUp(all: readonly Segment[]): Promise<void> {
    const firstKept = all.findIndex(({ phase }) => phase !== 'discarded');
    const count = firstKept < 0 ? all.length : firstKept;
    const toReplace = all.slice(count).filter(({ phase, name, segmentId }) => {
      return phase === 'discarded' && name !== checkpointedName(segmentId);
    });
    // An opening with nothing to replace does not wait until a spare file has been made.
    if (toReplace.length > 0) await this.#serial.run(() => this.#replace(toReplace));
    for (const segment of all.slice(0, count)) await this.#renameToSpare(segment);
  }

  /** Keeps the file of a retired segment as a spare, when the last reader has let go of it. */
  async recycle(segment: Segment): Promise<void> {
    this.#retired.add(segment);
    await segment.whenUnpinned();
    if (!this.#lifecycle.mayWrite()) return;
    this.#retired.delete(segment);
    await segment.close();
    await this.#serial.run(async () => {
      if (!this.#lifecycle.mayWrite()) return;
      if (this.#unsafe.has(segment) || this.#spares.length >= MAX_SPARES) {
        await this.#directory.remove(segment.name);
        this.#unsafe.delete(segment);
        return this.forgetPreviousOwner();
      }
      this.#spares.unshift(segment.name);
      this.recycled++;
    });
  }

  /**
   * Finishes what is being done to spare files and closes those that readers still hold. The log has been closed or has
   * failed, so nothing new is begun.
   */
  async close(): Promise<void> {
    assert(!this.#lifecycle.mayWrite(), 'spare files are closed after the log');
    await this.#serial.idle();
    for (const segment of this.#retired) await segment.close();
  }

  async #createSpare(): Promise<void> {
    try {
      await this.#directory.use(NEW_SPARE_NAME, { access: 'create' }, (file) => this.#allocate(file));
    } catch (error) {
      // Whatever could be allocated goes back: the rest of the machine may need the space more.
      await this.#discard(NEW_SPARE_NAME);
      throw error;
    }
    this.#spares.push(NEW_SPARE_NAME);
    this.created++;
  }

  /** Gives a file its full size, written with zeros: space that is only promised can run out in mid-commit. */
  async #allocate(file: FileHandle): Promise<void> {
    const { preallocateBytes } = this.#options;
    const size = await file.size();
    if (size > preallocateBytes) await file.truncate(preallocateBytes);
    for (let at = size; at < preallocateBytes; at += ZEROS.length) {
      await this.#directory.write(file, [ZEROS.subarray(0, Math.min(ZEROS.length, preallocateBytes - at))], at);
    }
    if (size !== preallocateBytes) await file.sync();
  }

  async #writeHeader(name: string, segmentId: number): Promise<{ header: SegmentHeader; size: number }> {
    const salt = new Uint8Array(SALT_LENGTH);
    this.#environment.randomFill(salt);
    const bytes = encodeHeader(segmentId, salt, this.#options.versionInfo);
    try {
      const size = await this.#directory.use(name, { access: 'write' }, async (file) => {
        // Before the size changes: a reader of the file's last use would take that for damage otherwise.
        await this.#directory.write(file, [bytes], 0);
        const allocated = await this.#allocateWhatFits(file);
        await file.sync();
        return allocated;
      });
      return { header: decodeHeader(bytes) as SegmentHeader, size };
    } catch (error) {
      // After a failed write or sync nobody knows what this file holds. Another one is used next time.
      await this.#discard(name);
      throw error;
    }
  }

  /** Gives a spare file its full size, or leaves it smaller if there is no space for more. Resolves with its size. */
  async #allocateWhatFits(file: FileHandle): Promise<number> {
    const size = await file.size();
    try {
      await this.#allocate(file);
    } catch (error) {
      if (!isNoSpace(error) || size < MIN_SEGMENT_BYTES) throw error;
      await this.#directory.truncate(file, size);
      return size;
    }
    return this.#options.preallocateBytes;
  }

  async #renameToSpare(segment: Segment): Promise<void> {
    const name = checkpointedName(segment.segmentId);
    await this.#serial.run(() => this.#rename(segment.name, name));
    segment.renamed(name);
    await this.#directory.sync();
  }

  /**
   * Puts spares in the places of segments: copies of their beginnings, which are durable before the files are removed.
   * A rename that a crash interrupts can lose both names, and with it the way to older segments.
   */
  async #replace(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) await this.#copyBeginning(segment);
    await this.#directory.sync();
    for (const segment of segments) {
      await segment.close();
      await this.#directory.remove(segment.name);
      segment.renamed(checkpointedName(segment.segmentId));
    }
    await this.#directory.sync();
  }

  /** Makes a spare file that has a segment's header and its first link, and nothing else. */
  async #copyBeginning(segment: Segment): Promise<void> {
    const name = checkpointedName(segment.segmentId);
    const beginning = Buffer.alloc(segment.beginningLength);
    const read = await segment.read(beginning, 0);
    assert(read === beginning.length, 'a segment of the log begins with a header and a link');
    const overwrite = async (file: FileHandle): Promise<void> => {
      await this.#directory.write(file, [beginning], 0);
      await file.truncate(beginning.length);
      await file.sync();
    };
    const create = (): Promise<void> => this.#directory.use(name, { access: 'create' }, overwrite);
    this.#drop(name);
    try {
      await create();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      const spare = this.#spares.at(-1);
      if (spare === undefined) return this.#reserve.spend(create);
      // On a full disk a spare still has space.
      await this.#rename(spare, name);
      this.#drop(name);
      await this.#directory.use(name, { access: 'write' }, overwrite);
    }
  }

  /** Renames a file. A spare that had the new name is replaced, so it is a spare no longer. */
  async #rename(from: string, to: string): Promise<void> {
    if (from === to) return;
    await this.#reserve.rename(from, to);
    this.#drop(to);
    this.#spares = this.#spares.map((name) => (name === from ? to : name));
  }

  async #discard(spare: string): Promise<void> {
    this.#drop(spare);
    await this.#directory.remove(spare).catch(() => undefined);
  }

  #drop(spare: string): void {
    this.#spares = this.#spares.filter((name) => name !== spare);
  }
}
