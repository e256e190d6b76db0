/** The log: a whole entry in one call. */
import { openLog } from '../log.mjs';

export async function open(directory, _size, settings) {
  const log = await openLog(directory, settings);
  return { commit: (data) => log.append(data), close: () => log.shutdown() };
}
