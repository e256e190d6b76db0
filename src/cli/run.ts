import { readFile } from 'node:fs/promises';
import { archiveInspect, archiveRestore, archiveShip, archiveVerify } from './commands/archive.js';
import { backup } from './commands/backup.js';
import { bench } from './commands/bench.js';
import { Arguments, HELP_OPTION, TO_OPTION, UsageError, WRONG_USAGE, type Command } from './command.js';
import { dump } from './commands/dump.js';
import { noteFailure } from './failure.js';
import { importLog } from './commands/import.js';
import { inspect } from './commands/inspect.js';
import { suggest } from './nearest.js';
import { list, print } from './output.js';
import { repair } from './commands/repair.js';
import { tail } from './commands/tail.js';
import { topics } from './commands/topics.js';
import { verify } from './commands/verify.js';

const COMMANDS: readonly Command[] = [
  inspect, verify, dump, tail, topics, repair, importLog, backup, bench,
  archiveInspect, archiveVerify, archiveRestore, archiveShip,
];

/** Carries out a command with its arguments. Returns the exit status. */
export async function run(words: readonly string[]): Promise<number> {
  const [name, ...rest] = joined(words);
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const [asked] = joined(rest);
    const command = COMMANDS.find((candidate) => candidate.name === asked);
    for (const line of command === undefined ? overview() : helpOf(command)) await print(line);
    return name === undefined ? WRONG_USAGE : 0;
  }
  if (name === '--version') {
    await print(await version());
    return 0;
  }
  const command = COMMANDS.find((candidate) => candidate.name === name);
  try {
    if (command === undefined) throw new UsageError(suggest(name, COMMANDS.map((known) => known.name)));
    const args = new Arguments(command, rest);
    if (!args.has('help')) return await command.run(args);
    for (const line of helpOf(command)) await print(line);
    return 0;
  } catch (error) {
    return noteFailure(error, command?.name, rest.includes('--json'));
  }
}

/** The words of a command line, with the two of a command that has two as one. */
function joined([first, second, ...rest]: readonly string[]): string[] {
  const both = `${first} ${second}`;
  if (COMMANDS.some(({ name }) => name === both)) return [both, ...rest];
  return [first, second, ...rest].filter((word) => word !== undefined);
}

async function version(): Promise<string> {
  const manifest = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

function overview(): string[] {
  return [
    'usage: segmented-wal COMMAND DIR [options]',
    '',
    ...list(COMMANDS.map(({ name, summary }) => [`  ${name}`, summary])),
    '',
    'Only archive ship changes the log in DIR. Another process may have it open.',
    'COMMAND --help describes a command, --version prints the version.',
  ];
}

function helpOf({ name, summary, details, options, operand = 'DIR' }: Command): string[] {
  const described: Command['options'] = { ...options, help: HELP_OPTION };
  return [
    `usage: segmented-wal ${name}${operand === 'none' ? '' : ` ${operand}`}${neededBy(options)} [options]`,
    '',
    `${summary[0].toUpperCase()}${summary.slice(1)}.`,
    ...details === undefined ? [] : details.split('\n'),
    '',
    ...list(Object.entries(described).map(([option, { short, value, help }]) => {
      const abbreviation = short === undefined ? '    ' : `-${short}, `;
      return [`  ${abbreviation}--${option}${value === undefined ? '' : ` ${value}`}`, help];
    })),
  ];
}

/** The options that a command cannot do without. */
function neededBy({ to, store }: Command['options']): string {
  return `${to === TO_OPTION ? ' --to NEWDIR' : ''}${store === undefined ? '' : ' --store STORE'}`;
}
