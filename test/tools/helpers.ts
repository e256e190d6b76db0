/** Small tools that the tests share. Nothing here sleeps: tests wait for what happens, not for a time. */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Environment } from '../../src/base/environment.js';
import {
  MemoryFileManager, NodeFileManager, WriteAheadLog, type Entry, type EntryId, type FileManager, type LogManager,
  type RecoveredSegment, type Recovery, type SegmentReader, type WalOptions,
} from '../../src/index.js';
import { FaultyFileManager } from './faulty-file-manager.js';

/** The smallest segments there can be, so that a test rotates after a few entries. */
export const SMALL: WalOptions = {
  preallocateBytes: 4096, checkpointAfterBytes: 2048, bufferBytes: 4096, maxPendingBytes: 1024 * 1024,
};

/** After how long a test that hangs has failed: sooner where one is expected to. */
const TIMEOUT_MS = Number(process.env.SEGMENTED_WAL_TEST_TIMEOUT_MS ?? 60_000);

/** An entry as tests compare it: its chunks as text. */
export interface SeenEntry {
  readonly id: EntryId;
  readonly chunks: readonly string[];
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** `length` bytes that differ from place to place and from `seed` to `seed`. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = seed; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

/** Keeps whatever the log tells it. Its hooks run before, and may throw, reject or wait. */
export class RecordingManager implements LogManager {
  readonly segments: RecoveredSegment[] = [];
  readonly recovered: SeenEntry[] = [];
  readonly checkpoints: { readonly lastId: EntryId; readonly entries: readonly SeenEntry[] }[] = [];
  onSegment: (segment: RecoveredSegment) => Recovery | Promise<Recovery> = () => 'recover';
  onRecover: (entry: Entry) => void | Promise<void> = () => undefined;
  onCheckpoint: (lastId: EntryId, log: WriteAheadLog, signal: AbortSignal) => void | Promise<void> = () => undefined;

  shouldRecoverSegment(segment: RecoveredSegment): Recovery | Promise<Recovery> {
    this.segments.push(segment);
    return this.onSegment(segment);
  }

  async recover(entry: Entry): Promise<void> {
    await this.onRecover(entry);
    this.recovered.push({ id: entry.id, chunks: (await entry.readAllChunks()).map(text) });
  }

  async checkpointTo(lastId: EntryId, reader: SegmentReader, log: WriteAheadLog, signal: AbortSignal): Promise<void> {
    await this.onCheckpoint(lastId, log, signal);
    const entries: SeenEntry[] = [];
    for await (const entry of reader) entries.push({ id: entry.id, chunks: (await entry.readAllChunks()).map(text) });
    this.checkpoints.push({ lastId, entries });
  }

  get recoveredIds(): number[] {
    return this.recovered.map(({ id }) => id);
  }
}

/** A manager that never finishes a checkpoint until it is let go: what is in the log stays in the log. */
export class HoardingManager extends RecordingManager {
  #letGo!: () => void;
  #held = new Promise<void>((resolve) => {
    this.#letGo = resolve;
  });

  override onCheckpoint = (): Promise<void> => this.#held;

  letGo(): void {
    this.#letGo();
  }
}

