import type { EntryId } from '../index.js';
import { timeOfMessage } from './entry-format.js';
import { RECORD_HEADER_LENGTH, type Slice } from './run-format.js';

type Growing = { -readonly [Name in keyof Slice]: Slice[Name] };

/** Makes the index of a run from its records, in their order. */
export class IndexBuilder {
  readonly #slices: Growing[] = [];

  get slices(): readonly Slice[] {
    return this.#slices;
  }

  /** Adds the record at `offset`. Returns whether it may stand there: by topic, and then by id. */
  add(topic: number, id: EntryId, entry: Buffer, offset: number): boolean {
    const time = timeOfMessage(entry);
    const bytes = RECORD_HEADER_LENGTH + entry.length;
    const last = this.#slices.at(-1);
    if (last?.topic !== topic) {
      this.#slices.push({ topic, count: 1, firstId: id, lastId: id, offset, bytes, firstTime: time, lastTime: time });
      return topic > (last?.topic ?? 0);
    }
    const isAscending = id > last.lastId;
    last.count++;
    last.lastId = id;
    last.bytes += bytes;
    last.firstTime = Math.min(last.firstTime, time);
    last.lastTime = Math.max(last.lastTime, time);
    return isAscending;
  }
}
