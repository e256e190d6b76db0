/**
 * Kills a process under load from many writers, again and again on one log, and checks what each one leaves:
 *
 *     node dist/test/tools/kill.js --rounds 100 [--seed 1] [--directory DIRECTORY]
 *
 * Prints what was tried. Exits with 1, and leaves the directory as it is, when something was lost or made up.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { KillRounds } from './kill-rounds.js';
import { Random } from '../support/random.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' }, directory: { type: 'string' },
  },
});
const directory = values.directory ?? fs.mkdtempSync(path.join(os.tmpdir(), 'segmented-wal-kill-'));
const rounds = new KillRounds(directory, new Random(Number(values.seed)));
const started = performance.now();
try {
  for (let round = 0; round < Number(values.rounds); round++) await rounds.run();
  if (values.directory === undefined) fs.rmSync(directory, { recursive: true });
} catch (error) {
  console.log(`VIOLATION in ${directory}: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
const seconds = ((performance.now() - started) / 1000).toFixed(1);
const { acknowledged, checkpoints, killedWhileOpening } = rounds;
console.log(
  `${values.rounds} rounds in ${seconds} s: ${acknowledged} entries acknowledged, ${checkpoints} checkpoints begun, ` +
  `${killedWhileOpening} processes killed while they were opening the log`,
);
