import { isNoSpace } from '../../base/errors.js';
import type { FileHandle } from '../../files/file-manager.js';
import type { Segment } from '../../segment/segment.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { Reserve } from '../directory/reserve.js';

/** A segment gives back at most this much at once, and at most this part of its size. */
const STEP_BYTES = 1024 * 1024;
const STEP_PART = 8;
/** Less than this is not worth giving back. */
const LEAST_BYTES = 512;

/**
 * Frees space on a full disk, for an opening that cannot do without: the log's reserve, its spare files, and what
 * segments have allocated after their ends. None of it is part of the log.
 */
export class RoomMaker {
  readonly #directory: LogDirectory;
  readonly #reserve: Reserve;
  readonly #stepBytes: number;
  readonly #freeing: AsyncGenerator<void, void>;
  #spares: string[] = [];
  readonly #ends = new Map<FileHandle, number>();

  constructor(directory: LogDirectory, reserve: Reserve, preallocateBytes: number) {
    this.#directory = directory;
    this.#reserve = reserve;
    this.#stepBytes = Math.min(STEP_BYTES, preallocateBytes / STEP_PART);
    this.#freeing = this.#free();
  }

  /** The names of the spare files that are left. */
  get spares(): readonly string[] {
    return this.#spares;
  }

  /** The files called `names` hold nothing of the log. */
  offerSpares(names: readonly string[]): void {
    this.#spares = [...names];
  }

  /** A segment's file holds nothing of the log from `end` on. */
  offerEnd({ file }: Segment, end: number): void {
    this.#ends.set(file, end);
  }

  /** Does what needs space, again as long as there is none and something else can be freed. */
  async provide<T>(action: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await action();
      } catch (error) {
        if (!isNoSpace(error) || (await this.#freeing.next()).done === true) throw error;
      }
    }
  }

  /** Yields whenever it has freed something. */
  async *#free(): AsyncGenerator<void, void> {
    // Allocated space is of no use to a file system that writes every block to a new place.
    await this.#reserve.free();
    yield;
    for (let spare = this.#spares.pop(); spare !== undefined; spare = this.#spares.pop()) {
      await this.#directory.free(spare);
      yield;
    }
    for (const [file, end] of this.#ends) {
      for (let size = await file.size(); size - end >= LEAST_BYTES; size = await file.size()) {
        await this.#directory.truncate(file, Math.max(end, size - this.#stepBytes));
        await file.sync();
        yield;
      }
    }
  }
}
