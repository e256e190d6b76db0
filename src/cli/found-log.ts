import { stat } from 'node:fs/promises';
import { WriteAheadLog } from '../index.js';
import type { Entry, EntryId, ReadOnlyLog, ReadOptions, WalError } from '../index.js';
import { InputError } from './command.js';
import { addEntry, type Content, type Contents } from './report/content.js';
import { describeDamage, type Damage } from './report/damage.js';
import { gapsBetween, type Gap } from './report/gaps.js';
import { noteError, Progress } from './output.js';

/** A log as the commands find it: damage is noted down, and what is whole is read all the same. */
export class FoundLog {
  readonly reader: ReadOnlyLog;
  /** By their places: what is wrong with one place is said once, however often it is read. */
  readonly #errors: ReadonlyMap<string, WalError>;
  readonly #goneId: EntryId;
  #contents = new Map<number, Content>();

  private constructor(reader: ReadOnlyLog, errors: ReadonlyMap<string, WalError>, goneId: EntryId) {
    this.reader = reader;
    this.#errors = errors;
    this.#goneId = goneId;
  }

  static async open(directory: string): Promise<FoundLog> {
    const stats = await stat(directory).catch((error: unknown) => {
      throw new InputError(`${directory} cannot be read: ${(error as Error).message}`);
    });
    if (!stats.isDirectory()) throw new InputError(`${directory} is not a directory; a log is one`);
    const errors = new Map<string, WalError>();
    const onDamage = (error: WalError): void => {
      const place = `${error.segmentId} ${error.offset}`;
      // The first says what is wrong with a header, the next only that nothing was found behind it.
      if (!errors.has(place)) errors.set(place, error);
    };
    const reader = await WriteAheadLog.openReadOnly(directory, { onDamage });
    const isLog = reader.segments.length + reader.spares.length > 0;
    if (!isLog) throw new InputError(`${directory} holds no log: no file in it is named like wal-1`);
    return new FoundLog(reader, errors, reader.goneId);
  }

  get hasFormat0(): boolean {
    return this.reader.segments.some(({ formatVersion }) => formatVersion === 0);
  }

  /** What the segments hold, once all of the log has been read. */
  get contents(): Contents {
    return this.#contents;
  }

  /** All that is damaged, as far as it has been found. What is lost is known once all of the log has been read. */
  get damage(): readonly Damage[] {
    const { segments, lastId } = this.reader;
    const surroundings = { segments, contents: this.#contents, goneId: this.#goneId, lastId };
    return [...this.#errors.values()].map((error) => describeDamage(error, surroundings));
  }

  /** The gaps in format 0, once all of the log has been read. */
  get gaps(): readonly Gap[] {
    return gapsBetween(this.reader.segments, this.#contents, this.damage);
  }

  /** What there is to say of an entry that is not whole at the end. */
  get whyTorn(): string {
    const isFormat0 = this.reader.segments.at(-1)?.formatVersion === 0;
    return isFormat0 ? 'that was never completed, or is damaged' : 'that was never completed';
  }

  /** Every whole entry, with a progress bar for those who watch. */
  async *entries(options: ReadOptions = {}): AsyncGenerator<Entry, void, void> {
    const progress = new Progress();
    const starts = new Map<number, number>();
    let total = 0;
    for (const { segmentId, end } of this.reader.segments) {
      starts.set(segmentId, total);
      total += end;
    }
    const contents = new Map<number, Content>();
    this.#contents = contents;
    try {
      for await (const entry of this.reader.entries(options)) {
        addEntry(contents, entry);
        progress.update((starts.get(entry.segment.segmentId) ?? 0) + entry.extent.end, total);
        yield entry;
      }
    } finally {
      progress.end();
    }
  }

  /** Reads every entry for what that shows. */
  async readAll(): Promise<void> {
    for await (const _ of this.entries());
  }
}

/** Tells of damage those who wanted entries. */
export function noteDamage(damage: readonly Damage[], isJson: boolean): void {
  for (const { message, lost, ...place } of damage) {
    const error = { code: 'WAL_CORRUPT', message: `${message}; ${lost}`, ...place };
    noteError(isJson, `damaged: ${error.message}`, error);
  }
}
