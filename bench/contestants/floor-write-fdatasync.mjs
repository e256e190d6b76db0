/** The floor: a loop of one positioned write and one fdatasync, blocking, into a preallocated file. */
import fs from 'node:fs';
import { Offsets, openPreallocated } from './preallocated-file.mjs';

export async function open(directory) {
  const fd = openPreallocated(directory);
  const offsets = new Offsets();
  return {
    singleWriter: true,
    commit(data) {
      fs.writeSync(fd, data, 0, data.length, offsets.take(data.length));
      fs.fdatasyncSync(fd);
    },
    close: () => fs.closeSync(fd),
  };
}
