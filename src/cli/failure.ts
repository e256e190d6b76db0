import { errnoOf } from '../base/errno.js';
import { messageOf } from '../base/errors.js';
import { FORMAT_VERSION } from '../format/segment-format.js';
import { WalError } from '../index.js';
import { DAMAGED, InputError, NO_INPUT, OTHER_ERROR, UsageError, WRONG_USAGE } from './command.js';
import { noteError } from './output.js';

/** Says why a command ended. Returns the exit status. `command` is undefined if there is none of that name. */
export function noteFailure(error: unknown, command: string | undefined, isJson: boolean): number {
  const program = command === undefined ? 'segmented-wal' : `segmented-wal ${command}`;
  const message = explain(error);
  const hint = error instanceof UsageError ? `; see ${program} --help` : '';
  noteError(isJson, `${program}: ${message}${hint}`, { code: codeOf(error), message });
  return statusOf(error);
}

function explain(error: unknown): string {
  const message = messageOf(error);
  const isUnknownVersion = error instanceof WalError && error.code === 'WAL_UNSUPPORTED_VERSION';
  return isUnknownVersion ? `${message}; this version reads 0 and ${FORMAT_VERSION}` : message;
}

function codeOf(error: unknown): string {
  if (error instanceof UsageError) return 'WRONG_USAGE';
  if (error instanceof InputError) return 'NO_INPUT';
  return errnoOf(error) ?? 'OTHER_ERROR';
}

function statusOf(error: unknown): number {
  if (error instanceof UsageError) return WRONG_USAGE;
  if (error instanceof InputError) return NO_INPUT;
  return error instanceof WalError && error.code === 'WAL_CORRUPT' ? DAMAGED : OTHER_ERROR;
}
