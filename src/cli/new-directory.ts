import { readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { InputError, UsageError } from './command.js';

/** Rejects unless `to` is missing or empty, and not in `directory`: nothing that is there is written over. */
export async function assertNew(to: string, directory: string): Promise<void> {
  const between = path.relative(await resolveAll(directory), await resolveAll(to));
  const isInside = between !== '..' && !between.startsWith(`..${path.sep}`) && !path.isAbsolute(between);
  if (isInside) throw new UsageError(`${to} is in ${directory}, which must not change; name a directory elsewhere`);
  const names = await readdir(to).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    if (error.code === 'ENOTDIR') throw new UsageError(`${to} is not a directory; name a new one`);
    throw new InputError(`${to} cannot be written to: ${error.message}`);
  });
  if (names.length > 0) throw new UsageError(`${to} is not empty; name a new directory`);
}

/** A path without links, although its end may be missing. */
async function resolveAll(name: string): Promise<string> {
  const absolute = path.resolve(name);
  return realpath(absolute).catch(async (error: NodeJS.ErrnoException) => {
    const parent = path.dirname(absolute);
    if (error.code !== 'ENOENT' || parent === absolute) return absolute;
    return path.join(await resolveAll(parent), path.basename(absolute));
  });
}
