import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { hasCode } from '../../base/errno.js';
import { messageOf } from '../../base/errors.js';
import { readHolder } from '../../files/lock/heartbeat-directory.js';
import { livenessOf, parseOwner } from '../../files/lock/lock-owner.js';

/** The process that has a directory open, as its locks tell. They are looked at, not tried. */
export async function ownerOf(directory: string): Promise<string> {
  try {
    return await readOwner(directory);
  } catch (error) {
    return `unknown; its locks cannot be read: ${messageOf(error)}`;
  }
}

async function readOwner(directory: string): Promise<string> {
  const holder = await readHolder(directory);
  if (holder !== undefined && !holder.isGone) return name(holder.owner);
  const owner = parseOwner(await readFile(path.join(directory, 'LOCK'), 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  }));
  const liveness = owner === undefined ? 'dead' : livenessOf(owner);
  if (liveness === 'dead') {
    const last = owner ?? holder?.owner;
    return last === undefined ? 'none' : `none; ${name(last)} ended without a shutdown`;
  }
  return liveness === 'alive' ? name(owner) : `${name(owner)}, if that still runs`;
}

function name(owner: { readonly pid: number; readonly host: string } | undefined): string {
  return owner === undefined ? 'a process that left no name' : `process ${owner.pid} on ${owner.host}`;
}
