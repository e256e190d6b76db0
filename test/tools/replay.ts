/**
 * Repeats a case that failed:
 *
 *     node dist/test/tools/replay.js 4711                 a random workload, by its seed
 *     node dist/test/tools/replay.js "rotation" 3         a named workload with the settings of a seed, crashes and faults
 *
 * Prints what goes wrong, if it still does, and exits with 1.
 */
import { exploreCrashes, exploreFaults, exploreRandomly, newExploration } from '../support/crash-explorer.js';
import { printFailure } from '../support/print-failure.js';
import { describeSettings, settingsFor } from '../support/settings.js';
import { WORKLOADS } from '../support/workloads.js';

const names = process.argv.slice(2);
const seed = Number(names.pop() ?? NaN);
if (!Number.isSafeInteger(seed) || seed < 0) {
  console.error('usage: npm run test:replay -- [WORKLOAD] SEED');
  process.exit(64);
}
const exploration = newExploration();
console.log(`seed ${seed}: ${describeSettings(settingsFor(seed))}`);
if (names[0] === undefined || names[0] === 'random') {
  await exploreRandomly(exploration, seed);
} else {
  const workload = WORKLOADS.find(({ name }) => name === names[0]);
  const known = WORKLOADS.map(({ name }) => name).join(' · ');
  if (workload === undefined) throw new RangeError(`no such workload; there are: ${known}`);
  await exploreCrashes(exploration, workload, seed);
  await exploreFaults(exploration, workload, seed);
}
for (const failure of exploration.failures.slice(0, 10)) console.log(await printFailure(failure));
console.log(`${exploration.states} states in ${exploration.runs} runs, ${exploration.failures.length} violations`);
if (exploration.failures.length > 0) process.exitCode = 1;
