/** The log: a chunk by its position, in each of the ways there are. */
import { fill, openLog } from '../log.mjs';

export async function open(directory, { chunks, size }) {
  const log = await openLog(directory, { manager: 'keeping' });
  const positions = [];
  await fill(log, { total: chunks, size, concurrency: 64, each: (entry) => positions.push(entry.chunks[0].position) });
  // In the order of the log, whichever commit was heard of first.
  positions.sort((a, b) => a.segmentId - b.segmentId || a.offset - b.offset);
  const any = () => positions[Math.floor(Math.random() * positions.length)];
  const neighbours = (count) => {
    const first = Math.floor(Math.random() * (positions.length - count));
    return positions.slice(first, first + count);
  };
  return {
    readSync: () => log.readSync(any()).length,
    read: async () => (await log.read(any())).length,
    async readAt() {
      const reader = await log.readAt(any());
      try {
        return (await reader.readAll()).length;
      } finally {
        await reader.close();
      }
    },
    /** Of 64 neighbours, all at once. */
    read64: async () => lengthOf(await Promise.all(neighbours(64).map((position) => log.read(position)))),
    readMany64: async () => lengthOf(await log.readMany(neighbours(64))),
    close: () => log.shutdown(),
  };
}

/** The length that all of `chunks` have. */
function lengthOf(chunks) {
  return chunks.every(({ length }) => length === chunks[0].length) ? chunks[0].length : -1;
}
