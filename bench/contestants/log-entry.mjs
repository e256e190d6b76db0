/** The log: an entry begun, written chunk by chunk (here one) and committed. */
import { openLog } from '../log.mjs';

export async function open(directory, _size, settings) {
  const log = await openLog(directory, settings);
  return {
    async commit(data) {
      const entry = await log.beginEntry();
      await entry.writeChunk(data);
      await entry.commit();
    },
    close: () => log.shutdown(),
  };
}
