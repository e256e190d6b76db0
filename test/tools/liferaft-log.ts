import { isDeepStrictEqual } from 'node:util';
import { LogNotFoundError, RaftLog } from '../../examples/raft-log.js';
import { Serial } from '../../src/base/async.js';
import { MemoryFileManager } from '../../src/index.js';
import { SMALL } from './helpers.js';

/** An entry of `@markwylde/liferaft`. */
interface Entry {
  index: number;
  term: number;
  command: unknown;
  committed?: boolean;
  responses?: { address: unknown; ack: boolean }[];
}

interface RaftNode {
  readonly term: number;
  readonly address: unknown;
}

interface Info {
  readonly index: number;
  readonly term: number;
  readonly committedIndex: number;
}

const NEVER = new Promise<never>(() => undefined);

/**
 * What `@markwylde/liferaft` calls `Log`, on top of the Raft log of the examples. Term, index and command are durable.
 * Which nodes have an entry, and whether it is committed, is in memory alone, as the Raft paper has it.
 */
export class LiferaftLog {
  /** Every one that has been made. */
  static readonly all: LiferaftLog[] = [];

  committedIndex = 0;
  readonly #node: RaftNode;
  readonly #raft: Promise<RaftLog>;
  /** The Raft log takes one change at a time, and liferaft does not wait for its own. */
  readonly #calls = new Serial();
  #hasEnded = false;
  readonly #volatile = new Map<number, Pick<Entry, 'committed' | 'responses'>>();

  constructor(node: RaftNode) {
    this.#node = node;
    this.#raft = RaftLog.open('/raft', { ...SMALL, fileManager: new MemoryFileManager() });
    LiferaftLog.all.push(this);
  }

  saveCommand(command: unknown, term: number, index?: number): Promise<Entry> {
    return this.#run(async (raft) => {
      const responses = [{ address: this.#node.address, ack: true }];
      const entry = { term, index: index ?? raft.lastIndex + 1, committed: false, responses, command };
      await this.#put(raft, entry);
      return entry;
    });
  }

  put(entry: Entry): Promise<void> {
    return this.#run((raft) => this.#put(raft, entry));
  }

  get(index: number): Promise<Entry> {
    return this.#run((raft) => this.#get(raft, index));
  }

  has(index: number): Promise<boolean> {
    return this.#run(async (raft) => (await this.#find(raft, index)) !== undefined);
  }

  getEntriesAfter(index: number): Promise<Entry[]> {
    return this.#run((raft) => this.#between(raft, index + 1, raft.lastIndex));
  }

  removeEntriesAfter(index: number): Promise<void> {
    return this.#run((raft) => this.#truncate(raft, index + 1));
  }

  async getLastInfo(): Promise<Info> {
    return this.#infoOf(await this.getLastEntry());
  }

  getLastEntry(): Promise<Entry> {
    return this.#run((raft) => this.#getOrNone(raft, raft.lastIndex));
  }

  async getEntryInfoBefore(entry: Entry): Promise<Info> {
    return this.#infoOf(await this.getEntryBefore(entry));
  }

  getEntryBefore({ index }: Entry): Promise<Entry> {
    return this.#run((raft) => this.#getOrNone(raft, index - 1));
  }

  commandAck(index: number, address: unknown): Promise<Pick<Entry, 'responses'>> {
    return this.#run(async (raft) => {
      const entry = await this.#find(raft, index);
      if (entry === undefined) return { responses: [] };
      const responses = entry.responses ?? [];
      if (!responses.some((response) => response.address === address)) responses.push({ address, ack: true });
      this.#volatile.set(index, { ...entry, responses });
      return { ...entry, responses };
    });
  }

  commit(index: number): Promise<void> {
    return this.#run(async (raft) => {
      this.#volatile.set(index, { ...await this.#get(raft, index), committed: true });
      this.committedIndex = index;
    });
  }

  getUncommittedEntriesUpToIndex(index: number): Promise<Entry[]> {
    return this.#run(async (raft) => {
      const entries = await this.#between(raft, this.committedIndex + 1, Math.min(index, raft.lastIndex));
      return entries.filter(({ committed }) => committed !== true);
    });
  }

  async end(): Promise<void> {
    this.#hasEnded = true;
    await this.#calls.run(async () => (await this.#raft).close());
  }

  /** A node that has ended does not stop what it is doing: none of its calls, begun or not, returns to it any more. */
  async #run<Result>(call: (raft: RaftLog) => Promise<Result>): Promise<Result> {
    if (this.#hasEnded) return NEVER;
    const outcome = await this.#calls.run(async () => call(await this.#raft)).then(
      (result) => () => result,
      (error: unknown) => () => { throw error; },
    );
    return this.#hasEnded ? NEVER : outcome();
  }

  async #put(raft: RaftLog, { index, term, command, committed, responses }: Entry): Promise<void> {
    const known = await this.#find(raft, index);
    if (known?.term !== term || !isDeepStrictEqual(known.command, command)) {
      await this.#truncate(raft, index);
      await raft.storeLog({ index, term, type: 0, data: Buffer.from(JSON.stringify(command)) });
    }
    this.#volatile.set(index, { committed: committed ?? false, responses: responses ?? [] });
  }

  async #get(raft: RaftLog, index: number): Promise<Entry> {
    const entry = await this.#find(raft, index);
    if (entry === undefined) throw Object.assign(new Error(`no entry ${index}`), { notFound: true });
    return entry;
  }

  async #getOrNone(raft: RaftLog, index: number): Promise<Entry> {
    return (await this.#find(raft, index)) ?? { index: 0, term: this.#node.term, command: undefined };
  }

  async #find(raft: RaftLog, index: number): Promise<Entry | undefined> {
    try {
      const { term, data } = await raft.getLog(index);
      const command: unknown = JSON.parse(Buffer.from(data).toString());
      return { index, term, command, ...this.#volatile.get(index) };
    } catch (error) {
      if (error instanceof LogNotFoundError) return undefined;
      throw error;
    }
  }

  async #between(raft: RaftLog, first: number, last: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let index = first; index <= last; index++) entries.push(await this.#get(raft, index));
    return entries;
  }

  async #truncate(raft: RaftLog, first: number): Promise<void> {
    if (first <= raft.lastIndex) await raft.deleteRange(first, raft.lastIndex);
    for (const index of this.#volatile.keys()) if (index >= first) this.#volatile.delete(index);
  }

  #infoOf({ index, term }: Entry): Info {
    return { index, term, committedIndex: this.committedIndex };
  }
}
