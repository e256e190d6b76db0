import { asBuffer } from '../base/bytes.js';
import { hasCode } from '../base/errno.js';
import { WalError, type EntryId, type LogPosition, type WriteAheadLog } from '../index.js';
import type { RecentMessages } from './recent-messages.js';
import type { Registry } from './registry.js';
import type { Run, RunPlace, StoredMessage } from './run.js';
import type { Slice } from './run-format.js';
import type { TopicState } from './state.js';

/** Where messages are read from. */
export interface MessageSources {
  readonly registry: Registry;
  readonly log: WriteAheadLog;
  readonly recent: RecentMessages;
}

/** Read from a run in one call. */
const BLOCK_BYTES = 256 * 1024;
/** How many messages are read at once, and how far apart in the log. */
const MAX_AT_ONCE = 1024;
const MAX_SPREAD_BYTES = 1024 * 1024;

/** Goes through the messages of a topic, from the runs into the log. */
export class TopicReader {
  readonly #sources: MessageSources;
  readonly #topic: TopicState;
  /** Messages up to here have been passed. */
  #after: EntryId;
  /** The last message that was found in the log. */
  #live: EntryId = 0;
  /** Where the next message is, if it is in a run. */
  #place: RunPlace | undefined;

  constructor(sources: MessageSources, topic: TopicState, after: EntryId) {
    this.#sources = sources;
    this.#topic = topic;
    this.#after = after;
  }

  get after(): EntryId {
    return this.#after;
  }

  /** The messages up to `id` have been passed. */
  advance(id: EntryId): void {
    if (id > this.#after) this.#after = id;
  }

  /** Whether there is no message to read now. */
  get isAtEnd(): boolean {
    const { lastLive, number, floor } = this.#topic;
    const after = Math.max(this.#after, floor);
    return lastLive <= after && this.#sources.registry.runs.firstAfter(number, after) === undefined;
  }

  /**
   * The next messages that are durable, none if there are none: at least one, and not many more bytes than asked for.
   * At once if they are in memory. The caller advances when it has taken them. Rejects with `WAL_CORRUPT` for damage.
   */
  read(): readonly StoredMessage[] | Promise<readonly StoredMessage[]> {
    const { registry, recent } = this.#sources;
    this.advance(this.#topic.floor);
    const stored = registry.runs.firstAfter(this.#topic.number, this.#after);
    if (stored !== undefined) return this.#readRun();
    const messages: StoredMessage[] = [];
    for (let id = this.#firstLive(); id !== 0 && messages.length < MAX_AT_ONCE; id = registry.live.next(id)) {
      const bytes = recent.get(id);
      if (bytes === undefined) break;
      messages.push({ id, bytes });
      this.#live = id;
    }
    return messages.length > 0 || this.#firstLive() === 0 ? messages : this.#readLog();
  }

  /** The first message in the log that has not been passed; 0 if there is none. */
  #firstLive(): EntryId {
    const { live } = this.#sources.registry;
    const { firstLive } = this.#topic;
    const isKnown = this.#live >= firstLive && this.#live <= this.#after && firstLive !== 0;
    let id = isKnown ? this.#live : firstLive;
    while (id !== 0 && id <= this.#after) {
      this.#live = id;
      id = live.next(id);
    }
    return id;
  }

  async #readRun(): Promise<readonly StoredMessage[]> {
    for (;;) {
      const stored = this.#sources.registry.runs.firstAfter(this.#topic.number, this.#after);
      if (stored === undefined) return this.read();
      const { run, slice } = stored;
      const place = this.#place?.run === run ? this.#place : { run, offset: slice.offset };
      const { messages, end } = await this.#readSlice(run, slice, place.offset);
      this.#place = end < slice.offset + slice.bytes ? { run, offset: end } : undefined;
      const wanted = messages.filter(({ id }) => id > this.#after && id > this.#topic.floor);
      if (wanted.length > 0) return wanted;
      this.advance(messages[messages.length - 1].id);
    }
  }

  /** As `run.read`; where that fails, says how to leave out what is damaged. */
  async #readSlice(run: Run, slice: Slice, offset: number): ReturnType<Run['read']> {
    try {
      return await run.read(slice, offset, BLOCK_BYTES);
    } catch (cause) {
      if (!hasCode(cause, 'WAL_CORRUPT')) throw cause;
      const which = `messages of ${JSON.stringify(this.#topic.name)} after ${this.#after} and up to ${slice.lastId}`;
      const next = slice.lastId + 1;
      const what = `truncateBefore(${next}), or seek(${next}) of a group, leaves them out`;
      const { message, offset: at = 0 } = cause as WalError;
      throw new WalError('WAL_CORRUPT', `${message}: ${which} cannot be read; ${what}`, { offset: at, cause });
    }
  }

  async #readLog(): Promise<readonly StoredMessage[]> {
    const { live } = this.#sources.registry;
    for (let atOnce = MAX_AT_ONCE; ; atOnce = 1) {
      const ids: EntryId[] = [];
      const positions: LogPosition[] = [];
      for (let id = this.#firstLive(); id !== 0 && ids.length < atOnce; id = live.next(id)) {
        const position = live.position(id);
        if (position === undefined || !this.#isClose(positions, position)) break;
        ids.push(id);
        positions.push(position);
      }
      if (ids.length === 0) return this.read();
      try {
        const chunks = await this.#sources.log.readMany(positions);
        return ids.map((id, i) => ({ id, bytes: asBuffer(chunks[i]) }));
      } catch (error) {
        // Its segment has been checkpointed: it is in a run, or nobody wants it any more.
        if (hasCode(error, 'WAL_POSITION_GONE')) return this.read();
        // Those before the one at fault can be read.
        if (atOnce === 1) throw error;
      }
    }
  }

  /** Whether a message stands so close to the first that both are worth one call. */
  #isClose([first]: readonly LogPosition[], { segmentId, offset }: LogPosition): boolean {
    return first === undefined || (first.segmentId === segmentId && offset - first.offset < MAX_SPREAD_BYTES);
  }
}
