import { JSON_OPTION, TO_OPTION, type Arguments, type Command } from '../command.js';
import { copyLog } from '../copy.js';
import { FoundLog } from '../found-log.js';
import { printCopied } from '../report/left-out.js';
import { assertNew } from '../new-directory.js';

export const repair: Command = {
  name: 'repair',
  summary: 'copy every whole entry of a damaged log into a new one',
  details: 'The damaged log is not touched. NEWDIR gets its name once it is complete.\n'
    + 'Entries keep their order, their ids and, up to 4 MiB, their batches. The rest\n'
    + 'of a damaged segment is left out, and so are holds, the mark of what is\n'
    + 'checkpointed and the identity: a log that has lost entries is another one.\n'
    + 'Exit status: 2 if anything was lost to damage, 1 if entries of format 0 are\n'
    + 'missing between segments.',
  options: { to: TO_OPTION, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const to = args.required('to');
    const log = await FoundLog.open(args.directory);
    await assertNew(to, args.directory);
    const copied = await copyLog(log, to);
    await log.reader.close();
    return printCopied(log, args.directory, { to, copied, isJson: args.has('json') });
  },
};
