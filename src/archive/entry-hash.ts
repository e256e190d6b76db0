import { createHash, type Hash } from 'node:crypto';
import { ENTRY_LENGTH, VERSION_INFO, VERSION_INFO_HEADER_LENGTH } from './entries-format.js';
import { EntriesEncoder, type EntryToArchive } from './entries-format.js';

/**
 * The hash of an entry from the pieces that an encoder makes of it. It does not cover the version info that may come
 * before, which depends on the entries that were encoded earlier.
 */
export class EntryHash {
  readonly #hash: Hash = createHash('sha256');
  #isFirst = true;

  update(piece: Uint8Array): void {
    this.#hash.update(this.#isFirst ? withoutVersionInfo(piece) : piece);
    this.#isFirst = false;
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

export async function hashOfEntry(entry: EntryToArchive): Promise<string> {
  const hash = new EntryHash();
  for await (const piece of new EntriesEncoder().encode(entry)) hash.update(piece);
  return hash.digest();
}

/** What an encoder made first of an entry, without the version info. */
function withoutVersionInfo(piece: Uint8Array): Uint8Array {
  const bytes = piece[0] === VERSION_INFO ? piece.subarray(VERSION_INFO_HEADER_LENGTH + piece[1]) : piece;
  if (bytes.length < ENTRY_LENGTH) throw new RangeError('the head of an entry must come in one piece');
  return bytes;
}
