import { asBuffer } from '../base/bytes.js';
import { hasCode } from '../base/errno.js';
import { NodeFileManager, type WalError, type EntryId, type LogPosition } from '../index.js';
import { MESSAGE, topicOfMessage } from '../topics/entry-format.js';
import { assertReaches, VERSION_INFO } from '../topics/manager.js';
import { Registry } from '../topics/registry.js';
import type { StoredMessage } from '../topics/run.js';
import { decodeState } from '../topics/state-format.js';
import { TopicFiles } from '../topics/topic-files.js';
import { InputError } from './command.js';
import { FoundLog } from './found-log.js';

/** How often topics are looked at again whose owner has replaced their files before these were read. */
const LOOKS = 100;
/** Read from a run in one call. */
const BLOCK_BYTES = 1024 * 1024;

/** What was about to be read is in a run by now, or gone. */
class Overtaken extends Error {}

/** Topics as the commands find them: what the state file says, and what the entries of the log after it do. */
export class FoundTopics {
  readonly log: FoundLog;
  readonly registry = new Registry();
  readonly #files: TopicFiles;
  #checkpointedId: EntryId = 0;
  /** Entries up to here have no more to say but messages. */
  #appliedId: EntryId = 0;

  private constructor(log: FoundLog, files: TopicFiles) {
    this.log = log;
    this.#files = files;
  }

  /** Rejects with an InputError where there are no topics, and with `WAL_CORRUPT` if their files are damaged. */
  static async open(directory: string): Promise<FoundTopics> {
    let previous: string | undefined;
    for (let look = 1; ; look++) {
      // First: what is not in its segments any more is in the runs that the state names.
      const log = await FoundLog.open(directory);
      assertTopics(log, directory);
      const found = new FoundTopics(log, new TopicFiles(directory, new NodeFileManager()));
      const state = await found.#files.readState();
      try {
        await found.#load(state);
        return found;
      } catch (error) {
        await found.close();
        const current = state?.toString('latin1') ?? '';
        // Unless they have been replaced, they are not whole.
        if (look === LOOKS || !isOvertaken(error) || current === previous) throw error;
        previous = current;
      }
    }
  }

  /** Messages up to here are not in the log any more, but in runs as far as they are wanted. */
  get checkpointedId(): EntryId {
    return this.#checkpointedId;
  }

  /** Closes its files. */
  async close(): Promise<void> {
    for (const run of this.registry.runs) await run.close();
    await this.log.reader.close();
  }

  /**
   * Calls `use` for every message of the topic `name` after the entry `after`, oldest first, and resolves with the id
   * of the last entry there was. Rejects as `isOvertaken` tells if messages went meanwhile: they may be in a run now.
   */
  async forEachMessage(
    name: string, after: EntryId, use: (message: StoredMessage) => unknown,
  ): Promise<EntryId> {
    if (after < this.#checkpointedId) await this.#forEachStored(name, after, use);
    let last = Math.max(after, this.#checkpointedId);
    await this.#forEachEntry(last, async (id, bytes) => {
      last = id;
      if (bytes[0] !== MESSAGE && id > this.#appliedId) this.#apply(id, bytes);
      const topic = this.registry.topicNumbered(topicOfMessage(bytes));
      if (topic?.name === name && id > topic.floor) await use({ id, bytes });
    });
    return last;
  }

  /** Looks for entries that have been added. */
  refresh(): Promise<unknown> {
    return this.log.reader.refresh();
  }

  async #load(state: Buffer | undefined): Promise<void> {
    if (state !== undefined) {
      const { checkpointedId, appliedId, runs } = decodeState(state, 'topics-state', this.registry);
      this.#checkpointedId = checkpointedId;
      this.#appliedId = appliedId;
      const opened = [];
      for (const number of runs) {
        opened.push(await this.#files.openRun(number));
        this.registry.runs.replace([...opened]);
      }
    }
    assertReaches(this.#checkpointedId, this.log.reader.goneId);
    await this.#forEachEntry(this.#checkpointedId, (id, bytes, position) => {
      if (bytes[0] === MESSAGE) this.registry.apply(id, bytes, position);
      else if (id > this.#appliedId) this.#apply(id, bytes, position);
    });
  }

  #apply(id: EntryId, bytes: Buffer, position = this.log.reader.end): void {
    this.registry.apply(id, bytes, position);
    this.#appliedId = id;
  }

  async #forEachStored(name: string, after: EntryId, use: (message: StoredMessage) => unknown): Promise<void> {
    const topic = this.registry.topicNamed(name);
    if (topic === undefined) return;
    for (const run of this.registry.runs) {
      const slice = run.find(topic.number);
      if (slice === undefined || slice.lastId <= after) continue;
      for (let at = slice.offset; at < slice.offset + slice.bytes;) {
        const { messages, end } = await run.read(slice, at, BLOCK_BYTES);
        for (const message of messages) if (message.id > Math.max(after, topic.floor)) await use(message);
        at = end;
      }
    }
  }

  /** Calls `use` for every entry above `after`. */
  async #forEachEntry(
    after: EntryId, use: (id: EntryId, bytes: Buffer, position: LogPosition) => unknown,
  ): Promise<void> {
    const { goneId } = this.log.reader;
    const overtaken = (): Promise<never> => Promise.reject(new Overtaken('entries went while they were read'));
    if (goneId > after) await overtaken();
    await this.log.forEach(async (entry) => {
      if (entry.id <= after) return;
      const { value: chunk } = await entry[Symbol.asyncIterator]().next();
      if (chunk !== undefined) await use(entry.id, asBuffer(await chunk.readAll()), chunk.position);
    }, { from: after + 1, onGone: overtaken });
  }
}

/** Whether what was read had been replaced meanwhile, by the owner of the topics. */
export function isOvertaken(error: unknown): boolean {
  const { cause } = error as WalError;
  return error instanceof Overtaken || hasCode(error, 'WAL_POSITION_GONE', 'ENOENT') || hasCode(cause, 'ENOENT');
}

function assertTopics({ reader }: FoundLog, directory: string): void {
  const other = reader.segments.find(({ versionInfo }) => !VERSION_INFO.equals(versionInfo));
  if (other === undefined) return;
  throw new InputError(`${directory} holds a log that is not one of topics`);
}
