import { access, stat } from 'node:fs/promises';
import path from 'node:path';
import { WalError, WriteAheadLog } from '../index.js';
import type { Entry, EntryId, ReadOnlyLog, ReadOptions, SegmentInfo } from '../index.js';
import { DAMAGED, InputError } from './command.js';
import { UNFINISHED_NAME } from './new-directory.js';
import { noteError, noteRemark, Progress } from './output.js';
import { addEntry, type Content, type Contents } from './report/content.js';
import { describeDamage, type Damage } from './report/damage.js';
import { FORMAT_0_NOTE, gapsBetween, type Gap } from './report/gaps.js';

/** How often a log is looked at again whose owner has checkpointed all of it before it was read. */
const LOOKS = 100;

/** Is called for each entry. The reading ends early if it returns `false`. */
type Use = (entry: Entry) => unknown;

/**
 * A log as the commands find it. Damage is recorded, and what is whole is read all the same.
 *
 * The owner of a live log may checkpoint segments while they are read: that is no fault. Segments are checkpointed in
 * order, so the rest is the log as it was at one moment. That is shown, with a note of what went.
 */
export class FoundLog {
  readonly reader: ReadOnlyLog;
  /** By place: what is wrong with a place is said once, however often it is read. */
  readonly #errors: Map<string, WalError>;
  /** How many of the reader's segments, from the oldest on, were checkpointed before all of them had been read. */
  #goneCount = 0;
  #contents = new Map<number, Content>();

  private constructor(reader: ReadOnlyLog, errors: Map<string, WalError>) {
    this.reader = reader;
    this.#errors = errors;
  }

  static async open(directory: string): Promise<FoundLog> {
    const stats = await stat(directory).catch((error: unknown) => {
      throw new InputError(`${directory} cannot be read: ${(error as Error).message}`);
    });
    if (!stats.isDirectory()) throw new InputError(`${directory} is not a directory; a log is one`);
    await assertFinished(directory);
    const errors = new Map<string, WalError>();
    const onDamage = (error: WalError): void => {
      const place = `${error.segmentId} ${error.offset}`;
      // The first says what is wrong with a header, the next only that nothing was found after it.
      if (!errors.has(place)) errors.set(place, error);
    };
    const reader = await WriteAheadLog.openReadOnly(directory, { onDamage });
    const isLog = reader.segments.length + reader.spares.length > 0;
    if (!isLog) throw new InputError(`${directory} holds no log: no file in it is named like wal-1`);
    return new FoundLog(reader, errors);
  }

  get hasFormat0(): boolean {
    return this.reader.segments.some(({ formatVersion }) => formatVersion === 0);
  }

