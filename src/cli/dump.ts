import { DAMAGED, type Arguments, type Command } from './command.js';
import { printEntry, STYLE_OPTIONS } from './entry-lines.js';
import { FoundLog, lostEntries } from './found-log.js';
import { note } from './output.js';

export const dump: Command = {
  name: 'dump',
  summary: 'print the entries of a log',
  options: {
    from: { type: 'string', value: 'ID', help: 'the first entry to print; default: the oldest' },
    to: { type: 'string', value: 'ID', help: 'the last entry to print; default: the newest' },
    ...STYLE_OPTIONS,
  },
  async run(args: Arguments): Promise<number> {
    const from = args.number('from');
    const to = args.number('to') ?? Infinity;
    const log = await FoundLog.open(args.directory);
    for await (const entry of log.entries(from === undefined ? {} : { from })) {
      if (entry.id > to) break;
      await printEntry(entry, { json: args.has('json'), hex: args.has('hex') });
    }
    for (const found of log.damage) note(`damaged: ${found.error.message}; ${lostEntries(found, log.reader.lastId)}`);
    await log.reader.close();
    return log.damage.length > 0 ? DAMAGED : 0;
  },
};
