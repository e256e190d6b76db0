import { once } from 'node:events';

/** The width of output where no terminal says how wide it is. */
const COLUMNS = 80;

/** How many columns a line should have at most. */
export function columns(): number {
  return process.stdout.isTTY ? process.stdout.columns || COLUMNS : COLUMNS;
}

/** Writes a part of the result, no faster than it is taken. */
export async function write(text: string): Promise<void> {
  clearBar(process.stdout.isTTY);
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

export function print(line = ''): Promise<void> {
  return write(`${line}\n`);
}

export function printJson(value: unknown): Promise<void> {
  return print(JSON.stringify(value, (_, part: unknown) => (part instanceof Uint8Array ? hex(part) : part)));
}

/** A remark that is not part of the result. */
export function note(line: string): void {
  clearBar(true);
  process.stderr.write(`${line}\n`);
}

/** A remark as `text`, or as JSON for machines. */
export function noteRemark(isJson: boolean, text: string): void {
  note(isJson ? JSON.stringify({ note: text }) : `note: ${text}`);
}

/** Something that went wrong, as `text`, or as JSON for machines. */
export function noteError(isJson: boolean, text: string, error: { code: string; message: string }): void {
  note(isJson ? JSON.stringify({ error }) : text);
}

/**
 * Lines with aligned columns. Those headed by a text that begins with `>` are aligned to the right. Where that does not
 * fit, each row becomes a list, below its first cell.
 */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const titles = head.map((title) => title.replace(/^>/, ''));
  const isRight = head.map((title) => title.startsWith('>'));
  const lines = align([titles, ...rows.map((row) => row.map(String))], isRight);
  if (lines.every((line) => line.length <= columns())) return lines;
  return rows.flatMap(([first, ...cells]) => {
    return [String(first), ...list(cells.map((cell, i) => [`  ${titles[i + 1]}`, String(cell)]))];
  });
}

/** Names and what they stand for, in two columns. On a terminal, long texts are wrapped. */
export function list(pairs: readonly (readonly [string, string])[]): string[] {
  const indent = Math.max(0, ...pairs.map(([name]) => name.length)) + 2;
  const width = process.stdout.isTTY ? Math.max(20, columns() - indent) : Infinity;
  return pairs.flatMap(([name, text]) => {
    return wrap(text, width).map((line, i) => `${(i === 0 ? name : '').padEnd(indent)}${line}`.trimEnd());
  });
}

function align(lines: readonly (readonly string[])[], isRight: readonly boolean[]): string[] {
  const widths = isRight.map((_, i) => Math.max(...lines.map((cells) => cells[i].length)));
  return lines.map((cells) => {
    const aligned = cells.map((cell, i) => (isRight[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i])));
    return aligned.join('  ').trimEnd();
  });
}

function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines[lines.length - 1];
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

export function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}

/** Entries from one id to another, and a verb for what comes next. */
export function ids(fromId: number, toId: number): string {
  return fromId === toId ? `entry ${fromId} is` : `entries ${fromId} to ${toId} are`;
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

const BAR = 30;
const REDRAW_MS = 100;

/** Whether a bar is on the terminal now. What is printed next takes its line. */
let isBarDrawn = false;
/** Whether lines appear on the terminal by themselves: they show the progress then. */
let isBarNeedless = false;

/** `isTerminal` is whether the bar and what comes next are seen in one place. */
function clearBar(isTerminal: boolean): void {
  if (!isTerminal) return;
  isBarNeedless = true;
  if (isBarDrawn) process.stderr.write('\r\u001b[K');
  isBarDrawn = false;
}

/** A bar on the terminal, if there is one. */
export class Progress {
  #drawn = -Infinity;

  /** `what` all of it is, if it is not a number of bytes. */
  update(done: number, total: number, what = size(total)): void {
    if (!process.stderr.isTTY || isBarNeedless || performance.now() - this.#drawn < REDRAW_MS) return;
    this.#drawn = performance.now();
    isBarDrawn = true;
    const part = total === 0 ? 1 : Math.min(1, done / total);
    const filled = Math.round(part * BAR);
    const percent = `${Math.round(part * 100)}`.padStart(3);
    process.stderr.write(`\r[${'#'.repeat(filled)}${' '.repeat(BAR - filled)}] ${percent} % of ${what}`);
  }

  end(): void {
    if (!isBarDrawn) return;
    process.stderr.write('\r\u001b[K');
    isBarDrawn = false;
  }
}
