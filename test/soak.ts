/**
 * Tries random workloads for as long as it is told to:
 *
 *     node dist/test/soak.js --minutes 10 [--seed 1000]
 *
 * Prints what was tried and every violation, with its seed and its workload cut down to what is needed.
 * Exits with 1 if there was one.
 */
import { parseArgs } from 'node:util';
import { exploreRandomly, newExploration } from './support/crash-explorer.js';
import { printFailure } from './support/print-failure.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string', default: String(firstSeed()) } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new RangeError(`--minutes must be more than 0, not ${values.minutes}`);
const REPORT_EVERY_MS = 60_000;
const MAX_FAILURES = 10;

const exploration = newExploration();
const started = Date.now();
let reported = started;
let seed = Number(values.seed);
console.log(`from seed ${seed}, for ${minutes} minutes`);
while (Date.now() - started < minutes * 60_000 && exploration.failures.length < MAX_FAILURES) {
  const failures = exploration.failures.length;
  await exploreRandomly(exploration, seed++);
  for (const failure of exploration.failures.slice(failures)) console.log(await printFailure(failure));
  if (Date.now() - reported > REPORT_EVERY_MS) report();
}
report();
if (exploration.failures.length > 0) process.exitCode = 1;

function report(): void {
  reported = Date.now();
  const { states, runs, failures } = exploration;
  const perSecond = Math.round(states / ((reported - started) / 1000));
  const counts = `${states} states in ${runs} runs, ${failures.length} violations`;
  console.log(`${counts}; ${perSecond} states a second, next seed ${seed}`);
}

/** Another one each time; those below a million are left to the tests. */
function firstSeed(): number {
  return 1_000_000 + (Date.now() % 1_000_000_000);
}
