import { deferred, ignoreRejection } from '../base/async.js';
import { asBuffer } from '../base/bytes.js';
import { WalError, type Entry, type EntryId, type LogManager, type LogPosition } from '../index.js';
import type { RecoveredSegment, SegmentReader, WriteAheadLog } from '../index.js';
import type { Core } from './core.js';
import { MESSAGE } from './entry-format.js';
import type { Registry } from './registry.js';
import { decodeState, type Stored } from './state-format.js';
import type { TopicFiles } from './topic-files.js';

/** In the header of every segment. */
export const VERSION_INFO = Buffer.from('topics 1');

const NOTHING: Stored = { checkpointedId: 0, appliedId: 0, runs: [] };

/** The log's side of topics: what is recovered goes to the registry, and full segments to the checkpoints. */
export class TopicsManager implements LogManager {
  readonly #files: TopicFiles;
  readonly #registry: Registry;
  readonly #opened = deferred<Core>();
  #stored = NOTHING;
  #lastId: EntryId = 0;

  constructor(files: TopicFiles, registry: Registry) {
    this.#files = files;
    this.#registry = registry;
    ignoreRejection(this.#opened.promise);
  }

  /** Entries up to here have been recovered. */
  get lastId(): EntryId {
    return this.#lastId;
  }

  async shouldRecoverSegment({ versionInfo }: RecoveredSegment): Promise<'recover'> {
    if (VERSION_INFO.equals(versionInfo)) return 'recover';
    const found = JSON.stringify(asBuffer(versionInfo).toString());
    throw new TypeError(`this is not a log of topics: its segments say ${found}`);
  }

  /** What the state file says. */
  get stored(): Stored {
    return this.#stored;
  }

  /** Reads the state file and opens the runs. The log then leaves out what is in them. */
  async open(): Promise<EntryId> {
    const bytes = await this.#files.readState();
    if (bytes === undefined) return 0;
    this.#stored = decodeState(bytes, 'topics-state', this.#registry);
    const runs = [];
    try {
      for (const number of this.#stored.runs) runs.push(await this.#files.openRun(number));
    } catch (error) {
      for (const run of runs) await run.close();
      throw error;
    }
    for (const { name, isReindexed } of runs) {
      if (!isReindexed) continue;
      const message = `the index of ${name} is damaged: it was made from the messages, of which none is lost`;
      process.emitWarning(message, { code: 'TOPICS_INDEX_DAMAGED' });
    }
    this.#registry.runs.replace(runs);
    return this.#stored.checkpointedId;
  }

  recover(entry: Entry): void | Promise<void> {
    if (this.#lastId === 0) assertReaches(this.#stored.checkpointedId, entry.id - 1);
    this.#lastId = entry.id;
    // There may be a million: a promise for each would be felt.
    if (!entry.visitInMemory(this.#visit)) return this.#recoverFromFile(entry);
  }

  readonly #visit = (bytes: Uint8Array, position: LogPosition): void => {
    this.#apply(this.#lastId, asBuffer(bytes), position);
  };

  async #recoverFromFile(entry: Entry): Promise<void> {
    const { value: chunk } = await entry[Symbol.asyncIterator]().next();
    if (chunk === undefined) throw new WalError('WAL_CORRUPT', `entry ${entry.id} was not written by topics`);
    this.#apply(entry.id, asBuffer(await chunk.readAll()), chunk.position);
  }

  #apply(id: EntryId, bytes: Buffer, position: LogPosition): void {
    if (bytes[0] === MESSAGE || id > this.#stored.appliedId) this.#registry.apply(id, bytes, position);
  }

  /** The topics are open: what is handed over to `checkpointTo` can be taken. */
  opened(core: Core): void {
    this.#opened.resolve(core);
  }

  /** They could not be opened: nothing is checkpointed, and no file stays open. */
  async failed(error: unknown): Promise<void> {
    this.#opened.reject(error);
    for (const run of this.#registry.runs) await run.close();
  }

  async checkpointTo(lastId: EntryId, entries: SegmentReader, log: WriteAheadLog, signal: AbortSignal): Promise<void> {
    const core = await this.#opened.promise;
    await core.checkpoints.checkpoint(lastId, entries, log, signal);
    core.mergeRuns();
  }
}

/**
 * Throws `WAL_CORRUPT` if entries up to `goneId` are gone, but not in the state, which ends with `checkpointedId`:
 * segments that were checkpointed cannot be done without it.
 */
export function assertReaches(checkpointedId: EntryId, goneId: EntryId): void {
  if (goneId <= checkpointedId) return;
  const message = `entries up to ${goneId} are gone, but topics-state is missing or older: it ends with`;
  throw new WalError('WAL_CORRUPT', `${message} ${checkpointedId}. Put it back, with the runs, from a backup`);
}
