import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { show } from '../base/bytes.js';
import { messageOf } from '../base/errors.js';

/** The absolute path of a directory given as a path or a `file:` URL. Throws a TypeError or RangeError otherwise. */
export function directoryPath(directory: string | URL): string {
  if (directory instanceof URL) return pathOf(directory);
  if (typeof directory !== 'string') {
    throw new TypeError(`directory must be a string or a file: URL, not ${show(directory)}`);
  }
  if (directory === '') throw new RangeError('directory must not be empty');
  return path.resolve(directory);
}

function pathOf(url: URL): string {
  try {
    return path.resolve(fileURLToPath(url));
  } catch (cause) {
    // Another protocol, another host, or an encoded separator.
    const reason = messageOf(cause);
    throw new TypeError(`directory must be a string or a file: URL, not ${url.href}: ${reason}`, { cause });
  }
}
