/**
 * The sequential bandwidth of the device for synced writes: blocks so long that the cost of a
 * sync hardly counts, whatever the size of the entries.
 */
import fs from 'node:fs';
import { Offsets, openPreallocated } from './preallocated-file.mjs';

const BLOCK_BYTES = 8 << 20;

export async function open(directory) {
  const fd = openPreallocated(directory);
  const offsets = new Offsets();
  const block = Buffer.alloc(BLOCK_BYTES, 'block');
  return {
    singleWriter: true,
    bytesPerCommit: BLOCK_BYTES,
    commit() {
      fs.writeSync(fd, block, 0, BLOCK_BYTES, offsets.take(BLOCK_BYTES));
      fs.fdatasyncSync(fd);
    },
    close: () => fs.closeSync(fd),
  };
}
