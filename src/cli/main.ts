#!/usr/bin/env node
import { OTHER_ERROR } from './command.js';
import { note } from './output.js';
import { run } from './run.js';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of the output wants no more of it, as `head` does.
  if (error.code === 'EPIPE') process.exit(0);
  note(`segmented-wal: the output cannot be written: ${error.message}`);
  process.exit(OTHER_ERROR);
});
// Remarks that cannot be written take nothing from the result.
process.stderr.on('error', () => undefined);
process.exitCode = await run(process.argv.slice(2));
