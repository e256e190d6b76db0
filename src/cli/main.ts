#!/usr/bin/env node
import { WalError } from '../index.js';
import { bench } from './bench.js';
import { Arguments, InputError, UsageError, type Command } from './command.js';
import { DAMAGED, NO_INPUT, OTHER_ERROR, TO_OPTION, WRONG_USAGE } from './command.js';
import { dump } from './dump.js';
import { importLog } from './import.js';
import { inspect } from './inspect.js';
import { list, note, print } from './output.js';
import { repair } from './repair.js';
import { tail } from './tail.js';
import { verify } from './verify.js';

const COMMANDS: readonly Command[] = [inspect, verify, dump, tail, repair, importLog, bench];

// Whoever read the output has had enough of it.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : OTHER_ERROR));
process.exitCode = await main(process.argv.slice(2));

async function main([name, ...rest]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const command = COMMANDS.find((candidate) => candidate.name === rest[0]);
    for (const line of command === undefined ? overview() : helpOf(command)) await print(line);
    return name === undefined ? WRONG_USAGE : 0;
  }
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) {
    note(`segmented-wal: no command ${name}; did you mean ${nearest(name)}? segmented-wal --help lists them all`);
    return WRONG_USAGE;
  }
  try {
    const args = new Arguments(command, rest);
    if (!args.has('help')) return await command.run(args);
    for (const line of helpOf(command)) await print(line);
    return 0;
  } catch (error) {
    const hint = error instanceof UsageError ? `; see segmented-wal ${name} --help` : '';
    note(`segmented-wal ${name}: ${error instanceof Error ? error.message : String(error)}${hint}`);
    return statusOf(error);
  }
}

function statusOf(error: unknown): number {
  if (error instanceof UsageError) return WRONG_USAGE;
  if (error instanceof InputError) return NO_INPUT;
  return error instanceof WalError && error.code === 'WAL_CORRUPT' ? DAMAGED : OTHER_ERROR;
}

function overview(): string[] {
  return [
    'usage: segmented-wal COMMAND DIR [options]',
    '',
    ...list(COMMANDS.map(({ name, summary }) => [`  ${name}`, summary])),
    '',
    'No command changes the log in DIR, which another process may have open.',
    'segmented-wal COMMAND --help says more.',
  ];
}

function helpOf({ name, summary, details, options }: Command): string[] {
  const described: Command['options'] = { ...options, help: { type: 'boolean', short: 'h', help: 'show this' } };
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

/** The command whose name takes the fewest changes of a letter to get to. */
function nearest(name: string): string {
  const ranked = COMMANDS.map((command) => ({ name: command.name, changes: distance(name, command.name) }));
  return ranked.sort((a, b) => a.changes - b.changes)[0].name;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
