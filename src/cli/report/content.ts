import type { Entry, EntryId } from '../../index.js';

/** What a segment holds, as reading all of it has shown. */
export interface Content {
  readonly segmentId: number;
  readonly entries: number;
  readonly firstId: EntryId;
  readonly lastId: EntryId;
}

/** The content of every segment that holds an entry, by its id, oldest first. */
export type Contents = ReadonlyMap<number, Content>;

/** Adds the entry that was read after all others. */
export function addEntry(contents: Map<number, Content>, { id, segment: { segmentId } }: Entry): void {
  const { entries, firstId } = contents.get(segmentId) ?? { entries: 0, firstId: id };
  contents.set(segmentId, { segmentId, entries: entries + 1, firstId, lastId: id });
}
