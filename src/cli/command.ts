import { parseArgs } from 'node:util';

/** Exit statuses besides 0. Those from 64 on are the ones of sysexits.h. */
export const TORN = 1;
export const DAMAGED = 2;
export const WRONG_USAGE = 64;
export const NO_INPUT = 66;
export const OTHER_ERROR = 74;

interface Option {
  readonly type: 'boolean' | 'string';
  readonly short?: string;
  /** What stands for its value in the help; options of type `string` have one. */
  readonly value?: string;
  readonly help: string;
}

/** One word after `segmented-wal`, or two. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Further lines of its help. */
  readonly details?: string;
  readonly options: Readonly<Record<string, Option>>;
  /** What it takes before its options. Default: DIR. */
  readonly operand?: 'DIR' | 'NEWDIR' | 'none';
  /** Returns the exit status. */
  run(args: Arguments): Promise<number>;
}

/** The command line is wrong. */
export class UsageError extends Error {}

/** There is nothing to read, or nowhere to write to. */
export class InputError extends Error {}

export const JSON_OPTION: Option = { type: 'boolean', help: 'print JSON, for machines' };

export const TO_OPTION: Option = {
  type: 'string', value: 'NEWDIR', help: 'where the new log is made: missing or empty',
};

export const HELP_OPTION: Option = { type: 'boolean', short: 'h', help: 'show this help' };

type Values = Readonly<Record<string, string | boolean | undefined>>;

/** What a command was given. */
export class Arguments {
  readonly directory: string;
  readonly #values: Values;

  constructor(command: Command, words: readonly string[]) {
    const options = { ...command.options, help: HELP_OPTION };
    // Not strict: its own words for what is wrong take several lines.
    const parsed = parseArgs({ args: [...words], options, strict: false, tokens: true });
    for (const token of parsed.tokens) if (token.kind === 'option') checkOption(token, options);
    this.#values = parsed.values;
    const [directory, ...rest] = parsed.positionals;
    if (this.has('help')) this.directory = '';
    else if (command.operand === 'none') this.directory = assertNone(parsed.positionals);
    else if (directory === undefined) throw new UsageError('a directory is missing');
    else if (rest.length > 0) throw new UsageError(`takes one directory, not also ${rest.join(' ')}`);
    else this.directory = directory;
  }

  has(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  /** The value of an option that must be given. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError(`--${name} is missing`);
    return value;
  }

  /** A whole number, not negative. */
  number(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!Number.isSafeInteger(value)) throw new UsageError(`--${name} takes a whole number, not ${text}`);
    return value;
  }
}

function assertNone(words: readonly string[]): string {
  if (words.length > 0) throw new UsageError(`takes options only, not ${words.join(' ')}`);
  return '';
}

/** An option as it was given. */
interface GivenOption {
  readonly name: string;
  /** With the dashes before it. */
  readonly rawName: string;
  readonly value?: string | undefined;
  /** Whether its value comes after `=`, or right after its letter. */
  readonly inlineValue?: boolean | undefined;
}

function checkOption({ name, rawName, value, inlineValue }: GivenOption, options: Command['options']): void {
  if (!Object.hasOwn(options, name)) throw new UsageError(`unknown option ${rawName}`);
  const { type, value: needed = '' } = options[name];
  if (type === 'boolean' && value !== undefined) throw new UsageError(`${rawName} takes no value`);
  // Another option is no value.
  const isMissing = value === undefined || (value.startsWith('-') && inlineValue !== true);
  if (type === 'string' && isMissing) throw new UsageError(`${rawName} needs a value: ${needed}`);
}
