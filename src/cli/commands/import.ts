import { InputError, JSON_OPTION, TO_OPTION, type Arguments, type Command } from '../command.js';
import { copyLog } from '../copy.js';
import { FoundLog, refuseDamaged } from '../found-log.js';
import { printCopied } from '../report/left-out.js';
import { assertNew } from '../new-directory.js';

export const importLog: Command = {
  name: 'import',
  summary: 'copy a log of the predecessor OkayWAL to format 1',
  details: 'The old log is not touched. NEWDIR gets its name once it is complete.\n'
    + 'Importing is not needed to open such a log: its segments are then replaced by\n'
    + 'those of format 1 one at a time.\n'
    + 'Exit status: 2 if there is damage, 1 if entries are missing between segments.',
  options: { to: TO_OPTION, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const to = args.required('to');
    const isJson = args.has('json');
    const log = await FoundLog.open(args.directory);
    const { hasFormat0 } = log;
    if (!hasFormat0) throw new InputError(`${args.directory} holds no segment of format 0: it needs no import`);
    await assertNew(to, args.directory);
    await log.survey();
    const { damage } = log;
    if (damage.length > 0) return refuseDamaged(damage, 'imported', isJson);
    const copied = await copyLog(log, to);
    await log.reader.close();
    return printCopied(log, args.directory, { to, copied, isJson });
  },
};
