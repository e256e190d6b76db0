/** Logs that the fuzzer damages: small, of every shape, and with everything known that was ever committed to them. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { MemoryFileManager, WriteAheadLog, type FileManager, type LogManager, type LogPosition } from '../../src/index.js';
import type { Environment } from '../../src/base/environment.js';
import { CHUNK_HEADER_LENGTH, ENTRY_LENGTH, MARK_LENGTH } from '../../src/format/segment-format.js';
import { FaultyFileManager, systemError } from './faulty-file-manager.js';
import type { Random } from '../support/random.js';

export const DIRECTORY = '/wal';
export const OPTIONS = { preallocateBytes: 4096, checkpointAfterBytes: 1500, bufferBytes: 4096, maxPendingBytes: 65_536 };

export type Files = Map<string, Buffer>;

/** An entry that was acknowledged. */
export interface CommittedEntry {
  readonly id: number;
  readonly chunks: readonly Buffer[];
  readonly positions: readonly LogPosition[];
}

export interface Specimen {
  readonly name: string;
  readonly files: Files;
  /** In id order. Undefined where anything may be recovered: the predecessor's format cannot tell damage in every place. */
  readonly committed: readonly CommittedEntry[] | undefined;
  /** For each live segment, the offset below which every byte is proven to have been durable. */
  readonly provenEnds: ReadonlyMap<string, number>;
}

/** Randomness that repeats, and a clock that stands still: a failed checkpoint is not tried again. */
export function seededEnvironment(random: Random): Environment {
  return {
    randomFill: (target) => target.set(random.bytes(target.length)),
    callAfter: () => () => undefined,
    now: () => 0,
  };
}

export async function readFiles(fileManager: FileManager): Promise<Files> {
  const files: Files = new Map();
  for (const name of (await fileManager.list(DIRECTORY)).sort()) {
    const file = await fileManager.open(path.join(DIRECTORY, name), { access: 'read' });
    const bytes = Buffer.alloc(await file.size());
    await file.read(bytes, 0);
    await file.close();
    files.set(name, bytes);
  }
  return files;
}

export async function writeFiles(fileManager: FileManager, files: Files): Promise<void> {
  await fileManager.createDirectory(DIRECTORY);
  for (const [name, bytes] of files) {
    const file = await fileManager.open(path.join(DIRECTORY, name), { access: 'create' });
    if (bytes.length > 0) await file.write([bytes], 0);
    await file.close();
  }
}

/** One log while it is written. */
class Writer {
  readonly committed: CommittedEntry[] = [];
  readonly random: Random;
  readonly #fileManager = new MemoryFileManager();
  #log!: WriteAheadLog;

  constructor(random: Random) {
    this.random = random;
  }

  /** `keepsSegments` lets every checkpoint fail, so that every segment stays. */
  async open(keepsSegments: boolean): Promise<void> {
    const manager: LogManager = {
      recover: () => undefined,
      checkpointTo: () => {
        if (keepsSegments) throw new Error('this log keeps its segments');
      },
    };
    const options = { ...OPTIONS, fileManager: this.#fileManager };
    this.#log = await WriteAheadLog.recoverWith(seededEnvironment(this.random), DIRECTORY, manager, options);
  }

  async append(...chunks: Buffer[]): Promise<void> {
    const { id, chunks: records } = await this.#log.append(chunks);
    this.committed.push({ id, chunks, positions: records.map(({ position }) => position) });
  }

  async appendMany(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const lengths = Array.from({ length: this.random.pick([0, 1, 1, 1, 3]) }, () => this.random.below(300));
      await this.append(...lengths.map((length) => this.bytes(length)));
    }
  }

