import { isDamage } from '../../base/errors.js';
import { IDENTITY_FILE_NAME } from '../../format/file-names.js';
import type { ReadOnlyLog } from '../../index.js';

export const IDENTITY_DAMAGE = `${IDENTITY_FILE_NAME}, which tells the log from others, is damaged`;

/** The identity of the log; undefined if it was never asked for it, `damaged` if that cannot be told. */
export async function readIdentity(reader: ReadOnlyLog): Promise<string | undefined> {
  return reader.identity().catch((error: unknown) => {
    if (isDamage(error)) return 'damaged';
    throw error;
  });
}
