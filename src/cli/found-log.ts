import { stat } from 'node:fs/promises';
import { WriteAheadLog } from '../index.js';
import type { Entry, EntryId, ReadOnlyLog, ReadOptions, WalError } from '../index.js';
import { InputError } from './command.js';
import { Progress } from './output.js';

/** Damage, and between which whole entries it was found. */
export interface Damage {
  readonly error: WalError;
  /** The last whole entry before it; undefined where damage was found before any entry was read. */
  readonly after: EntryId | undefined;
  /** The first whole entry behind it, as soon as that is known. */
  before?: EntryId;
}

/** A log as the commands find it: damage is noted down, and what is whole is read all the same. */
export class FoundLog {
  readonly reader: ReadOnlyLog;
  readonly damage: readonly Damage[];
  readonly #state: { last: EntryId | undefined };

  private constructor(reader: ReadOnlyLog, damage: readonly Damage[], state: { last: EntryId | undefined }) {
    this.reader = reader;
    this.damage = damage;
    this.#state = state;
  }

  static async open(directory: string): Promise<FoundLog> {
    const stats = await stat(directory).catch((error: unknown) => {
      throw new InputError(`${directory} cannot be read: ${(error as Error).message}`);
    });
    if (!stats.isDirectory()) throw new InputError(`${directory} is not a directory; a log is one`);
    const damage: Damage[] = [];
    const state: { last: EntryId | undefined } = { last: undefined };
    const onDamage = (error: WalError): void => void damage.push({ error, after: state.last });
    const reader = await WriteAheadLog.openReadOnly(directory, { onDamage });
    const isLog = reader.segments.length + reader.spares.length > 0;
    if (!isLog) throw new InputError(`${directory} holds no log: no file in it is named like wal-1`);
    return new FoundLog(reader, damage, state);
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
    this.#state.last = 0;
    try {
      for await (const entry of this.reader.entries(options)) {
        this.#state.last = entry.id;
        for (const damage of this.damage) if (damage.after !== undefined) damage.before ??= entry.id;
        progress.update((starts.get(entry.segment.segmentId) ?? 0) + entry.extent.end, total);
        yield entry;
      }
    } finally {
      progress.end();
    }
  }
}

/** Which entries damage took, at most: an id in between may never have been an entry's. */
export function lostEntries({ after, before }: Damage, lastId: EntryId): string {
  if (after === undefined) return 'what it held is lost';
  const to = before === undefined ? lastId : before - 1;
  if (to <= after) return before === undefined ? `what came behind entry ${after} is lost` : 'no entry is lost';
  return to === after + 1 ? `entry ${to} is lost` : `entries ${after + 1} to ${to} are lost`;
}
