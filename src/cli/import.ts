import { DAMAGED, InputError, JSON_OPTION, TO_OPTION, type Arguments, type Command } from './command.js';
import { assertEmpty, copiedTo, copyLog } from './copy.js';
import { FoundLog, lostEntries } from './found-log.js';
import { note, print, printJson } from './output.js';

export const importLog: Command = {
  name: 'import',
  summary: 'copy a log of the predecessor, OkayWAL (format 0), into a new one of format 1',
  details: 'The old log is not touched. A log can also be opened as it is: its segments are replaced one by one then.',
  options: { to: TO_OPTION, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const to = args.required('to');
    const log = await FoundLog.open(args.directory);
    const isOld = log.reader.segments.some(({ formatVersion }) => formatVersion === 0);
    if (!isOld) throw new InputError(`${args.directory} holds nothing of format 0`);
    await assertEmpty(to);
    for await (const _ of log.entries());
    if (log.damage.length > 0) {
      for (const found of log.damage) note(`damaged: ${found.error.message}; ${lostEntries(found, log.reader.lastId)}`);
      note('nothing was imported; `segmented-wal repair` copies what is whole');
      return DAMAGED;
    }
    const copied = await copyLog(log, to);
    await log.reader.close();
    await (args.has('json') ? printJson(copied) : print(copiedTo(to, copied)));
    return 0;
  },
};
