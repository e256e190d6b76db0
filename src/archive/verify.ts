import type { EntryId } from '../index.js';
import { firstSlotOf, readContents, type ArchiveContents } from './contents.js';
import { readSlot } from './entry-reading.js';
import { ArchiveError, type ArchiveErrorCode } from './errors.js';
import type { Slot } from './slot-format.js';
import { SlotStream } from './slot-stream.js';
import type { SlotStore } from './slot-store.js';
import { snapshotOf } from './snapshots.js';

/**
 * How far reading an archive has come.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const show = ({ lastId, toId }: ArchiveProgress) => console.log(`${lastId} of ${toId}`); // 1 of 1
 * await reader.restore('restored', { preallocateBytes: 65536, onProgress: show });
 * await archive.close();
 */
export interface ArchiveProgress {
  /** The oldest entry that is read. */
  readonly firstId: EntryId;
  /** The newest entry that has been read. */
  readonly lastId: EntryId;
  /** The newest entry that will be read. */
  readonly toId: EntryId;
}

/**
 * How an archive is verified.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const verifyOptions: VerifyOptions = { signal: AbortSignal.timeout(60_000) };
 * console.log((await reader.verify(verifyOptions)).entries); // 1
 * await archive.close();
 */
export interface VerifyOptions {
  /** Ends it with its reason. */
  readonly signal?: AbortSignal;
  /** Called now and then. */
  readonly onProgress?: (progress: ArchiveProgress) => void;
}

/**
 * Something that is wrong with an archive.
 *
 * @example
 * const problem: VerifyProblem = { code: 'ARCHIVE_GAP', message: 'slot 7 of the archive is missing', slot: 7 };
 * console.log(problem.code); // ARCHIVE_GAP
 */
export interface VerifyProblem {
  /** What kind of problem it is. */
  readonly code: ArchiveErrorCode;
  /** What it is. */
  readonly message: string;
  /** The slot concerned, where there is one. */
  readonly slot?: number;
}

/**
 * What was found in an archive.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const report: VerifyReport = await reader.verify();
 * console.log(report.entries, report.bytes, report.problems); // 1 5 []
 * await archive.close();
 */
export interface VerifyReport {
  /** How many slots are whole. */
  readonly slots: number;
  /** How many entries are whole. */
  readonly entries: number;
  /** How many bytes of data these entries have. */
  readonly bytes: number;
  /** How many snapshots are whole. */
  readonly snapshots: number;
  /** What is damaged or missing. */
  readonly problems: readonly VerifyProblem[];
}

/** Reads all of an archive, and continues after what is damaged or missing. */
export async function verifyArchive(at: SlotStore, { onProgress }: VerifyOptions): Promise<VerifyReport> {
  const verification = new Verification(at, onProgress);
  return verification.run(await readContents(at));
}

class Verification {
  readonly #at: SlotStore;
  readonly #onProgress: VerifyOptions['onProgress'];
  readonly #problems: VerifyProblem[] = [];
  #slots = 0;
  #entries = 0;
  #bytes = 0;
  #snapshots = 0;
  #firstId: EntryId | undefined;

  constructor(at: SlotStore, onProgress: VerifyOptions['onProgress']) {
    this.#at = at;
    this.#onProgress = onProgress;
  }

  async run(contents: ArchiveContents): Promise<VerifyReport> {
    const { last, snapshots } = contents;
    for (let next = firstSlotOf(contents); next <= last.slot;) next = await this.#readFrom(next, last);
    for (const snapshot of snapshots) {
      await this.#noting(async () => {
        for await (const _ of snapshotOf(this.#at, snapshot)) continue;
        this.#snapshots++;
      });
    }
    const counts = { slots: this.#slots, entries: this.#entries, bytes: this.#bytes, snapshots: this.#snapshots };
    return { ...counts, problems: this.#problems };
  }

  /** Reads up to `last`, or to the first slot that is missing or does not follow. Returns the next to read. */
  async #readFrom(first: number, last: Slot): Promise<number> {
    const contents = await readContents(this.#at);
    // Retention may be faster.
    const slots = new SlotStream(this.#at, contents, Math.max(first, firstSlotOf(contents)));
    const isRead = await this.#noting(async () => {
      for await (const slot of slots.read()) {
        if (slot.slot > last.slot) return;
        await this.#readSlot(slot, slots, last);
      }
    });
    if (isRead) return last.slot + 1;
    const run = slots.contents.runs.find((each) => each.firstSlot <= slots.next && slots.next <= each.lastSlot);
    return (run?.lastSlot ?? slots.next) + 1;
  }

  async #readSlot(slot: Slot, slots: SlotStream, { lastId: toId }: Slot): Promise<void> {
    this.#firstId ??= slot.firstId;
    await this.#noting(async () => {
      if (slot.kind === 'entries') {
        for await (const entry of readSlot(this.#at, slot, slots)) {
          for await (const chunk of entry) this.#bytes += chunk.length;
          this.#entries++;
        }
      }
      this.#slots++;
    });
    this.#onProgress?.({ firstId: this.#firstId, lastId: slot.lastId, toId });
  }

  /** Notes what is wrong with the archive. What it has deleted by itself is not wrong. */
  async #noting(read: () => Promise<void>): Promise<boolean> {
    try {
      await read();
      return true;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      const { code, message, slot } = error;
      if (code !== 'ARCHIVE_GONE') this.#problems.push({ code, message, ...slot !== undefined && { slot } });
      return false;
    }
  }
}