  /** Commits side by side, which share flushes. */
  async appendTogether(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.append(this.bytes(this.random.below(100)))));
  }

  /** Writes an entry out and takes it back: its bytes stay behind the tail. */
  async rollBack(data: Buffer): Promise<void> {
    const writer = await this.#log.beginEntry();
    const chunk = await writer.beginChunk(data.length);
    const { flushes } = this.#log.stats();
    await chunk.write(data);
    // All of it but what no flush has taken yet.
    for (let i = 0; i < 5 && this.#log.stats().flushes === flushes; i++) await new Promise(setImmediate);
    await writer.rollback();
  }

  checkpointActive(): Promise<void> {
    return this.#log.checkpointActive();
  }

  async shutdown(): Promise<void> {
    await this.#log.shutdown();
  }

  bytes(length: number): Buffer {
    return Buffer.from(this.random.bytes(length));
  }

  /** Any of what the log holds now: genuine records. */
  async genuineBytes(length: number): Promise<Buffer> {
    const files = [...(await this.files()).values()].filter((bytes) => bytes.length > 0);
    const file = this.random.pick(files);
    const from = this.random.below(Math.max(1, usedLength(file)));
    return Buffer.from(file.subarray(from, from + length));
  }

  /** The files once nothing goes on in the background any more. */
  async files(): Promise<Files> {
    for (let last: Files | undefined; ;) {
      for (let i = 0; i < 10; i++) await new Promise(setImmediate);
      const files = await readFiles(this.#fileManager).catch(unlessRenamed);
      if (last !== undefined && isDeepStrictEqual(files, last)) return last;
      last = files;
    }
  }

  async finish(name: string): Promise<Specimen> {
    // Two flushes, of which the last proves everything before it.
    await this.append(this.bytes(20));
    await this.append(this.bytes(30));
    const files = await this.files();
    return { name, files, committed: this.committed, provenEnds: provenEnds(files, this.committed) };
  }
}

/** A file may be renamed between being listed and being opened. */
function unlessRenamed(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

/** Behind the last byte that is not zero. */
export function usedLength(bytes: Buffer): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return length;
}

function provenEnds(files: Files, committed: readonly CommittedEntry[]): Map<string, number> {
  const ends = new Map<string, number>();
  const [secondLast, last] = committed.slice(-2).map(({ positions }) => positions[0]);
  for (const [name, bytes] of files) {
    const id = Number(/^wal-(\d+)$/.exec(name)?.[1] ?? NaN);
    // The flush that begins a segment has no mark: the link that begins it may be part of what is not proven.
    if (id === last.segmentId && id === secondLast.segmentId) ends.set(name, last.offset - ENTRY_LENGTH - MARK_LENGTH);
    else if (id < last.segmentId) ends.set(name, endIn(id, committed) ?? usedLength(bytes));
  }
  return ends;
}

/** Where the last chunk ends that is known to stand in a segment: what is behind may be stale. */
function endIn(segmentId: number, committed: readonly CommittedEntry[]): number | undefined {
  const ends = committed.flatMap(({ chunks, positions }) => {
    return positions.flatMap((at, i) => (at.segmentId === segmentId ? [at.offset + CHUNK_HEADER_LENGTH + chunks[i].length] : []));
  });
  return ends.length > 0 ? Math.max(...ends) : undefined;
}

const MARKER_BYTES = [0, 1, 2, 3, 4, 5];

/** Payloads made to be mistaken for the log's own bytes. */
async function adversarialBytes(writer: Writer, length: number): Promise<Buffer> {
  const { random } = writer;
  switch (random.below(4)) {
    case 0: return Buffer.alloc(length, random.pick(MARKER_BYTES));
    case 1: return Buffer.from(Array.from({ length }, () => random.pick(MARKER_BYTES)));
    // A mark, or a link, whose plain fields look right.
    case 2: return Buffer.concat(Array.from({ length: Math.ceil(length / 13) }, () => {
      const record = writer.bytes(13).fill(0, 1, 9);
      record[0] = random.pick([4, 5]);
      record[1] = random.below(200);
      return record;
    })).subarray(0, length);
    default: return writer.genuineBytes(length);
  }
}

async function build(name: string, random: Random, script: (writer: Writer) => Promise<void>, keepsSegments = true): Promise<Specimen> {
  const writer = new Writer(random);
  await writer.open(keepsSegments);
  await script(writer);
  return writer.finish(name);
}

/** A log whose opening was interrupted when the tail had been copied: with the copy. */
async function interrupted(random: Random): Promise<Specimen> {
  const whole = await build('interrupted', random, (writer) => writer.appendTogether(6));
  const inner = new MemoryFileManager();
  await writeFiles(inner, whole.files);
  const faulty = new FaultyFileManager(inner);
  faulty.before = ({ operation, name }) => {
    if (operation === 'rename' && name === 'wal-tail') throw systemError('EIO');
  };
  const manager = { recover: () => undefined, checkpointTo: () => undefined };
  await WriteAheadLog.recover(DIRECTORY, manager, { ...OPTIONS, fileManager: faulty }).catch(() => undefined);
  const files = await readFiles(inner);
  if (!files.has('wal-tail')) throw new Error('the opening was not interrupted with a copy of the tail in place');
  // The copy may mend what is damaged in the segment.
  return { ...whole, files, provenEnds: new Map() };
}

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0', import.meta.url));

function predecessor(name: string): Specimen {
  const directory = path.join(FIXTURES, name, 'log');
  const files: Files = new Map(readdirSync(directory).map((file) => [file, readFileSync(path.join(directory, file))]));
  return { name: `format 0, ${name}`, files, committed: undefined, provenEnds: new Map() };
}

/** One specimen of each shape, filled from `random`. */
export async function buildSpecimens(random: Random): Promise<Specimen[]> {
  return [
    await build('one segment', random, (writer) => writer.appendMany(5)),
    await build('shared flushes', random, async (writer) => {
      await writer.appendTogether(5);
      await writer.appendTogether(8);
    }),
    await build('several segments', random, (writer) => writer.appendMany(25)),
    await build('short segments', random, async (writer) => {
      for (let i = 0; i < 4; i++) {
        await writer.append(writer.bytes(20));
        await writer.checkpointActive();
      }
    }),
    await build('recycled', random, (writer) => writer.appendMany(60), false),
    await build('an entry larger than a segment', random, (writer) => writer.append(writer.bytes(9000))),
    await build('reopened', random, async (writer) => {
      for (let i = 0; i < 3; i++) {
        await writer.appendMany(2);
        await writer.shutdown();
        await writer.open(true);
      }
    }),
    await build('rolled back', random, async (writer) => {
      for (let i = 0; i < 3; i++) {
        await writer.append(writer.bytes(30));
        await writer.rollBack(Buffer.concat(await Promise.all(Array.from({ length: 20 }, () => adversarialBytes(writer, 400)))));
      }
    }),
    await build('adversarial payloads', random, async (writer) => {
      for (let i = 0; i < 15; i++) await writer.append(await adversarialBytes(writer, random.below(400)));
    }),
    await interrupted(random),
    predecessor('small'),
    predecessor('torn'),
    predecessor('segments'),
  ];
}
