/**
 * Tries the protocol of an archive's writers in every order of their requests, in settings too large for each
 * `npm test`, and then at random:
 *
 *     node dist/test/tools/soak-archive.js --seconds 60 [--seed 1]
 *
 * Exits with 1 if a promise was broken.
 */
import { parseArgs } from 'node:util';
import { exploreArchive, exploreArchiveRandomly, LARGE_ARCHIVE_SETTINGS, THREE_WRITERS } from './archive-model.js';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});
/** Each setting is left when it has taken as many paths. */
const MAX_PATHS = 200_000;
const RANDOM_PATHS = 100;
const endAt = Date.now() + Number(values.seconds) * 1000;

const found: string[] = [];
let [states, seed] = [0, Number(values.seed)];
for (const setting of LARGE_ARCHIVE_SETTINGS) {
  if (Date.now() > endAt) break;
  const exploration = await exploreArchive(setting, MAX_PATHS, endAt);
  states += exploration.states;
  if (exploration.violation !== undefined) found.push(exploration.violation);
}
for (; Date.now() < endAt; seed++) {
  const exploration = await exploreArchiveRandomly(THREE_WRITERS, seed, RANDOM_PATHS);
  states += exploration.states;
  if (exploration.violation !== undefined) found.push(`${exploration.violation}, seed ${seed}`);
}
for (const violation of found) console.log(`archive: ${violation}`);
console.log(`archive: ${states} states of its writers, ${found.length} violations; next seed ${seed}`);
if (found.length > 0) process.exitCode = 1;
