import { DAMAGED, JSON_OPTION, TO_OPTION, type Arguments, type Command } from './command.js';
import { assertEmpty, copiedTo, copyLog } from './copy.js';
import { FoundLog, lostEntries } from './found-log.js';
import { count, print, printJson } from './output.js';

export const repair: Command = {
  name: 'repair',
  summary: 'copy what is whole of a damaged log into a new one',
  details: 'The damaged log is not touched. Entries keep their order, and their ids too unless more than a million\n'
    + 'are missing in one place. Behind damage the rest of its segment is left out.\n'
    + 'Exit status: 2 if anything was lost to damage.',
  options: { to: TO_OPTION, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const to = args.required('to');
    const log = await FoundLog.open(args.directory);
    await assertEmpty(to);
    const { tornBytes, lastId } = log.reader;
    const copied = await copyLog(log, to);
    const leftOut = log.damage.map((found) => `${found.error.message}; ${lostEntries(found, lastId)}`);
    if (tornBytes > 0) leftOut.push(`${count(tornBytes, 'byte')} at the end, of an entry that was never completed`);
    await log.reader.close();
    if (args.has('json')) {
      await printJson({ ...copied, leftOut });
    } else {
      for (const reason of leftOut) await print(`left out: ${reason}`);
      await print(copiedTo(to, copied));
    }
    return log.damage.length > 0 ? DAMAGED : 0;
  },
};
