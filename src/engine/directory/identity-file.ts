import path from 'node:path';
import { Serial } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import { hasCode } from '../../base/errno.js';
import { toWalError, WalError } from '../../base/errors.js';
import type { FileManager } from '../../files/file-manager.js';
import { readFully, withFile } from '../../files/transfer.js';
import { IDENTITY_FILE_NAME, NEW_IDENTITY_FILE_NAME } from '../../format/file-names.js';
import { decodeIdentity, encodeIdentity, IDENTITY_LENGTH, uuidOf } from '../../format/identity-format.js';
import type { Lifecycle } from './lifecycle.js';
import type { LogDirectory } from './log-directory.js';

const UUID_BYTES = 16;

/**
 * The identity of a log that is open for writing. It is made, durably, when it is first asked for: a log that is never
 * asked has no such file.
 */
export class LogIdentity {
  readonly #directory: LogDirectory;
  readonly #fileManager: FileManager;
  readonly #lifecycle: Lifecycle;
  readonly #environment: Environment;
  readonly #serial = new Serial();
  /** Set once it is known to be durable. */
  #uuid: string | undefined;

  constructor(directory: LogDirectory, fileManager: FileManager, lifecycle: Lifecycle, environment: Environment) {
    this.#directory = directory;
    this.#fileManager = fileManager;
    this.#lifecycle = lifecycle;
    this.#environment = environment;
  }

  /**
   * A new log begins, with the identity `uuid` if it takes one over: what an earlier one has left is not its own. It is
   * durable, or gone, once this has resolved and the directory is synced.
   */
  async begin(uuid: string | undefined): Promise<void> {
    if (uuid === undefined) await this.#directory.removeIfThere(IDENTITY_FILE_NAME);
    else await this.#store(uuid);
  }

  /** Reads the identity, or makes one. */
  get(): Promise<string> {
    return this.#serial.run(async () => {
      const { refusal } = this.#lifecycle;
      if (refusal !== undefined) throw refusal;
      // What stands in the directory has been durable since the log was opened, when the directory was synced: the file
      // got its name only after its content was.
      this.#uuid ??= (await readIdentity(this.#fileManager, this.#directory.path)) ?? (await this.#make());
      return this.#uuid;
    });
  }

  /** Resolves when nothing is being stored. */
  idle(): Promise<void> {
    return this.#serial.idle();
  }

  async #make(): Promise<string> {
    const random = new Uint8Array(UUID_BYTES);
    this.#environment.randomFill(random);
    const uuid = uuidOf(random);
    await this.#store(uuid);
    return uuid;
  }

  async #store(uuid: string): Promise<void> {
    try {
      await this.#directory.replace(IDENTITY_FILE_NAME, NEW_IDENTITY_FILE_NAME, encodeIdentity(uuid));
    } catch (error) {
      throw this.#lifecycle.failure ?? toWalError(error, `${IDENTITY_FILE_NAME} cannot be written`);
    }
  }
}

/** The identity of the log in a directory; undefined if it has none. Throws `WAL_CORRUPT` if its file is damaged. */
export async function readIdentity(fileManager: FileManager, directory: string): Promise<string | undefined> {
  const bytes = Buffer.alloc(IDENTITY_LENGTH + 1);
  try {
    const name = path.join(directory, IDENTITY_FILE_NAME);
    const read = await withFile(fileManager, name, { access: 'read' }, (file) => readFully(file, bytes, 0));
    const uuid = decodeIdentity(bytes.subarray(0, read));
    if (uuid !== undefined) return uuid;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw toWalError(error, `${IDENTITY_FILE_NAME} cannot be read`);
  }
  throw new WalError('WAL_CORRUPT', `${IDENTITY_FILE_NAME} is damaged`);
}
