/**
 * The benchmarks: node bench/run.mjs [--quick] [--only NAME]… [--directory DIR]
 *
 * Everything a table compares was measured in one run, on one file system, with the same data and the
 * same durability: an entry is on the disk before its commit is acknowledged. Contestants take turns in
 * interleaved rounds, each in a process of its own, after an unmeasured warm-up. What each one does is written at the
 * head of its file in contestants/, what is measured at the head of each file in scenarios/.
 *
 * Prints markdown, and writes it and the charts to bench/results (bench/results/quick with --quick: a look at the
 * shape of things, too short for the tails of the latencies). `--directory` names where the data is kept: by
 * default the directory for temporary files, or bench/.data if that one is in memory.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeEnvironment, emptyDirectory, makeDataDirectory } from './environment.mjs';
import * as commits from './scenarios/commits.mjs';
import * as follow from './scenarios/follow.mjs';
import * as growth from './scenarios/growth.mjs';
import * as levels from './scenarios/levels.mjs';
import * as logs from './scenarios/logs.mjs';
import * as loop from './scenarios/loop.mjs';
import * as memory from './scenarios/memory.mjs';
import * as reads from './scenarios/reads.mjs';
import * as recovery from './scenarios/recovery.mjs';
import * as steady from './scenarios/steady.mjs';
import { targetsTable } from './targets.mjs';

const BENCH = fileURLToPath(new URL('.', import.meta.url));
const SCENARIOS = [commits, recovery, reads, follow, steady, levels, logs, memory, growth, loop];

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    directory: { type: 'string' },
  },
});

const chosen = values.only === undefined ? SCENARIOS : values.only.map(scenarioNamed);
requireBuild();
installPeers();
await main();

function scenarioNamed(name) {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found !== undefined) return found;
  throw new RangeError(`--only ${name}: there are ${SCENARIOS.map((scenario) => scenario.name).join(', ')}`);
}

function requireBuild() {
  const library = path.join(BENCH, '../dist/src/index.js');
  if (!fs.existsSync(library)) throw new Error('the library is not built: npm run build');
}

function installPeers() {
  if (fs.existsSync(path.join(BENCH, 'node_modules'))) return;
  // npm is a script on Windows, which only a shell runs.
  const options = { stdio: 'inherit', shell: process.platform === 'win32' };
  const { status } = spawnSync('npm', ['ci', '--prefix', BENCH], options);
  if (status !== 0) throw new Error('the peers could not be installed');
}

async function main() {
  const data = makeDataDirectory(values.directory);
  const target = path.join(BENCH, 'results', values.quick ? 'quick' : '');
  fs.mkdirSync(target, { recursive: true });
  const environment = describeEnvironment(data);
  const results = {};
  try {
    for (const scenario of chosen) {
      const directory = path.join(data, scenario.name);
      emptyDirectory(directory);
      const result = await scenario.run({ quick: values.quick, directory, progress });
      results[scenario.name] = result;
      publish(target, scenario.name, scenario.title, environment, scenario.report(result));
      for (const { file, svg } of scenario.plots?.(result) ?? []) fs.writeFileSync(path.join(target, file), svg);
    }
  } finally {
    fs.rmSync(data, { recursive: true, force: true });
  }
  publish(target, 'targets', 'Targets', environment, targetsTable(results));
  progress('done');
}

/** Prints a part of the results and writes it to a file of its own. */
function publish(target, name, title, environment, body) {
  const text = `## ${title}\n\n${environment}.\n\n${body}\n`;
  console.log(`\n${text}`);
  fs.writeFileSync(path.join(target, `${name}.md`), text);
}

function progress(what) {
  console.error(`${Math.round(performance.now() / 1000)} s: ${what}`);
}
