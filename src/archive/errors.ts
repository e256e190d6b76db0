/** What an archive refuses, or finds, by a code that stays the same when the message is put better. */
export type ArchiveErrorCode =
  /** Another writer has taken the archive over: this one confirms nothing more. */
  | 'ARCHIVE_FENCED'
  /** Objects between the first that is needed and the last are missing. */
  | 'ARCHIVE_GAP'
  /** The bytes of an object are not those that were stored. */
  | 'ARCHIVE_CORRUPT'
  /** The store creates an object although there is one of that name, so it cannot keep two writers apart. */
  | 'ARCHIVE_UNSAFE_STORE';

/** An error of an archive that a caller is expected to handle. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
  readonly code: ArchiveErrorCode;
  /** The slot concerned, where there is one. */
  readonly slot?: number;

  constructor(code: ArchiveErrorCode, message: string, details: { readonly slot?: number; readonly cause?: unknown } = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.slot !== undefined) this.slot = details.slot;
  }
}
