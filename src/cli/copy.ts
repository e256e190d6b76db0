import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { decodeHeader, encodeHeader, encodeLink, LINK_LENGTH, SALT_LENGTH } from '../format/segment-format.js';
import type { SegmentHeader } from '../format/segment-format.js';
import { segmentName } from '../format/file-names.js';
import { NodeFileManager, WriteAheadLog } from '../index.js';
import type { Entry, EntryId, LogManager, WalOptions } from '../index.js';
import { FoundLog } from './found-log.js';
import { count } from './output.js';

const LEAST_SEGMENT_BYTES = 64 * 1024;
const MOST_SEGMENT_BYTES = 32 * 1024 * 1024;
/** A larger entry is copied in pieces. */
const LARGE_BYTES = 4 * 1024 * 1024;
const MAX_PENDING = 1000;
/** An id is passed over by beginning an entry and rolling it back. */
const MAX_PASSED_OVER = 1_000_000;

/** What came of a copy. */
export interface Copied {
  entries: number;
  /** Whether every entry has the id that it had. */
  keepsIds: boolean;
}

/** A manager that hands nothing over: what is written into the log stays in the log. */
const keepAll: LogManager = {
  recover: () => undefined,
  checkpointTo() {
    throw new Error('this log keeps its entries');
  },
};

/** What there is to say of a copy. */
export function copiedTo(directory: string, { entries, keepsIds }: Copied): string {
  if (entries === 0) return 'no entry is whole: nothing was copied, and nothing created';
  const ids = entries === 1 ? keepsIds ? 'with its id' : 'under a new id'
    : keepsIds ? 'with their ids' : 'some of them under new ids';
  return `${count(entries, 'entry', 'entries')} copied to ${directory}, ${ids}`;
}

/** Copies every whole entry into a new log in `directory`, in order. */
export async function copyLog(source: FoundLog, directory: string): Promise<Copied> {
  const target = new Target(directory, Math.max(0, ...source.reader.segments.map((segment) => segment.size)));
  try {
    for await (const entry of source.entries()) await target.add(entry);
  } finally {
    await target.close();
  }
  const written = await FoundLog.open(directory).catch((error: unknown) => {
    if (target.copied.entries > 0) throw error;
  });
  let found = 0;
  if (written !== undefined) for await (const _ of written.entries()) found++;
  await written?.reader.close();
  if (found !== target.copied.entries) throw new Error(`of ${target.copied.entries} entries only ${found} arrived`);
  return target.copied;
}

/** The new log. Its segments have the version info that their entries had. */
class Target {
  readonly copied: Copied = { entries: 0, keepsIds: true };
  readonly #directory: string;
  readonly #preallocateBytes: number;
  #log: WriteAheadLog | undefined;
  #versionInfo: Uint8Array = new Uint8Array();
  #nextId: EntryId = 1;
  #pending: Promise<unknown>[] = [];

  constructor(directory: string, segmentBytes: number) {
    this.#directory = directory;
    this.#preallocateBytes = Math.min(MOST_SEGMENT_BYTES, Math.max(LEAST_SEGMENT_BYTES, segmentBytes));
  }

  async add(entry: Entry): Promise<void> {
    const log = await this.#logFor(entry);
    await this.#passOver(entry.id - this.#nextId, log);
    this.copied.keepsIds &&= this.#nextId === entry.id;
    const { start, end } = entry.extent;
    if (end - start > LARGE_BYTES) await stream(entry, log);
    else this.#pending.push(log.append(await entry.readAllChunks()));
    this.#nextId++;
    this.copied.entries++;
    if (this.#pending.length >= MAX_PENDING) await this.#settle();
  }

  async close(): Promise<void> {
    await this.#settle();
    await this.#log?.shutdown();
  }

  async #logFor(entry: Entry): Promise<WriteAheadLog> {
    const { versionInfo } = entry.segment;
    if (this.#log !== undefined && Buffer.compare(versionInfo, this.#versionInfo) === 0) return this.#log;
    await this.close();
    const isFirst = this.#log === undefined;
    this.#versionInfo = versionInfo;
    if (isFirst && entry.id > 1) await plant(this.#directory, entry.id, versionInfo);
    if (!isFirst) await removeEmptyLast(this.#directory);
    const options: WalOptions = { preallocateBytes: this.#preallocateBytes, versionInfo };
    this.#log = await WriteAheadLog.recover(this.#directory, keepAll, options);
    // The version info is that of the next segment.
    if (!isFirst) await this.#log.checkpointActive();
    this.#nextId = this.#log.stats().nextId;
    return this.#log;
  }

  async #passOver(ids: number, log: WriteAheadLog): Promise<void> {
    if (ids > MAX_PASSED_OVER) return;
    for (let i = 0; i < ids; i++) {
      await (await log.beginEntry()).rollback();
      this.#nextId++;
    }
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }
}

async function stream(entry: Entry, log: WriteAheadLog): Promise<void> {
  const writer = await log.beginEntry();
  try {
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

/** A last segment without entries would go on, with the version info of its header, and cannot be closed. */
async function removeEmptyLast(directory: string): Promise<void> {
  const reader = await WriteAheadLog.openReadOnly(directory);
  const [before, last] = reader.segments.slice(-2);
  await reader.close();
  if (last === undefined || before.lastId !== last.lastId) return;
  const files = new NodeFileManager();
  await files.remove(path.join(directory, last.name));
  await files.syncDirectory(directory);
}

/** Makes a log without entries, the first of which will have the id `firstId`. */
async function plant(directory: string, firstId: EntryId, versionInfo: Uint8Array): Promise<void> {
  const files = new NodeFileManager();
  await files.createDirectory(directory);
  const header = encodeHeader(firstId, randomBytes(SALT_LENGTH), versionInfo);
  const { seed } = decodeHeader(header) as SegmentHeader;
  const link = Buffer.alloc(LINK_LENGTH);
  const before = { previousSegmentId: 0, previousEnd: 0, previousChain: 0, lastId: firstId - 1 };
  encodeLink(link, 0, seed, header.length, before, randomBytes(4).readUInt32LE());
  const file = await files.open(path.join(directory, segmentName(firstId)), { access: 'create' });
  await file.write([Buffer.concat([header, link])], 0);
  await file.sync();
  await file.close();
  await files.syncDirectory(directory);
}
