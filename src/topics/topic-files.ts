import { randomInt } from 'node:crypto';
import path from 'node:path';
import { assert } from '../base/assert.js';
import { hasCode } from '../base/errno.js';
import { TurnBudget } from '../base/turns.js';
import { WalError, type DirectoryLock, type FileHandle, type FileManager } from '../index.js';
import { encodeIndex, encodeRunHeader, RECORD_HEADER_LENGTH, RUN_HEADER_LENGTH, writeRecord } from './run-format.js';
import { IndexBuilder } from './run-index.js';
import { readExactly, Run, type StoredMessage } from './run.js';

const STATE_NAME = 'topics-state';
const NEW_STATE_NAME = 'topics-state-new';
const RUN_NAME = /^topics-run-([1-9][0-9]{0,15})$/;
/** Written in one call: about so many bytes. */
const WRITE_BYTES = 1024 * 1024;

/** The messages of one topic for a run, ascending. */
export interface RunPart {
  readonly topic: number;
  readonly messages: Iterable<StoredMessage> | AsyncIterable<StoredMessage>;
}

/**
 * The files of topics beside those of the log, in the same directory, and under its lock:
 *
 *     topics-state      topics, groups, and which runs there are
 *     topics-state-new  the same, about to take its place
 *     topics-run-{n}    messages; one that the state does not name is a leftover
 */
export class TopicFiles {
  readonly #directory: string;
  readonly #fileManager: FileManager;
  #lock: DirectoryLock | undefined;
  #failure: Error | undefined;
  #nextRun = 1;

  constructor(directory: string, fileManager: FileManager) {
    this.#directory = directory;
    this.#fileManager = fileManager;
  }

  /** The file manager for the log, whose lock is watched here: what is written under a lost one could be another's. */
  forLog(): FileManager {
    const files = this.#fileManager;
    return {
      createDirectory: (directory) => files.createDirectory(directory),
      list: (directory) => files.list(directory),
      open: (file, options) => files.open(file, options),
      rename: (from, to) => files.rename(from, to),
      remove: (file) => files.remove(file),
      syncDirectory: (directory) => files.syncDirectory(directory),
      lock: async (directory, onCompromised) => {
        const lock = await files.lock(directory, onCompromised);
        this.#lock = lock;
        return lock;
      },
    };
  }

  /** From here on nothing is written: the log has failed, or is closed. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** The bytes of the state file; undefined if there is none. */
  async readState(): Promise<Buffer | undefined> {
    const names = await this.#fileManager.list(this.#directory);
    for (const name of names) this.#nextRun = Math.max(this.#nextRun, runNumber(name) + 1);
    if (!names.includes(STATE_NAME)) return undefined;
    try {
      return await this.#use(STATE_NAME, async (file) => readExactly(file, 0, await file.size()));
    } catch (cause) {
      throw new WalError('WAL_IO', `${STATE_NAME} cannot be read: ${(cause as Error).message}`, { cause });
    }
  }

  /** Writes what is to take the place of the state file. */
  async prepareState(bytes: readonly Uint8Array[]): Promise<void> {
    await this.#write(NEW_STATE_NAME, bytes);
  }

  /**
   * Puts what was prepared into the place of the state file, durably; the runs it names must be durable. After an error
   * nothing says which of the two the disk has, so nothing more is written.
   */
  async replaceState(): Promise<void> {
    this.#assertMayWrite();
    try {
      await this.#fileManager.rename(this.#pathOf(NEW_STATE_NAME), this.#pathOf(STATE_NAME));
    } catch (cause) {
      this.fail(new WalError('WAL_FAILED', `${STATE_NAME} cannot be replaced`, { cause }));
      throw cause;
    }
    await this.#syncDirectory();
  }

  /** Removes every run but `runs`, and what else a crash may have left. */
  async removeLeftovers(runs: readonly number[]): Promise<void> {
    const kept = new Set(runs);
    for (const name of await this.#fileManager.list(this.#directory)) {
      const number = runNumber(name);
      if (name === NEW_STATE_NAME || (number > 0 && !kept.has(number))) await this.#remove(name);
    }
  }

