import { WalError } from '../../base/errors.js';
import type { FileHandle } from '../../files/file-manager.js';
import { readFully, writeFully } from '../../files/transfer.js';
import { HOLDS_FILE_NAME, NEW_HOLDS_FILE_NAME } from '../../format/file-names.js';
import { decodeHolds, encodeHolds, type StoredHolds } from '../../format/holds-format.js';
import type { LogDirectory } from '../directory/log-directory.js';

/** The file in which the holds are stored: read and replaced as a whole. */
export class HoldsFile {
  readonly #directory: LogDirectory;

  constructor(directory: LogDirectory) {
    this.#directory = directory;
  }

  /** Throws `WAL_CORRUPT` if the file is damaged. */
  async read(): Promise<StoredHolds> {
    const bytes = await this.#directory.use(HOLDS_FILE_NAME, { access: 'read' }, async (file) => {
      const content = Buffer.alloc(await file.size());
      await readFully(file, content, 0);
      return content;
    });
    const stored = decodeHolds(bytes);
    if (stored === undefined) throw new WalError('WAL_CORRUPT', `${HOLDS_FILE_NAME} is damaged`);
    return stored;
  }

  /** Writes a new file beside the old one and puts it in its place. Resolves when that is durable. */
  async replace(holds: StoredHolds): Promise<void> {
    await this.#directory.replace(HOLDS_FILE_NAME, NEW_HOLDS_FILE_NAME, encodeHolds(holds));
  }

  /**
   * Makes room for the next replacement. A failure matters only on a full disk, where a hold that cannot be ended would
   * keep the disk full for ever.
   */
  async reserve(holds: StoredHolds): Promise<void> {
    const write = (file: FileHandle): Promise<void> => writeFully(file, [encodeHolds(holds)], 0);
    await this.#directory.use(NEW_HOLDS_FILE_NAME, { access: 'create' }, write).catch(() => undefined);
  }
}
