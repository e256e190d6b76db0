/** What the tests that kill processes share. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * Runs a script of Node with its arguments, and ends it by SIGKILL as soon as `hear`, which is called for every line it
 * says, returns true. Also the lines that it said before it was gone are heard. Rejects if it ends by itself.
 */
export async function runUntilKilled(args: readonly string[], hear: (line: string) => boolean): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const closed = once(child, 'close');
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (hear(line)) child.kill('SIGKILL');
  });
  const [code, signal] = (await closed) as [number | null, string | null];
  if (signal !== 'SIGKILL') throw new Error(`${args.join(' ')} ended by itself, ${code}: ${errors}`);
}

/** Says a line. Blocks while the pipe is full, so that nothing that was said is lost with the process. */
export function say(line: string): void {
  fs.writeSync(1, `${line}\n`);
}
