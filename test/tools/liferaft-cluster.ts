/**
 * The whole test suite of `@markwylde/liferaft`, with the Raft log of the examples for its log:
 *
 *     node dist/test/tools/liferaft-cluster.js
 *
 * Its tests of replication hold elections with timeouts of 150 to 300 ms, between nodes on fixed ports. A busy machine
 * misses these, with the suite's own log too, so the suite gets several attempts. Exits with 1 if none passes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { defineLiferaftTests } from './liferaft-suite.js';

const ATTEMPTS = 10;
/** A test that waits for a leader that was not elected waits for ever. */
const CAP_MS = 30_000;

if (process.argv.includes('--once')) defineLiferaftTests(['api', 'cluster', 'log', 'raft', 'replication']);
else await attempt();

async function attempt(): Promise<void> {
  let failed = 0;
  while (failed < ATTEMPTS && !(await passesOnce())) failed++;
  console.log(`liferaft's test suite: ${failed < ATTEMPTS ? 'passed' : 'not passed'}, after ${failed} attempts that failed`);
  if (failed === ATTEMPTS) process.exitCode = 1;
}

async function passesOnce(): Promise<boolean> {
  const args = ['--test-force-exit', fileURLToPath(import.meta.url), '--once'];
  const child = spawn(process.execPath, args, { stdio: 'ignore', timeout: CAP_MS, killSignal: 'SIGKILL' });
  const [code] = await once(child, 'exit') as [number | null];
  return code === 0;
}
