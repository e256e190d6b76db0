import { DAMAGED, UsageError, type Arguments, type Command } from '../command.js';
import type { Entry } from '../../index.js';
import { printEntry, STYLE_OPTIONS } from '../report/entry-lines.js';
import { FoundLog, noteDamage, noteGone } from '../found-log.js';

export const dump: Command = {
  name: 'dump',
  summary: 'print the entries of a log',
  details: 'Exit status: 2 if damage was found on the way.\n'
    + 'Entries that the owner of the log checkpoints meanwhile may be missing; a note\n'
    + 'on stderr says so.',
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
    if (from !== undefined) log.assertNotGone(from);
    const print = async (entry: Entry): Promise<boolean> => {
      if (entry.id <= to) await printEntry(entry, style);
      return entry.id < to;
    };
    await log.forEach(print, from === undefined ? {} : { from });
    noteGone(log, style.json);
    const isDamaged = log.damage.length > 0;
    // What was lost is known only from all entries that are whole.
    if (isDamaged) await log.readAll();
    noteDamage(log.damage, style.json);
    await log.reader.close();
    return isDamaged ? DAMAGED : 0;
  },
};
