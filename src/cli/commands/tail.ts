import fs from 'node:fs';
import { WalError, type EntryId } from '../../index.js';
import { DAMAGED, type Arguments, type Command } from '../command.js';
import { printEntry, STYLE_OPTIONS, type Style } from '../report/entry-lines.js';
import { FoundLog, noteDamage } from '../found-log.js';
import { note } from '../output.js';

const DEFAULT_COUNT = 10;
/** Not every file system tells of changes. */
const LOOK_EVERY_MS = 1000;

export const tail: Command = {
  name: 'tail',
  summary: 'print the last entries of a log, and those that are added',
  details: 'Exit status: 2 if the log is damaged.',
  options: {
    lines: { type: 'string', short: 'n', value: 'COUNT', help: `how many entries; default: ${DEFAULT_COUNT}` },
    follow: { type: 'boolean', short: 'f', help: 'go on with the entries that are added, until interrupted' },
    ...STYLE_OPTIONS,
  },
  async run(args: Arguments): Promise<number> {
    const style = { json: args.has('json'), hex: args.has('hex') };
    const lines = args.number('lines') ?? DEFAULT_COUNT;
    const log = await FoundLog.open(args.directory);
    const ids: EntryId[] = [];
    for await (const { id } of log.entries()) if (ids.push(id) > lines) ids.shift();
    noteDamage(log.damage, style.json);
    let last = log.reader.lastId;
    if (lines > 0 && ids.length > 0) last = await printFrom(log, ids[0], style);
    if (args.has('follow')) await follow(log, last, args.directory, style);
    await log.reader.close();
    return log.damage.length > 0 ? DAMAGED : 0;
  },
};

async function follow(log: FoundLog, from: EntryId, directory: string, style: Style): Promise<void> {
  let last = from;
  let noted = log.damage.length;
  for await (const _ of changes(directory)) {
    await log.reader.refresh();
    last = await printFrom(log, last + 1, style);
    if (log.damage.length === noted) continue;
    // What was lost shows only between all that is whole.
    await log.readAll();
    noteDamage(log.damage.slice(noted), style.json);
    noted = log.damage.length;
  }
}

/** Prints the entries from `from` on. Returns the id of the last one printed. */
async function printFrom(log: FoundLog, from: EntryId, style: Style): Promise<EntryId> {
  let last = from - 1;
  const printAll = async (options: { from?: EntryId }): Promise<void> => {
    for await (const entry of log.reader.entries(options)) {
      if (entry.id <= last) continue;
      await printEntry(entry, style);
      last = entry.id;
    }
  };
  try {
    await printAll({ from });
  } catch (error) {
    if (!isGone(error)) throw error;
    note(`entries behind ${last} have been checkpointed before they could be printed`);
    await log.reader.refresh();
    await printAll({}).catch((again: unknown) => {
      // The next look goes on from here.
      if (!isGone(again)) throw again;
    });
  }
  return last;
}

/** Yields whenever something may have changed in a directory, at once for the first time, until interrupted. */
async function* changes(directory: string): AsyncGenerator<void, void, void> {
  let isChanged = true;
  let isInterrupted = false;
  let wake = (): void => undefined;
  const changed = (): void => {
    isChanged = true;
    wake();
  };
  const watcher = fs.watch(directory, changed).on('error', () => undefined);
  const timer = setInterval(changed, LOOK_EVERY_MS);
  process.once('SIGINT', () => {
    isInterrupted = true;
    wake();
  });
  try {
    while (!isInterrupted) {
      if (!isChanged) await new Promise<void>((resolve) => (wake = resolve));
      isChanged = false;
      if (!isInterrupted) yield;
    }
  } finally {
    watcher.close();
    clearInterval(timer);
  }
}

function isGone(error: unknown): boolean {
  return error instanceof WalError && error.code === 'WAL_POSITION_GONE';
}
