import { hasCode } from '../base/errno.js';
import type { FileHandle, FileManager, OpenOptions } from './file-manager.js';

const ZEROS = Buffer.alloc(64 * 1024);

/** Opens a file for `use` and closes it again. */
export async function withFile<T>(
  fileManager: FileManager, path: string, options: OpenOptions, use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await fileManager.open(path, options);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Removes a file if it is there. */
export async function removeIfThere(fileManager: FileManager, path: string): Promise<void> {
  await fileManager.remove(path).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error;
  });
}

/**
 * Writes all of `parts` from `position`, however short the single writes are: `FileHandle.write` may take fewer bytes
 * than it is given.
 *
 * @example
 * const files = new MemoryFileManager();
 * await files.createDirectory('data');
 * const file = await files.open('data/file', { access: 'create' });
 * await writeFully(file, [Buffer.from('hel'), Buffer.from('lo')], 0);
 * console.log(await file.size()); // 5
 * await file.close();
 */
export async function writeFully(file: FileHandle, parts: readonly Uint8Array[], position: number): Promise<void> {
  for (let rest = parts; rest.length > 0;) {
    const written = await file.write(rest, position);
    rest = dropBytes(rest, written);
    position += written;
  }
}

/** `writeFully`, but durable only after a sync. Only for a file that has such writes. */
export async function writeFullyVolatile(
  file: FileHandle, parts: readonly Uint8Array[], position: number,
): Promise<void> {
  if (file.writeVolatile === undefined) return writeFully(file, parts, position);
  for (let rest = parts; rest.length > 0;) {
    const written = await file.writeVolatile(rest, position);
    rest = dropBytes(rest, written);
    position += written;
  }
}

/** Writes all of `parts` from `position` and syncs them, on the calling thread. */
export function writeFullyBlocking(file: BlockingFileHandle, parts: readonly Uint8Array[], position: number): void {
  for (let rest = parts; rest.length > 0;) {
    const written = file.writeBlocking(rest, position);
    rest = dropBytes(rest, written);
    position += written;
  }
  if (!file.durableWrites) file.syncBlocking();
}

/** A FileHandle that can write on the calling thread. */
export type BlockingFileHandle = FileHandle & Required<Pick<FileHandle, 'writeBlocking' | 'syncBlocking'>>;

export function canBlock(file: FileHandle): file is BlockingFileHandle {
  return file.writeBlocking !== undefined && file.syncBlocking !== undefined;
}

/**
 * Reads until `target` is full or the file ends, however short the single reads are. Resolves with the number of bytes
 * read.
 *
 * @example
 * const files = new MemoryFileManager();
 * await files.createDirectory('data');
 * const file = await files.open('data/file', { access: 'create' });
 * await writeFully(file, [Buffer.from('hello')], 0);
 * const bytes = Buffer.alloc(3);
 * console.log(await readFully(file, bytes, 1), bytes.toString()); // 3 ell
 * await file.close();
 */
export async function readFully(file: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const read = await file.read(filled === 0 ? target : target.subarray(filled), position + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}

/** `readFully` on the calling thread. */
export function readFullyBlocking(file: FileHandle, target: Uint8Array, position: number): number {
  if (file.readBlocking === undefined) {
    throw new TypeError('the FileManager of this log cannot read on the calling thread (`readBlocking`): use `read`');
  }
  let filled = 0;
  while (filled < target.length) {
    const read = file.readBlocking(filled === 0 ? target : target.subarray(filled), position + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}

/** Whether a file has no bytes but zeros. */
export async function isAllZeros(file: FileHandle): Promise<boolean> {
  const block = Buffer.allocUnsafe(ZEROS.length);
  for (let at = 0; ;) {
    const read = await readFully(file, block, at);
    if (!block.subarray(0, read).equals(ZEROS.subarray(0, read))) return false;
    if (read < block.length) return true;
    at += read;
  }
}

/** What is left of `parts` after a write took `count` bytes. */
function dropBytes(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  if (count <= 0) throw new Error('a write took none of the bytes it was given');
  const rest: Uint8Array[] = [];
  for (const part of parts) {
    if (count < part.length) rest.push(count > 0 ? part.subarray(count) : part);
    count = Math.max(0, count - part.length);
  }
  return rest;
}