/** A clock that stands still until a test moves it, and randomness that repeats. */
export class TestEnvironment implements Environment {
  /** What was asked of `callAfter`, in milliseconds. */
  readonly pauses: number[] = [];
  /** Milliseconds on its clock. */
  time = 0;
  #timers: (() => void)[] = [];
  #seed: number;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  randomFill(target: Uint8Array): void {
    target.set(pattern(target.length, this.#seed++));
  }

  callAfter(milliseconds: number, callback: () => void): () => void {
    this.pauses.push(milliseconds);
    this.#timers.push(callback);
    return () => {
      this.#timers = this.#timers.filter((timer) => timer !== callback);
    };
  }

  now(): number {
    return this.time;
  }

  /** Ends every pause that was asked for. */
  fire(): void {
    for (const timer of this.#timers.splice(0)) timer();
  }
}

interface OpenParts {
  readonly manager?: LogManager;
  readonly options?: WalOptions;
  readonly environment?: Environment;
}

/** One directory in one FileManager, and the logs a test has open in it. */
export class Storage {
  readonly fileManager: FileManager;
  readonly directory: string;
  readonly #logs: WriteAheadLog[] = [];
  readonly #copies: Storage[] = [];

  constructor(fileManager: FileManager, directory: string) {
    this.fileManager = fileManager;
    this.directory = directory;
  }

  /** The same directory through a FileManager that injects faults. */
  withFaults(): { storage: Storage; faulty: FaultyFileManager } {
    const faulty = new FaultyFileManager(this.fileManager);
    const storage = new Storage(faulty, this.directory);
    this.#copies.push(storage);
    return { storage, faulty };
  }

  /** Opens the log with `SMALL` segments; it is shut down when the test ends. */
  async open({ manager = new RecordingManager(), options = {}, environment }: OpenParts = {}): Promise<WriteAheadLog> {
    const all = { ...SMALL, fileManager: this.fileManager, ...options };
    const log = environment === undefined
      ? await WriteAheadLog.recover(this.directory, manager, all)
      : await WriteAheadLog.recoverWith(environment, this.directory, manager, all);
    this.#logs.push(log);
    return log;
  }

  /** Opens the log, gives back what it recovers and shuts it down. */
  async contents(options: WalOptions = {}): Promise<SeenEntry[]> {
    const manager = new RecordingManager();
    const log = await this.open({ manager, options });
    await log.shutdown();
    return manager.recovered;
  }

  /** The directory as a process killed at this moment leaves it, in a place of its own. */
  async crash(): Promise<Storage> {
    const copy = new Storage(this.fileManager, `${this.directory}-crash-${this.#copies.length + 1}`);
    this.#copies.push(copy);
    await this.fileManager.createDirectory(copy.directory);
    for (const [name, bytes] of await this.files()) await copy.put(name, bytes);
    return copy;
  }

  /** Every file of the log but the lock's, by name, at one moment: what goes on in the background is waited for. */
  async files(): Promise<Map<string, Buffer>> {
    let last = await this.#readFiles();
    for (;;) {
      const again = await this.#readFiles();
      if (last !== undefined && again !== undefined && isDeepStrictEqual(last, again)) return again;
      last = again;
    }
  }

  async #readFiles(): Promise<Map<string, Buffer> | undefined> {
    const files = new Map<string, Buffer>();
    try {
      for (const name of (await this.fileManager.list(this.directory)).sort()) {
        if (!name.startsWith('LOCK')) files.set(name, await this.get(name));
      }
      return files;
    } catch (error) {
      // It was renamed between the listing and the reading.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return undefined;
    }
  }

  /** The names of the segments that hold the log. */
  async liveNames(): Promise<string[]> {
    return [...(await this.files()).keys()].filter((name) => /^wal-\d+$/.test(name));
  }

  /** The names of the files that hold nothing of the log. */
  async spareNames(): Promise<string[]> {
    return [...(await this.files()).keys()].filter((name) => name.endsWith('-cp'));
  }

  async get(name: string): Promise<Buffer> {
    const file = await this.fileManager.open(path.join(this.directory, name), { access: 'read' });
    const bytes = Buffer.alloc(await file.size());
    for (let at = 0; at < bytes.length;) at += await file.read(bytes.subarray(at), at);
    await file.close();
    return bytes;
  }

  /** Gives a file exactly these bytes. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.fileManager.createDirectory(this.directory);
    const file = await this.fileManager.open(path.join(this.directory, name), { access: 'create' });
    await file.truncate(0);
    for (let at = 0; at < bytes.length;) at += await file.write([bytes.subarray(at)], at);
    await file.close();
  }

  /** Flips bits of one byte. */
  async damage(name: string, offset: number, bits = 0x40): Promise<void> {
    const bytes = await this.get(name);
    bytes[offset] ^= bits;
    await this.put(name, bytes);
  }

  async remove(name: string): Promise<void> {
    await this.fileManager.remove(path.join(this.directory, name));
  }

  async shutDown(): Promise<void> {
    for (const log of this.#logs) await log.shutdown();
    for (const copy of this.#copies) await copy.shutDown();
  }
}

/** Aborted when the test that runs is over its time: what it polls for must not keep the process alive. */
let testSignal: AbortSignal | undefined;

type StorageTest = (storage: Storage, context: TestContext) => Promise<void>;

/** Defines the test once for each FileManager that comes with the library. */
export function forEachFileManager(name: string, body: StorageTest): void {
  test(`${name} (memory)`, { timeout: TIMEOUT_MS }, async (context) => {
    testSignal = context.signal;
    const storage = new Storage(new MemoryFileManager(), '/wal');
    await body(storage, context);
    await storage.shutDown();
  });
  test(`${name} (node)`, { timeout: TIMEOUT_MS }, async (context) => {
    testSignal = context.signal;
    await withTemporaryDirectory(async (directory) => {
      const storage = new Storage(new NodeFileManager(), path.join(directory, 'wal'));
      await body(storage, context);
      await storage.shutDown();
    });
  });
}

/** Defines the test on memory alone: for what depends on the log's own logic only. */
export function inMemory(name: string, body: StorageTest): void {
  test(name, { timeout: TIMEOUT_MS }, async (context) => {
    testSignal = context.signal;
    const storage = new Storage(new MemoryFileManager(), '/wal');
    await body(storage, context);
    await storage.shutDown();
  });
}

export async function withTemporaryDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'segmented-wal-'));
  try {
    await use(directory);
  } finally {
    await fs.rm(directory, { recursive: true, force: true });
  }
}

