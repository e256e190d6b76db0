import { DAMAGED, JSON_OPTION, TORN, type Arguments, type Command } from './command.js';
import { FoundLog, lostEntries } from './found-log.js';
import { readHolds } from './holds.js';
import { count, print, printJson, size } from './output.js';

export const verify: Command = {
  name: 'verify',
  summary: 'check every checksum and chain of a log',
  details: 'Exit status: 0 if it is sound, 1 if it has a torn tail, 2 if it is damaged.\n'
    + 'While a log is written to, an entry on its way looks like a torn tail.',
  options: { json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const log = await FoundLog.open(args.directory);
    const { lastId, tornBytes, end: { segmentId, offset }, segments } = log.reader;
    let entries = 0;
    for await (const _ of log.entries()) entries++;
    await log.reader.close();
    const bytes = segments.reduce((sum, { end }) => sum + end, 0);
    const damage = log.damage.map((found) => {
      const { message, segmentId: segment, offset: at } = found.error;
      return { segmentId: segment, offset: at, message, lost: lostEntries(found, lastId) };
    });
    if ((await readHolds(args.directory)) === 'damaged') {
      const message = 'wal-holds, which says what is kept and what is checkpointed, is damaged';
      damage.push({ segmentId: undefined, offset: undefined, message, lost: 'no entry is lost' });
    }
    const state = damage.length > 0 ? 'damaged' : tornBytes > 0 ? 'torn' : 'sound';
    if (args.has('json')) {
      const end = { segmentId, offset };
      await printJson({ state, entries, segments: segments.length, bytes, lastId, tornBytes, end, damage });
    } else {
      for (const { message, lost } of damage) await print(`damaged: ${message}; ${lost}`);
      const torn = `${count(tornBytes, 'byte')} of an entry that was never completed`;
      if (tornBytes > 0) await print(`torn: ${torn}, at offset ${offset} of segment ${segmentId}`);
      const content = `${count(entries, 'whole entry', 'whole entries')} in ${count(segments.length, 'segment')}`;
      await print(`${state}: ${content}, ${size(bytes)}`);
    }
    return state === 'damaged' ? DAMAGED : state === 'torn' ? TORN : 0;
  },
};
