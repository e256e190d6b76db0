import type { FileHandle } from './file-manager.js';

/** Writes all of `parts` from `position`, however short the single writes are. */
export async function writeFully(file: FileHandle, parts: readonly Uint8Array[], position: number): Promise<void> {
  let rest = parts;
  let length = 0;
  for (const part of parts) length += part.length;
  while (length > 0) {
    const written = await file.write(rest, position);
    if (written <= 0) throw new Error(`a write of ${length} bytes took none of them`);
    length -= written;
    position += written;
    if (length > 0) rest = dropBytes(rest, written);
  }
}

/** Reads until `target` is full or the file ends. Resolves with the number of bytes read. */
export async function readFully(file: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const read = await file.read(filled === 0 ? target : target.subarray(filled), position + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}

/** `parts` without their first `count` bytes. */
function dropBytes(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  for (const part of parts) {
    if (count < part.length) rest.push(count > 0 ? part.subarray(count) : part);
    count = Math.max(0, count - part.length);
  }
  return rest;
}
