/**
 * Tries the log for as long as it is told to:
 *
 *     node dist/test/tools/soak.js --minutes 10 [--seed 1000] [--rounds 100] [--only crashes|fuzz|archive|kills|raft]
 *
 * Three quarters of the time go to random workloads that are crashed, the rest to damaged and made-up files, and to the
 * writers of an archive; then come the rounds in which a process is killed under load, and the test suite of liferaft
 * with the Raft log of the examples, however long they take. Prints what was tried and every violation. Exits with 1 if
 * there was one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { soakCrashes } from './soak-crashes.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(firstSeed()) },
    rounds: { type: 'string', default: '100' },
    only: { type: 'string' },
  },
});
const { only, rounds } = values;
const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
if (!(minutes > 0)) throw new RangeError(`--minutes must be more than 0, not ${values.minutes}`);
if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`--seed must be a whole number, not ${values.seed}`);
if (only !== undefined && !['crashes', 'fuzz', 'archive', 'kills', 'raft'].includes(only)) {
  throw new RangeError(`--only takes crashes, fuzz, archive, kills or raft, not ${only}`);
}
/** The fuzzer makes more than one number of its own out of its seed. */
const SMALL_SEED = String(seed % 8000);

console.log(`from seed ${seed}; minutes: ${minutes}`);
const crashMs = share('crashes', 3 / 4);
const fuzzMs = share('fuzz', 1 / 6);
const archiveMs = share('archive', 1 / 12);
let isGood = true;
if (crashMs > 0) isGood = (await soakCrashes(crashMs, seed)) === 0;
if (fuzzMs > 0) isGood = (await run('fuzz.js', '--inputs', 'Infinity', '--seconds', String(fuzzMs / 1000))) && isGood;
if (archiveMs > 0) isGood = (await run('soak-archive.js', '--seconds', String(archiveMs / 1000))) && isGood;
if (only === undefined || only === 'kills') isGood = (await run('kill.js', '--rounds', rounds)) && isGood;
if (only === undefined || only === 'raft') isGood = (await run('liferaft-cluster.js')) && isGood;
if (!isGood) process.exitCode = 1;

/** How long a part takes: its share of the time, or all of it if nothing else is asked for. */
function share(part: string, fraction: number): number {
  if (only !== undefined) return only === part ? minutes * 60_000 : 0;
  return minutes * 60_000 * fraction;
}

/** Runs a program that stands beside this one, and resolves with whether it found nothing wrong. */
async function run(program: string, ...args: string[]): Promise<boolean> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, program), ...args, '--seed', SMALL_SEED], { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}

/** Another one each time; those below a million are left to the tests. */
function firstSeed(): number {
  return 1_000_000 + (Date.now() % 1_000_000_000);
}
