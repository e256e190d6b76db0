/** A file whose every byte has been written and synced, so that writing into it changes no metadata. */
import fs from 'node:fs';
import path from 'node:path';

export const FILE_BYTES = 64 << 20;
const BLOCK_BYTES = 8 << 20;

/** Creates the file and opens it for writing with the further open flags `flags`. Returns the descriptor. */
export function openPreallocated(directory, flags = 0) {
  const file = path.join(directory, 'data');
  const creating = fs.openSync(file, 'wx');
  const zeros = Buffer.alloc(BLOCK_BYTES);
  for (let offset = 0; offset < FILE_BYTES; offset += BLOCK_BYTES) {
    fs.writeSync(creating, zeros, 0, BLOCK_BYTES, offset);
  }
  fs.fsyncSync(creating);
  fs.closeSync(creating);
  return fs.openSync(file, fs.constants.O_RDWR | flags);
}

/** Hands out offsets for writes of `length` bytes one behind the other, back to the start at the end of the file. */
export class Offsets {
  #next = 0;

  take(length) {
    if (this.#next + length > FILE_BYTES) this.#next = 0;
    const offset = this.#next;
    this.#next += length;
    return offset;
  }
}