  async openRun(number: number): Promise<Run> {
    const name = `topics-run-${number}`;
    const file = await this.#fileManager.open(this.#pathOf(name), { access: 'read' }).catch((cause: unknown) => {
      const code = hasCode(cause, 'ENOENT') ? 'WAL_CORRUPT' : 'WAL_IO';
      throw new WalError(code, `${name} cannot be opened: ${(cause as Error).message}`, { cause });
    });
    try {
      return await Run.open(number, name, file);
    } catch (error) {
      await file.close().catch(() => undefined);
      throw error;
    }
  }

  /** Writes a run with the messages of `parts`, by topic; undefined if there are none. It is durable, with its name. */
  async writeRun(parts: AsyncIterable<RunPart> | Iterable<RunPart>): Promise<Run | undefined> {
    const number = this.#nextRun++;
    const name = `topics-run-${number}`;
    this.#assertMayWrite();
    const file = await this.#fileManager.open(this.#pathOf(name), { access: 'create' });
    const writer = new RunWriter(file, number, () => this.#assertMayWrite());
    try {
      for await (const part of parts) await writer.add(part);
      if (writer.index.slices.length > 0) await writer.finish();
    } catch (error) {
      await file.close().catch(() => undefined);
      await this.#remove(name).catch(() => undefined);
      throw error;
    }
    if (writer.index.slices.length === 0) {
      await file.close();
      await this.#remove(name);
      return undefined;
    }
    await this.#syncDirectory();
    return new Run(number, name, writer.salt, file, writer.index.slices);
  }

  /** Removes a run that the state does not name any more. What cannot be removed is a leftover for the next opening. */
  async removeRun(run: Run): Promise<void> {
    await this.#remove(run.name).catch(() => undefined);
    await run.close();
  }

  async #write(name: string, parts: readonly Uint8Array[]): Promise<void> {
    this.#assertMayWrite();
    await this.#use(name, async (file) => {
      await file.truncate(0);
      await writeAll(file, Buffer.concat(parts), 0, () => this.#assertMayWrite());
      await file.sync();
    }, 'create');
  }

  async #remove(name: string): Promise<void> {
    this.#assertMayWrite();
    await this.#fileManager.remove(this.#pathOf(name));
  }

  async #syncDirectory(): Promise<void> {
    this.#assertMayWrite();
    try {
      await this.#fileManager.syncDirectory(this.#directory);
    } catch (cause) {
      // The system reports a failed sync once: after it, none says any more what is on the disk.
      this.fail(new WalError('WAL_FAILED', `a sync of ${this.#directory} failed`, { cause }));
      throw cause;
    }
    this.#assertMayWrite();
  }

  async #use<T>(
    name: string, use: (file: FileHandle) => Promise<T>, access: 'read' | 'create' = 'read',
  ): Promise<T> {
    const file = await this.#fileManager.open(this.#pathOf(name), { access });
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  }

  #assertMayWrite(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#lock?.isHeld?.() === false) throw new WalError('WAL_FAILED', `the lock of ${this.#directory} was lost`);
  }

  #pathOf(name: string): string {
    return path.join(this.#directory, name);
  }
}

/** Writes the records of a run, and its index behind them. */
class RunWriter {
  readonly salt = randomInt(2 ** 32);
  readonly index = new IndexBuilder();
  readonly #turn = new TurnBudget();
  readonly #file: FileHandle;
  readonly #assertMayWrite: () => void;
  /** What is to be written next. */
  #block = Buffer.allocUnsafeSlow(WRITE_BYTES);
  #pending = 0;
  #written = 0;

  constructor(file: FileHandle, number: number, assertMayWrite: () => void) {
    this.#file = file;
    this.#assertMayWrite = assertMayWrite;
    this.#block.set(encodeRunHeader(number, this.salt));
    this.#pending = RUN_HEADER_LENGTH;
  }

  async add({ topic, messages }: RunPart): Promise<void> {
    for await (const message of messages) {
      if (this.#turn.spend(message.bytes.length)) await this.#turn.nextTurn();
      const length = storedLength(message);
      if (this.#pending + length > this.#block.length) await this.#makeRoom(length);
      const offset = this.#written + this.#pending;
      writeRecord(this.#block, this.#pending, message, this.salt, offset);
      this.#pending += length;
      const isInOrder = this.index.add(topic, message.id, message.bytes, offset);
      assert(isInOrder, 'the messages of a run are sorted by topic, and then by id');
    }
  }

  async finish(): Promise<void> {
    await this.#flush();
    const index = encodeIndex(this.index.slices, this.salt, this.#written);
    await writeAll(this.#file, index, this.#written, this.#assertMayWrite);
    await this.#file.sync();
  }

  async #makeRoom(length: number): Promise<void> {
    await this.#flush();
    if (length > this.#block.length) this.#block = Buffer.allocUnsafeSlow(length);
  }

  async #flush(): Promise<void> {
    await writeAll(this.#file, this.#block.subarray(0, this.#pending), this.#written, this.#assertMayWrite);
    this.#written += this.#pending;
    this.#pending = 0;
  }
}

async function writeAll(
  file: FileHandle, bytes: Uint8Array, position: number, assertMayWrite: () => void,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    assertMayWrite();
    at += await file.write([bytes.subarray(at)], position + at);
  }
}

/** Whether topics have a file of this name. */
export function isTopicsFile(name: string): boolean {
  return name === STATE_NAME || name === NEW_STATE_NAME || runNumber(name) > 0;
}

function runNumber(name: string): number {
  return Number(RUN_NAME.exec(name)?.[1] ?? 0);
}

/** The bytes that a message takes in a run. */
export function storedLength(message: { readonly bytes: { readonly length: number } }): number {
  return RECORD_HEADER_LENGTH + message.bytes.length;
}