/** Lets everything run that can run without the outside world. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Resolves when `condition` holds. A test that waits for ever is ended by its timeout. */
export async function until(condition: () => boolean): Promise<void> {
  const signal = testSignal;
  while (!condition()) {
    signal?.throwIfAborted();
    await turns(1);
  }
}

/** Resolves when the log is done with what follows its opening in the background: the making of a spare file. */
export async function ready(log: WriteAheadLog): Promise<void> {
  await until(() => log.stats().spareSegments > 0);
}

/**
 * Resolves when the log does nothing in the background any more. Between one call to its storage and the next there may
 * be a few turns, so that many without a call say that it has ended.
 */
export async function quiet(faulty: FaultyFileManager): Promise<void> {
  let turnsWithoutCall = 0;
  await until(() => {
    turnsWithoutCall = faulty.inFlight === 0 ? turnsWithoutCall + 1 : 0;
    return turnsWithoutCall > 20;
  });
}

/** Whether `promise` has settled by itself. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => (settled = true), () => (settled = true));
  await turns();
  return settled;
}

/**
 * Whether every closed segment has been checkpointed, and is gone unless it is wanted. A segment that was just closed
 * does not count in `segmentsToCheckpoint` until the link of its successor is durable: waiting for 0 of those may
 * end before it has begun.
 */
export function isCheckpointed(log: WriteAheadLog): boolean {
  const { segments, segmentsToCheckpoint } = log.stats();
  if (segmentsToCheckpoint > 0) return false;
  return segments.every(({ state, readers, heldBy }) => state === 'active' || readers > 0 || heldBy.length > 0);
}

/** Resolves when every segment that is closed by now has been checkpointed. */
export function checkpointed(log: WriteAheadLog): Promise<void> {
  return until(() => isCheckpointed(log));
}

/** Closes the active segment; resolves when it, and all before it, have been checkpointed. */
export async function checkpointAll(log: WriteAheadLog): Promise<void> {
  await log.checkpointActive();
  await checkpointed(log);
}

/** Appends entries of about `length` bytes until the log has gone on to another segment. */
export async function fillSegment(log: WriteAheadLog, length = 300): Promise<number[]> {
  const ids: number[] = [];
  let hasChanged = false;
  log.once('segment', () => {
    hasChanged = true;
  });
  while (!hasChanged) ids.push((await log.append(pattern(length, ids.length + 1).toString('hex').slice(0, length))).id);
  return ids;
}
