/** The bare calls of Node, of a plain file. */
import fs from 'node:fs';
import path from 'node:path';

export async function open(directory, { chunks, size }) {
  const file = path.join(directory, 'data');
  fs.writeFileSync(file, Buffer.alloc(chunks * size, 'segmented'), { flush: true });
  const fd = fs.openSync(file);
  // As in a log, an offset that is no multiple of a page.
  const any = () => Math.floor(Math.random() * (chunks - 1)) * size + Math.min(1000, size >> 1);
  return {
    // A buffer for each read, as the caller of a log gets one.
    readSync: () => fs.readSync(fd, Buffer.allocUnsafe(size), 0, size, any()),
    read: () => new Promise((resolve, reject) => {
      fs.read(fd, Buffer.allocUnsafe(size), 0, size, any(), (error, read) => {
        if (error === null) resolve(read);
        else reject(error);
      });
    }),
    close: () => fs.closeSync(fd),
  };
}
