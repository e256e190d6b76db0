/** The floor in one system call: the descriptor is O_DSYNC, so a write returns when it is durable. */
import fs from 'node:fs';
import { Offsets, openPreallocated } from './preallocated-file.mjs';

export async function open(directory) {
  const fd = openPreallocated(directory, fs.constants.O_DSYNC);
  const offsets = new Offsets();
  return {
    singleWriter: true,
    commit: (data) => void fs.writeSync(fd, data, 0, data.length, offsets.take(data.length)),
    close: () => fs.closeSync(fd),
  };
}
