/** What must hold of any input: it opens, or is refused with a WalError; and nothing is shown that was not committed. */
import path from 'node:path';
import {
  LogPosition, MemoryFileManager, WalError, WriteAheadLog, type Entry, type FileHandle, type LogManager, type OpenOptions,
} from '../../src/index.js';
import type { Input } from './fuzz-inputs.js';
import { DIRECTORY, OPTIONS, readFiles, seededEnvironment, writeFiles, type CommittedEntry, type Files } from './fuzz-specimens.js';
import type { Random } from '../support/random.js';

/** Something that must not be. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

const MAX_READS = 5_000;

/** Storage in memory that gives up on a program that reads for ever. */
class CountingFileManager extends MemoryFileManager {
  #reads = 0;

  override async open(file: string, options: OpenOptions): Promise<FileHandle> {
    const handle = await super.open(file, options);
    const read = handle.read.bind(handle);
    handle.read = (target, position) => {
      if (++this.#reads > MAX_READS) throw new Finding(`more than ${MAX_READS} reads of ${path.basename(file)} and others`);
      return read(target, position);
    };
    return handle;
  }
}

interface Shown {
  readonly id: number;
  readonly chunks: readonly Uint8Array[];
  readonly positions: readonly LogPosition[];
}

async function shown(entry: Entry): Promise<Shown> {
  const chunks = await entry.readAllChunks();
  const positions: LogPosition[] = [];
  for await (const chunk of entry) {
    const bytes = await chunk.readAll();
    if (Buffer.compare(bytes, chunks[positions.length] ?? []) !== 0) throw new Finding(`entry ${entry.id} reads differently by chunk`);
    positions.push(chunk.position);
  }
  if (positions.length !== chunks.length) throw new Finding(`entry ${entry.id} has ${chunks.length} or ${positions.length} chunks`);
  return { id: entry.id, chunks, positions };
}

/** Opens an input, and throws a Finding for what must not be. Resolves with `opened` or the code it was refused with. */
export async function check(input: Input, random: Random): Promise<string> {
  const fileManager = new CountingFileManager();
  await writeFiles(fileManager, input.files);
  const entries: Shown[] = [];
  const handedOver = new Map<number, Shown>();
  let log: WriteAheadLog;
  try {
    log = await open(fileManager, entries, handedOver, random);
  } catch (error) {
    await assertRefusal(error, input, fileManager);
    return (error as WalError).code;
  }
  if (input.isProvenDamage) throw new Finding(`damage to proven bytes was not noticed: ${entries.length} entries recovered`);
  assertCommitted(entries, input);
  const failures: WalError[] = [];
  log.on('checkpointFailed', ({ error }) => failures.push(error));
  const behind = await log.append('behind');
  await readBack(log, entries, handedOver, behind.chunks[0].position, input, random);
  await log.shutdown();
  if (failures.length > 0) throw new Finding(`what was recovered could not be checkpointed: ${describe(failures[0])}`);
  for (const entry of entries) expectSame(entry, handedOver.get(entry.id));
  const left = [...entries.map(({ id }) => id), behind.id].filter((id) => !handedOver.has(id));
  // Segments of format 0 hold no identity: exchanged or doubled ones cannot be told from those they replace.
  if (input.committed !== undefined && random.oneIn(4)) await openAgain(fileManager, left, random);
  return 'opened';
}

async function open(
  fileManager: MemoryFileManager, entries: Shown[], handedOver: Map<number, Shown>, random: Random,
): Promise<WriteAheadLog> {
  const manager: LogManager = {
    recover: async (entry) => void entries.push(await shown(entry)),
    checkpointTo: async (_lastId, segment) => {
      for await (const entry of segment) handedOver.set(entry.id, await shown(entry));
    },
  };
  return WriteAheadLog.recoverWith(seededEnvironment(random), DIRECTORY, manager, { ...OPTIONS, fileManager });
}

async function assertRefusal(error: unknown, input: Input, fileManager: MemoryFileManager): Promise<void> {
  if (error instanceof Finding) throw error;
  if (!(error instanceof WalError)) throw new Finding(`refused with ${describe(error)}`);
  if (error.cause instanceof Finding) throw error.cause;
  if (!['WAL_CORRUPT', 'WAL_UNSUPPORTED_VERSION'].includes(error.code)) throw new Finding(`refused with ${describe(error)}`);
  // A rewrite of the tail that was interrupted is finished before anything else is looked at.
  if (!input.files.has('wal-tail')) assertSame(await readFiles(fileManager), input.files);
}

function assertSame(files: Files, before: Files): void {
  for (const name of new Set([...files.keys(), ...before.keys()])) {
    const [now, then] = [files.get(name), before.get(name)];
    if (now === undefined || then === undefined || !now.equals(then)) throw new Finding(`${name} was changed, although the log was refused`);
  }
}

/** Every entry is one that was committed, byte for byte, all to the same log, and there is no gap between them. */
function assertCommitted(entries: readonly Shown[], { committed }: Input): void {
  for (let i = 1; i < entries.length; i++) {
    if (entries[i].id <= entries[i - 1].id) throw new Finding(`entry ${entries[i].id} was shown behind ${entries[i - 1].id}`);
  }
  if (committed === undefined || entries.length === 0) return;
  const differences = committed.map((log) => difference(entries, log));
  if (!differences.includes(undefined)) throw new Finding(differences.join('; or '));
}

function difference(entries: readonly Shown[], committed: readonly CommittedEntry[]): string | undefined {
  const first = committed.findIndex(({ id }) => id === entries[0].id);
  for (const [i, entry] of entries.entries()) {
    const original = committed[first + i];
    if (first < 0 || original?.id !== entry.id) return `entry ${entry.id} was shown, which is not the next that was committed`;
    if (!areEqual(entry.chunks, original.chunks)) return `entry ${entry.id} was shown with other bytes than were committed`;
  }
  return undefined;
}

function expectSame(entry: Shown, handedOver: Shown | undefined): void {
  if (handedOver === undefined || areEqual(handedOver.chunks, entry.chunks)) return;
  throw new Finding(`entry ${entry.id} was handed over with other bytes than were recovered`);
}

/** Reads at every position that was shown, and at some where there may be nothing. */
async function readBack(
  log: WriteAheadLog, entries: readonly Shown[], handedOver: ReadonlyMap<number, Shown>, behind: LogPosition,
  { committed }: Input, random: Random,
): Promise<void> {
  const activeId = behind.segmentId;
  for (const { id, chunks, positions } of entries.slice(-8)) {
    for (const [i, position] of positions.entries()) {
      const bytes = await readAt(log, position);
      const mayBeGone = bytes === 'WAL_POSITION_GONE' && handedOver.has(id);
      if (typeof bytes === 'string' ? !mayBeGone : Buffer.compare(bytes, chunks[i]) !== 0) {
        throw new Finding(`chunk ${i} of entry ${id} was read back as ${typeof bytes === 'string' ? bytes : 'other bytes'}`);
      }
    }
  }
  if (committed === undefined) return;
  const known = committed.flat().flatMap(({ chunks, positions }) => positions.map((at, i) => ({ key: keyOf(at), bytes: chunks[i] })));
  for (let i = 0; i < 4; i++) {
    const position = new LogPosition(random.pick([activeId, activeId, 1, 2]), random.below(4200));
    const bytes = await readAt(log, position);
    if (typeof bytes === 'string' || position.equals(behind)) continue;
    if (!known.some((chunk) => chunk.key === keyOf(position) && chunk.bytes.equals(bytes))) {
      throw new Finding(`${bytes.length} bytes were read at ${keyOf(position)}, where no such chunk was written`);
    }
  }
}

/** The bytes there, or the code of the error. */
async function readAt(log: WriteAheadLog, position: LogPosition): Promise<Uint8Array | string> {
  try {
    const reader = await log.readAt(position);
    try {
      return await reader.readAll();
    } finally {
      await reader.close();
    }
  } catch (error) {
    if (error instanceof WalError && ['WAL_CORRUPT', 'WAL_POSITION_GONE'].includes(error.code)) return error.code;
    throw new Finding(`reading at ${keyOf(position)} failed with ${describe(error)}`);
  }
}

/** What one opening has shown, the next shows too, as far as it has not been checkpointed; and the new entry behind it. */
async function openAgain(fileManager: MemoryFileManager, left: readonly number[], random: Random): Promise<void> {
  const again: Shown[] = [];
  const log = await open(fileManager, again, new Map(), random);
  await log.shutdown();
  const ids = again.map(({ id }) => id);
  if (ids.join() !== left.join()) throw new Finding(`the next opening shows entries ${ids.join()}, but ${left.join()} were left`);
}

function areEqual(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((bytes, i) => Buffer.compare(bytes, b[i]) === 0);
}

function keyOf({ segmentId, offset }: LogPosition): string {
  return `${segmentId}:${offset}`;
}

function describe(error: unknown): string {
  return error instanceof WalError ? `${error.code}: ${error.message}` : error instanceof Error ? `${error.stack}` : String(error);
}
