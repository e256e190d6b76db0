/** What the tests of the command line share. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LogManager } from '../../src/index.js';

/** The file that `npx segmented-wal` runs. */
export const BIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** Keeps every entry in the log. */
export const keepAll: LogManager = {
  recover: () => undefined,
  checkpointTo() {
    throw new Error('this log keeps its entries');
  },
};

/** More than any test prints. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Runs a command to its end. */
export function wal(...args: string[]) {
  return spawnSync(process.execPath, [BIN, ...args], { encoding: 'utf8', maxBuffer: MAX_OUTPUT_BYTES });
}
