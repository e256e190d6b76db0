import { DAMAGED, UsageError, type Arguments, type Command } from '../command.js';
import { printEntry, STYLE_OPTIONS } from '../report/entry-lines.js';
import { FoundLog, noteDamage } from '../found-log.js';

export const dump: Command = {
  name: 'dump',
  summary: 'print the entries of a log',
  details: 'Exit status: 2 if damage was found on the way.',
  options: {
    from: { type: 'string', value: 'ID', help: 'the first entry to print; default: the oldest' },
    to: { type: 'string', value: 'ID', help: 'the last entry to print; default: the newest' },
    ...STYLE_OPTIONS,
  },
  async run(args: Arguments): Promise<number> {
    const from = args.number('from');
    const to = args.number('to') ?? Infinity;
    if (from !== undefined && to < from) throw new UsageError(`--to ${to} comes before --from ${from}`);
    const style = { json: args.has('json'), hex: args.has('hex') };
    const log = await FoundLog.open(args.directory);
    for await (const entry of log.entries(from === undefined ? {} : { from })) {
      if (entry.id > to) break;
      await printEntry(entry, style);
    }
    const isDamaged = log.damage.length > 0;
    // What was lost shows only between all that is whole.
    if (isDamaged) await log.readAll();
    noteDamage(log.damage, style.json);
    await log.reader.close();
    return isDamaged ? DAMAGED : 0;
  },
};