  /** The segments that are not gone, as far as the log has been read. */
  get segments(): readonly SegmentInfo[] {
    return this.reader.segments.slice(this.#goneCount);
  }

  /** What the segments hold, once all of the log has been read. */
  get contents(): Contents {
    return this.#contents;
  }

  /** All damage found so far. What is lost is known once all of the log has been read. */
  get damage(): readonly Damage[] {
    const { lastId } = this.reader;
    const surroundings = { segments: this.segments, contents: this.#contents, goneId: this.#idBefore, lastId };
    return [...this.#errors.values()].map((error) => describeDamage(error, surroundings));
  }

  /** The gaps in format 0, once all of the log has been read. */
  get gaps(): readonly Gap[] {
    return gapsBetween(this.segments, this.#contents, this.damage);
  }

  /** The highest id in the segments that went while they were read; undefined if none did. */
  get goneId(): EntryId | undefined {
    return this.#goneCount === 0 ? undefined : this.#idBefore;
  }

  get isAllGone(): boolean {
    return this.#goneCount > 0 && this.segments.length === 0;
  }

  /** What there is to say of the log as a whole. */
  get notes(): string[] {
    const { goneId } = this;
    const what = `entries up to ${goneId} were checkpointed while being read, this is the rest`;
    const gone = goneId === undefined ? [] : [what];
    return this.hasFormat0 ? [...gone, FORMAT_0_NOTE] : gone;
  }

  /** What there is to say of an entry that is not whole at the end. */
  get whyTorn(): string {
    const isFormat0 = this.reader.segments.at(-1)?.formatVersion === 0;
    return isFormat0 ? 'that was never completed, or is damaged' : 'that was never completed';
  }

  /**
   * Calls `use` for every whole entry, with a progress bar on a terminal. `onGone` is called for each segment that was
   * checkpointed before all of it was used: that segment and all before it are then safe outside the log.
   */
  async forEach(use: Use, { onGone, ...options }: ReadOptions & { onGone?: () => Promise<void> } = {}): Promise<void> {
    const progress = new Progress();
    const { segments } = this.reader;
    const total = segments.reduce((sum, { end }) => sum + end, 0);
    let done = 0;
    this.#contents = new Map();
    this.#goneCount = 0;
    try {
      for (const [i, { segmentId, end }] of segments.entries()) {
        try {
          for await (const entry of this.reader.entriesOf(segmentId, options)) {
            addEntry(this.#contents, entry);
            progress.update(done + entry.extent.end, total);
            if ((await use(entry)) === false) return;
          }
        } catch (error) {
          if (!isGone(error)) throw error;
          for (const gone of segments.slice(0, i + 1)) this.#contents.delete(gone.segmentId);
          this.#goneCount = i + 1;
          await onGone?.();
        }
        done += end;
      }
    } finally {
      progress.end();
    }
  }

  /** Throws if the entry `id` was checkpointed before the log was opened. */
  assertNotGone(id: EntryId): void {
    const { goneId } = this.reader;
    if (id > goneId) return;
    const message = `entry ${id} has been checkpointed, as have all up to ${goneId}; the oldest left is above that`;
    throw new WalError('WAL_POSITION_GONE', message);
  }

  /** Reads every entry for what that shows. */
  async readAll(): Promise<void> {
    await this.forEach(() => undefined);
  }

  /** As `forEach`, but looks at the log again while all of it is checkpointed before it can be read. */
  async survey(use: Use = () => undefined, onGone?: () => Promise<void>): Promise<void> {
    for (let look = 1; ; look++) {
      await this.forEach(use, onGone === undefined ? {} : { onGone });
      if (!this.isAllGone || look === LOOKS) return;
      this.#errors.clear();
      await this.reader.refresh();
    }
  }

  /** The highest id before the first segment that is not gone. */
  get #idBefore(): EntryId {
    const { segments, goneId, lastId } = this.reader;
    if (this.#goneCount === 0) return goneId;
    // A segment is named after the lowest id that it could hold.
    const next = segments.at(this.#goneCount)?.segmentId;
    return segments[this.#goneCount - 1].lastId ?? (next === undefined ? lastId : next - 1);
  }
}

/** Whether `error` says that a segment was checkpointed before it could be read. */
function isGone(error: unknown): boolean {
  return error instanceof WalError && error.code === 'WAL_POSITION_GONE';
}

/** Says that entries of a live log went before they could be printed. */
export function noteGone({ goneId }: FoundLog, isJson: boolean): void {
  if (goneId !== undefined) noteRemark(isJson, `entries up to ${goneId} were checkpointed while being printed`);
}

/** Reports damage to those who wanted entries. */
export function noteDamage(damage: readonly Damage[], isJson: boolean): void {
  for (const { message, lost, ...place } of damage) {
    const error = { code: 'WAL_CORRUPT', message: `${message}; ${lost}`, ...place };
    noteError(isJson, `damaged: ${error.message}`, error);
  }
}

/** Says why nothing of a damaged log was `done`, and what copies the rest. Returns the exit status for that. */
export function refuseDamaged(damage: readonly Damage[], done: string, isJson: boolean): number {
  noteDamage(damage, isJson);
  const message = `the log is damaged: nothing was ${done}; \`segmented-wal repair\` copies what is whole`;
  noteError(isJson, message, { code: 'WAL_CORRUPT', message });
  return DAMAGED;
}

async function assertFinished(directory: string): Promise<void> {
  const isUnfinished = await access(path.join(directory, UNFINISHED_NAME)).then(() => true, () => false);
  if (!isUnfinished) return;
  throw new InputError(`${directory} holds an unfinished copy, so entries are missing; delete it and copy again`);
}
