import { exploreRandomly, newExploration } from '../support/crash-explorer.js';
import { printFailure } from '../support/print-failure.js';

const REPORT_EVERY_MS = 60_000;
const MAX_FAILURES = 10;

/**
 * Tries random workloads with crashes and faults for `ms` milliseconds, one seed after the other. Prints every violation,
 * with its seed and its workload cut down to what is needed. Resolves with how many there were.
 */
export async function soakCrashes(ms: number, firstSeed: number): Promise<number> {
  const exploration = newExploration();
  const started = Date.now();
  let reported = started;
  let seed = firstSeed;
  const report = (): void => {
    reported = Date.now();
    const { states, runs, failures } = exploration;
    const perSecond = Math.round(states / ((reported - started) / 1000));
    const counts = `${states} crash states in ${runs} random runs, ${perSecond} a second`;
    console.log(`${counts}, ${failures.length} violations; next seed ${seed}`);
  };
  while (Date.now() - started < ms && exploration.failures.length < MAX_FAILURES) {
    const failures = exploration.failures.length;
    await exploreRandomly(exploration, seed++);
    for (const failure of exploration.failures.slice(failures)) console.log(await printFailure(failure));
    if (Date.now() - reported > REPORT_EVERY_MS) report();
  }
  report();
  return exploration.failures.length;
}
