import { readdir } from 'node:fs/promises';
import { InputError, JSON_OPTION, TO_OPTION, type Arguments, type Command } from '../command.js';
import { copyLog } from '../copy.js';
import { FoundLog, refuseDamaged } from '../found-log.js';
import { assertNew } from '../new-directory.js';
import { printCopied } from '../report/left-out.js';

export const backup: Command = {
  name: 'backup',
  summary: 'copy a log, which may be open, as it is at one moment',
  details: 'The copy has the entries that are in the log, with their ids, and its identity.\n'
    + 'What is checkpointed is in your own storage: copy that after this has ended.\n'
    + 'NEWDIR gets its name once it is complete.\n'
    + 'Exit status: 2 if the log is damaged, and nothing was copied.',
  options: { to: TO_OPTION, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const to = args.required('to');
    const isJson = args.has('json');
    const log = await FoundLog.open(args.directory);
    await assertNew(to, args.directory);
    await assertNoTopics(args.directory);
    await log.survey();
    const { damage } = log;
    if (damage.length > 0) return refuseDamaged(damage, 'copied', isJson);
    const identity = await log.reader.identity();
    const copied = await copyLog(log, to, identity);
    await log.reader.close();
    return printCopied(log, args.directory, { to, copied, isJson });
  },
};

/** Topics keep messages beside their log, and they change while it is copied. */
async function assertNoTopics(directory: string): Promise<void> {
  const names = await readdir(directory);
  if (!names.some((name) => name.startsWith('topics-'))) return;
  const what = 'topics, which keep messages beside the log: end its program, and copy all files';
  throw new InputError(`${directory} holds ${what}`);
}
