import path from 'node:path';
import { assert } from '../base/assert.js';
import { NodeFileManager, WriteAheadLog } from '../index.js';
import type { EntryId, LogManager, WalOptions } from '../index.js';

/** How many entries are under way before the next one is read. */
const MAX_PENDING = 1000;
/** Longer batches are written in one piece nevertheless, but nothing else is held beside them. */
const MAX_PENDING_BYTES = 16 * 1024 * 1024;

interface ChunkToCopy extends AsyncIterable<Uint8Array> {
  readonly length: number;
}

/** An entry of another log. */
export interface EntryToCopy extends AsyncIterable<ChunkToCopy> {
  readonly id: EntryId;
  readonly endsBatch: boolean;
  readonly versionInfo: Uint8Array;
  chunksInMemory(): Uint8Array[] | undefined;
  readAllChunks(): Promise<Uint8Array[]>;
}

/** What the new log is. */
export interface LogToBuild {
  /** The id of its first entry, or a lower one. */
  readonly nextId: EntryId;
  readonly identity?: string | undefined;
  readonly preallocateBytes?: number | undefined;
}

/** A manager that checkpoints nothing: what is written into the log stays in the log. */
const keepAll: LogManager = {
  recover: () => undefined,
  checkpointTo: (_lastId, _entries, _log, signal) => new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  }),
};

/**
 * A new log with the entries of another, in their batches, with their ids, in segments with their version info. It is
 * whole and durable when `close` has resolved, and not before: what comes after a crash is thrown away.
 */
export class LogBuilder {
  readonly #directory: string;
  readonly #options: WalOptions;
  #log: WriteAheadLog | undefined;
  #versionInfo: Uint8Array | undefined;
  readonly #beginning: LogToBuild;
  /** The entries of a batch of which the last has not come. */
  #batch: Uint8Array[][] = [];
  #batchId: EntryId = 0;
  #lastId: EntryId;
  #pending: Promise<unknown>[] = [];
  #pendingBytes = 0;

  constructor(directory: string, beginning: LogToBuild) {
    const { preallocateBytes } = beginning;
    this.#directory = directory;
    this.#options = { sync: 'manual', ...preallocateBytes !== undefined && { preallocateBytes } };
    this.#beginning = beginning;
    this.#lastId = beginning.nextId - 1;
  }

  /** The last entry that is in the log with its whole batch. */
  get lastId(): EntryId {
    return this.#lastId;
  }

  /** Adds the next entry. It has been read when this resolves. */
  async add(entry: EntryToCopy): Promise<void> {
    const isAlone = entry.endsBatch && this.#batch.length === 0;
    const chunks = entry.chunksInMemory() ?? (isAlone ? undefined : await entry.readAllChunks());
    if (this.#batch.length === 0) this.#batchId = entry.id;
    if (chunks === undefined) await this.#stream(entry, await this.#logFor(entry));
    else {
      this.#batch.push(chunks);
      for (const { length } of chunks) this.#pendingBytes += length;
      if (entry.endsBatch) this.#append(await this.#logFor(entry));
    }
    if (entry.endsBatch) this.#lastId = entry.id;
    if (this.#pending.length >= MAX_PENDING || this.#pendingBytes >= MAX_PENDING_BYTES) await this.#settle();
  }

  /** Leaves out a batch of which the last entry has not come. Makes everything else durable. */
  async close(): Promise<void> {
    this.#log ??= await this.#create(this.#versionInfo);
    await this.#shutDown();
  }

  /** For a log that will not be used. */
  async abandon(): Promise<void> {
    await this.#shutDown().catch(() => undefined);
  }

  #append(log: WriteAheadLog): void {
    const [batch, firstId] = [this.#batch, this.#batchId];
    this.#batch = [];
    const appended = log.appendBatch(batch).then((entries) => {
      assert(entries[0].id === firstId, `entry ${firstId} became entry ${entries[0].id}`);
    });
    this.#push(appended);
  }

  async #stream(entry: EntryToCopy, log: WriteAheadLog): Promise<void> {
    const writer = await log.beginEntry();
    try {
      assert(writer.id === entry.id, `entry ${entry.id} became entry ${writer.id}`);
      for await (const chunk of entry) {
        const copy = await writer.beginChunk(chunk.length);
        for await (const piece of chunk) await copy.write(piece);
        await copy.finish();
      }
      await writer.commit();
    } finally {
      await writer[Symbol.asyncDispose]();
    }
  }

  /** The log, about to give out the id of the batch that begins with this entry, or that it ends. */
  async #logFor({ versionInfo }: EntryToCopy): Promise<WriteAheadLog> {
    const isFirst = this.#log === undefined;
    const isOther = this.#versionInfo === undefined || Buffer.compare(versionInfo, this.#versionInfo) !== 0;
    const log = this.#log === undefined ? await this.#create(versionInfo)
      : isOther ? await this.#continueWith(versionInfo) : this.#log;
    this.#log = log;
    this.#versionInfo = versionInfo;
    if (isFirst || this.#batchId > this.#lastId + 1) this.#push(log.skipTo(this.#batchId));
    return log;
  }

  #create(versionInfo: Uint8Array = new Uint8Array()): Promise<WriteAheadLog> {
    const { nextId, identity } = this.#beginning;
    const options = { ...this.#options, versionInfo, nextId, ...identity !== undefined && { identity } };
    return WriteAheadLog.create(this.#directory, keepAll, options);
  }

  /** The version info is that of the next segment. */
  async #continueWith(versionInfo: Uint8Array): Promise<WriteAheadLog> {
    await this.#shutDown();
    await removeEmptyLast(this.#directory);
    const log = await WriteAheadLog.recover(this.#directory, keepAll, { ...this.#options, versionInfo });
    await log.checkpointActive();
    this.#push(log.skipTo(this.#batchId));
    return log;
  }

  async #shutDown(): Promise<void> {
    const log = this.#log;
    this.#log = undefined;
    try {
      await this.#settle();
    } finally {
      await log?.shutdown();
    }
  }

  #push(task: Promise<unknown>): void {
    // It may fail before it is awaited.
    task.catch(() => undefined);
    this.#pending.push(task);
  }

  async #settle(): Promise<void> {
    this.#pendingBytes = 0;
    await Promise.all(this.#pending.splice(0));
  }
}

/**
 * Removes a last segment without entries: it would be continued, with the version info of its header, and cannot be
 * closed.
 */
export async function removeEmptyLast(directory: string): Promise<void> {
  const reader = await WriteAheadLog.openReadOnly(directory);
  const [before, last] = reader.segments.slice(-2);
  await reader.close();
  if (last === undefined || before.lastId !== last.lastId) return;
  const files = new NodeFileManager();
  await files.remove(path.join(directory, last.name));
  await files.syncDirectory(directory);
}
