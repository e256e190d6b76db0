import { readFile } from 'node:fs/promises';
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

const COMMANDS: readonly Command[] = [inspect, verify, dump, tail, topics, repair, importLog, bench];

/** Carries out a command with its arguments. Returns the exit status. */
export async function run([name, ...rest]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const command = COMMANDS.find((candidate) => candidate.name === rest[0]);
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
    'No command changes the log in DIR, which another process may have open.',
    'COMMAND --help describes a command, --version prints the version.',
  ];
}

function helpOf({ name, summary, details, options }: Command): string[] {
  const described: Command['options'] = { ...options, help: HELP_OPTION };
  return [
    `usage: segmented-wal ${name} DIR${options.to === TO_OPTION ? ' --to NEWDIR' : ''} [options]`,
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
