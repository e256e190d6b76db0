import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { show } from './bytes.js';
import { messageOf } from './errors.js';

/** The absolute path of what is given as a path or a `file:` URL. Throws a TypeError or RangeError otherwise. */
export function absolutePath(name: string, given: string | URL): string {
  if (given instanceof URL) return pathOf(name, given);
  if (typeof given !== 'string') throw new TypeError(`${name} must be a string or a file: URL, not ${show(given)}`);
  if (given === '') throw new RangeError(`${name} must not be empty`);
  return path.resolve(given);
}

function pathOf(name: string, url: URL): string {
  try {
    return path.resolve(fileURLToPath(url));
  } catch (cause) {
    // Another protocol, another host, or an encoded separator.
    const reason = messageOf(cause);
    throw new TypeError(`${name} must be a string or a file: URL, not ${url.href}: ${reason}`, { cause });
  }
}
