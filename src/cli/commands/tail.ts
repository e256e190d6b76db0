import type { EntryId } from '../../index.js';
import { DAMAGED, type Arguments, type Command } from '../command.js';
import { changes } from '../changes.js';
import { printEntry, STYLE_OPTIONS, type Style } from '../report/entry-lines.js';
import { FoundLog, noteDamage, noteGone } from '../found-log.js';
import { noteRemark } from '../output.js';
import { tailTopic } from '../topic-tail.js';

const DEFAULT_COUNT = 10;
const SPARE_IDS = 1000;

export const tail: Command = {
  name: 'tail',
  summary: 'print the last entries of a log, and those that are added',
  details: 'A message of a topic that no group wants any more may go before it is printed.\n'
    + 'Exit status: 2 if the log is damaged.',
  options: {
    lines: { type: 'string', short: 'n', value: 'COUNT', help: `how many entries; default: ${DEFAULT_COUNT}` },
    follow: { type: 'boolean', short: 'f', help: 'then print entries as they are added, until interrupted' },
    topic: { type: 'string', value: 'NAME', help: 'print the messages of this topic instead of entries' },
    ...STYLE_OPTIONS,
  },
  async run(args: Arguments): Promise<number> {
    const style = { json: args.has('json'), hex: args.has('hex') };
    const lines = args.number('lines') ?? DEFAULT_COUNT;
    const topic = args.text('topic');
    const { directory } = args;
    if (topic !== undefined) return tailTopic({ directory, topic, lines, isFollowing: args.has('follow'), style });
    const log = await FoundLog.open(args.directory);
    const first = await findFirst(log, lines);
    noteDamage(log.damage, style.json);
    let last = log.reader.lastId;
    if (first !== undefined) last = await printFrom(log, first, style);
    if (args.has('follow')) await follow(log, last, args.directory, style);
    await log.reader.close();
    return log.damage.length > 0 ? DAMAGED : 0;
  },
};

/** The id of the first of the last `count` entries, if there are any. */
async function findFirst(log: FoundLog, count: number): Promise<EntryId | undefined> {
  const ids: EntryId[] = [];
  await log.survey(({ id }) => {
    // Dropped many at a time: taking one off the front moves all others.
    if (ids.push(id) >= 2 * count + SPARE_IDS) ids.splice(0, ids.length - count);
  });
  return count === 0 ? undefined : ids.slice(-count).find((id) => id > (log.goneId ?? 0));
}

async function follow(log: FoundLog, from: EntryId, directory: string, style: Style): Promise<void> {
  let last = from;
  let noted = log.damage.length;
  for await (const _ of changes(directory)) {
    await log.reader.refresh();
    last = await printFrom(log, last + 1, style);
    if (log.damage.length === noted) continue;
    // What was lost is known only from all entries that are whole.
    await log.readAll();
    noteDamage(log.damage.slice(noted), style.json);
    noted = log.damage.length;
  }
}

/** Prints the entries from `from` on. Returns the id of the last one printed, or gone. */
async function printFrom(log: FoundLog, from: EntryId, style: Style): Promise<EntryId> {
  const { goneId } = log.reader;
  const isGone = from <= goneId;
  if (isGone) noteRemark(style.json, `entries ${from} to ${goneId} were checkpointed before being printed`);
  let last = isGone ? goneId : from - 1;
  await log.forEach(async (entry) => {
    await printEntry(entry, style);
    last = entry.id;
  }, isGone ? {} : { from });
  noteGone(log, style.json);
  return Math.max(last, log.goneId ?? 0);
}
