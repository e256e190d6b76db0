import { removeEmptyLast } from '../archive/log-builder.js';
import { WriteAheadLog } from '../index.js';
import type { CreateOptions, Entry, EntryId, LogManager, WalOptions } from '../index.js';
import type { FoundLog } from './found-log.js';
import { withInterrupts } from './interrupts.js';
import { NewDirectory } from './new-directory.js';
import { count, note } from './output.js';

const LEAST_SEGMENT_BYTES = 64 * 1024;
const MOST_SEGMENT_BYTES = 32 * 1024 * 1024;
/** A larger entry is copied in pieces, and a larger batch entry by entry. */
const LARGE_BYTES = 4 * 1024 * 1024;
const MAX_PENDING = 1000;

/** The outcome of a copy. */
export interface Copied {
  readonly entries: number;
}

/** A manager that checkpoints nothing: what is written into the log stays in the log. */
export const keepAll: LogManager = {
  recover: () => undefined,
  checkpointTo(_lastId, _entries, log) {
    // Where nothing listens, a failure is a process warning. The first can come before `recover` has resolved.
    if (log.listenerCount('checkpointFailed') === 0) log.on('checkpointFailed', () => undefined);
    throw new Error('this log keeps its entries');
  },
};

/** What there is to say of a copy. */
export function copiedTo(directory: string, { entries }: Copied): string {
  if (entries === 0) return 'there is no whole entry: nothing was copied, and nothing created';
  const ids = entries === 1 ? 'with its id' : 'with their ids';
  return `${count(entries, 'entry', 'entries')} copied to ${directory}, ${ids}`;
}

/**
 * Copies every whole entry into a new log in `directory`, in order. The new log has its name only once it is complete
 * and durable: a copy that fails, or is interrupted, leaves nothing under that name.
 */
export async function copyLog(source: FoundLog, directory: string, identity?: string): Promise<Copied> {
  const place = await NewDirectory.at(directory);
  const target = new Target(place, Math.max(0, ...source.reader.segments.map((segment) => segment.size)), identity);
  return withInterrupts(async (signal) => {
    try {
      // What is checkpointed meanwhile goes together with all before it: the copy is the log as it was after that.
      await source.survey((entry) => target.add(entry, signal), () => target.startOver());
      await target.close();
      if (target.copied.entries === 0) {
        await place.discard();
        return target.copied;
      }
      await assertArrived(place.workPath, target.copied.entries);
      signal.throwIfAborted();
      await place.complete();
      return target.copied;
    } catch (error) {
      // The first error tells more than those that follow from it.
      await target.close().catch(() => undefined);
      await place.discard().catch((left: unknown) => note(`${place.workPath} is left: ${(left as Error).message}`));
      throw error;
    }
  });
}

/** Reads the new log as its users will. */
async function assertArrived(directory: string, entries: number): Promise<void> {
  const reader = await WriteAheadLog.openReadOnly(directory);
  let found = 0;
  for await (const _ of reader) found++;
  await reader.close();
  if (found !== entries) throw new Error(`only ${found} of ${count(entries, 'entry', 'entries')} arrived in the copy`);
}

/** The new log, made with its first entry. Its segments have the version info that their entries had. */
class Target {
  readonly #place: NewDirectory;
  readonly #preallocateBytes: number;
  readonly #identity: string | undefined;
  #entries = 0;
  #log: WriteAheadLog | undefined;
  #versionInfo: Uint8Array = new Uint8Array();
  #nextId: EntryId = 1;
  #pending: Promise<unknown>[] = [];
  /** The batch that is being read, as long as it is not large. */
  #batch: Uint8Array[][] = [];
  #batchBytes = 0;

  constructor(place: NewDirectory, segmentBytes: number, identity: string | undefined) {
    this.#place = place;
    this.#identity = identity;
    this.#preallocateBytes = Math.min(MOST_SEGMENT_BYTES, Math.max(LEAST_SEGMENT_BYTES, segmentBytes));
  }

  get copied(): Copied {
    return { entries: this.#entries };
  }

  async add(entry: Entry, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const log = await this.#logFor(entry);
    if (entry.id > this.#nextId) this.#push(log.skipTo(entry.id));
    const { start, end } = entry.extent;
    this.#batchBytes += end - start;
    if (this.#batchBytes <= LARGE_BYTES) {
      this.#batch.push(await entry.readAllChunks());
      if (entry.endsBatch) this.#push(log.appendBatch(this.#batch.splice(0)));
    } else {
      for (const chunks of this.#batch.splice(0)) this.#push(log.append(chunks));
      if (end - start > LARGE_BYTES) await stream(entry, log, signal);
      else this.#push(log.append(await entry.readAllChunks()));
    }
    if (entry.endsBatch) this.#batchBytes = 0;
    this.#entries++;
    this.#nextId = entry.id + 1;
    if (this.#pending.length >= MAX_PENDING) await this.#settle();
  }

  /** Removes what has been copied. */
  async startOver(): Promise<void> {
    await this.close();
    if (this.#log !== undefined) await this.#place.clear();
    this.#log = undefined;
    this.#batch = [];
    this.#batchBytes = this.#entries = 0;
    this.#nextId = 1;
  }

  async close(): Promise<void> {
    try {
      await this.#settle();
    } finally {
      await this.#log?.shutdown();
    }
  }

  async #logFor(entry: Entry): Promise<WriteAheadLog> {
    const { versionInfo } = entry.segment;
    if (this.#log !== undefined && Buffer.compare(versionInfo, this.#versionInfo) === 0) return this.#log;
    await this.close();
    const isFirst = this.#log === undefined;
    const directory = this.#place.workPath;
    this.#versionInfo = versionInfo;
    const options: WalOptions = { preallocateBytes: this.#preallocateBytes, versionInfo };
    if (isFirst) {
      await this.#place.make();
      this.#log = await WriteAheadLog.create(directory, keepAll, { ...options, ...this.#beginningWith(entry.id) });
    } else {
      await removeEmptyLast(directory);
      this.#log = await WriteAheadLog.recover(directory, keepAll, options);
      // The version info is that of the next segment.
      await this.#log.checkpointActive();
    }
    this.#nextId = this.#log.stats().nextId;
    return this.#log;
  }

  #beginningWith(nextId: EntryId): CreateOptions {
    return this.#identity === undefined ? { nextId } : { nextId, identity: this.#identity };
  }

  #push(append: Promise<unknown>): void {
    // It may fail before it is awaited.
    append.catch(() => undefined);
    this.#pending.push(append);
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }
}

async function stream(entry: Entry, log: WriteAheadLog, signal: AbortSignal): Promise<void> {
  const writer = await log.beginEntry();
  try {
    for await (const chunk of entry) {
      const copy = await writer.beginChunk(chunk.length);
      for await (const piece of chunk) {
        signal.throwIfAborted();
        await copy.write(piece);
      }
      await copy.finish();
    }
    await writer.commit();
  } finally {
    await writer[Symbol.asyncDispose]();
  }
}
