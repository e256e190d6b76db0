import { once } from 'node:events';

/** Prints a line, no faster than it is taken. */
export async function print(line = ''): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

export function printJson(value: unknown): Promise<void> {
  return print(JSON.stringify(value, (_, part: unknown) => (part instanceof Uint8Array ? hex(part) : part)));
}

/** A remark that is not part of the result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Something that went wrong, as `text`, or as JSON for machines. */
export function noteError(isJson: boolean, text: string, error: { code: string; message: string }): void {
  note(isJson ? JSON.stringify({ error }) : text);
}

/** Lines with aligned columns. Those headed by a text that begins with `>` are aligned to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const isRight = head.map((title) => title.startsWith('>'));
  const lines = [head.map((title) => title.replace(/^>/, '')), ...rows.map((row) => row.map(String))];
  const widths = head.map((_, i) => Math.max(...lines.map((cells) => cells[i].length)));
  return lines.map((cells) => {
    const aligned = cells.map((cell, i) => (isRight[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i])));
    return aligned.join('  ').trimEnd();
  });
}

/** Names and what they stand for, in two columns. */
export function list(pairs: readonly (readonly [string, string])[]): string[] {
  return table(['', ''], pairs).slice(1);
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

/** A bar on the terminal, if there is one. */
export class Progress {
  readonly #isShown = process.stderr.isTTY;
  #drawn = 0;

  update(done: number, total: number): void {
    if (!this.#isShown || performance.now() - this.#drawn < REDRAW_MS) return;
    this.#drawn = performance.now();
    const part = total === 0 ? 1 : Math.min(1, done / total);
    const filled = Math.round(part * BAR);
    const percent = `${Math.round(part * 100)}`.padStart(3);
    process.stderr.write(`\r[${'#'.repeat(filled)}${' '.repeat(BAR - filled)}] ${percent} % of ${size(total)}`);
  }

  end(): void {
    if (this.#isShown && this.#drawn > 0) process.stderr.write('\r\u001b[K');
  }
}
