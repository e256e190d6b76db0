import path from 'node:path';
import MiniSearch, { type SearchOptions, type SearchResult } from 'minisearch';
import {
  NodeFileManager, WriteAheadLog,
  type Entry, type FileManager, type SegmentReader, type WalOptions,
} from 'segmented-wal';
import { SnapshotFile } from 'segmented-wal/snapshot';

/** Those of the log, which the index passes on. Its export is stored through `fileManager` too. */
export type SearchIndexOptions = Omit<WalOptions, 'versionInfo' | 'sync'>;

export interface SearchDocument {
  readonly id: string;
  readonly title: string;
  readonly text: string;
}

/** What an entry of the log says, as JSON: this is the document with this id, or there is none. */
interface Change {
  readonly id: string;
  readonly document?: Omit<SearchDocument, 'id'>;
}

const FIELDS = ['title', 'text'];
export const INDEX_OPTIONS = { fields: FIELDS, storeFields: FIELDS };
const VERSION_INFO = Buffer.from('search-index 1');

/**
 * A durable full-text index: MiniSearch, which lives in memory, on top of the log. Each change of a document is one
 * entry; a checkpoint exports the whole index, with the id of the segment's last entry; opening loads the export
 * and replays what the log has beyond it.
 *
 * The export is taken from memory, so it can contain changes behind `lastId`, which will be replayed over it. That is
 * right, because only what is durable gets into memory, so the log still has each of these changes; because a change
 * says all there is to say of one document; and because they come in order: the last one of each document wins again.
 */
export class SearchIndex {
  readonly #directory: string;
  /** The library's own export of the index. */
  readonly #file: SnapshotFile;
  #log!: WriteAheadLog;
  #index = new MiniSearch<SearchDocument>(INDEX_OPTIONS);
  /** The last entry that is in the export for certain. */
  #exportedId = 0;
  /** The entry that last changed a document, where that is behind `#exportedId`. Removed documents are among them. */
  readonly #changedBy = new Map<string, number>();

  private constructor(directory: string, fileManager: FileManager) {
    this.#directory = directory;
    this.#file = new SnapshotFile(path.join(directory, 'export'), { fileManager });
  }

  /** Opens the index in `directory`, which is created if need be. Rejects as `WriteAheadLog.recover` does. */
  static async open(directory: string, options: SearchIndexOptions = {}): Promise<SearchIndex> {
    const index = new SearchIndex(directory, options.fileManager ?? new NodeFileManager());
    await index.#open(options);
    return index;
  }

  /** For its events and figures. */
  get log(): WriteAheadLog {
    return this.#log;
  }

  get size(): number {
    return this.#index.documentCount;
  }

  /** Adds a document, or replaces the one with the same id. Resolves when that is durable. */
  async put({ id, title, text }: SearchDocument): Promise<void> {
    // Before it is written: an entry that cannot be applied would be met again at every opening.
    for (const field of [id, title, text]) assertText(field);
    await this.#commit({ id, document: { title, text } });
  }

  /** Removes a document, if there is one with this id. Resolves when that is durable. */
  async remove(id: string): Promise<void> {
    assertText(id);
    // Even if there is none: a change of this document may be on its way.
    await this.#commit({ id });
  }

  get(id: string): SearchDocument | undefined {
    const fields = this.#index.getStoredFields(id);
    return fields && { id, ...(fields as Omit<SearchDocument, 'id'>) };
  }

  search(query: string, options?: SearchOptions): SearchResult[] {
    return this.#index.search(query, options);
  }

  /** Resolves when what was begun is done and the directory is free. */
  async close(): Promise<void> {
    await this.#log.shutdown();
  }

  async #open(options: SearchIndexOptions): Promise<void> {
    this.#log = await WriteAheadLog.recover(this.#directory, {
      shouldRecoverSegment({ versionInfo }) {
        if (VERSION_INFO.equals(versionInfo)) return 'recover';
        throw new Error('not the log of a search index');
      },
      open: () => this.#load(),
      recover: (entry) => this.#replay(entry),
      checkpointTo: (lastId, entries, _log, signal) => this.#checkpointTo(lastId, entries, signal),
    }, { ...options, sync: 'commit', versionInfo: VERSION_INFO });
  }

  async #load(): Promise<number> {
    const snapshot = await this.#file.load();
    if (snapshot === undefined) return 0;
    this.#index = MiniSearch.loadJSON(await snapshot.text(), INDEX_OPTIONS);
    this.#exportedId = snapshot.lastId;
    return snapshot.lastId;
  }

  /** Memory comes second: no search and no export may show what a crash can still take away. */
  async #commit(change: Change): Promise<void> {
    const { id } = await this.#log.append(JSON.stringify(change));
    this.#apply(id, change);
  }

  async #replay(entry: Entry): Promise<void> {
    const [json] = await entry.readAllChunks();
    this.#apply(entry.id, JSON.parse(Buffer.from(json).toString()) as Change);
  }

  /** Commits can be heard of in another order than they were made, and after they were checkpointed. */
  #apply(entryId: number, { id, document }: Change): void {
    if (entryId <= (this.#changedBy.get(id) ?? this.#exportedId)) return;
    this.#changedBy.set(id, entryId);
    const previous = this.get(id);
    // Not `discard` or `replace`: they clear up later, from a timer, which fails if the index is changed meanwhile.
    if (previous !== undefined) this.#index.remove(previous);
    if (document !== undefined) this.#index.add({ id, ...document });
  }

  async #checkpointTo(lastId: number, entries: SegmentReader, signal: AbortSignal): Promise<void> {
    // A commit in the segment may not have been heard of yet.
    for await (const entry of entries) await this.#replay(entry);
    await this.#file.save(lastId, JSON.stringify(this.#index), { signal });
    this.#exportedId = lastId;
    for (const [id, entryId] of this.#changedBy) if (entryId <= lastId) this.#changedBy.delete(id);
  }
}

function assertText(value: unknown): void {
  if (typeof value !== 'string') throw new TypeError(`a document has an id, a title and a text, not ${typeof value}`);
}
