/**
 * node .config/suite.js [--tests]: builds and checks this package and runs its tests, several things beside each
 * other, and says in one screen what came of it. With `--tests` it runs the tests alone, as they are built. What was
 * said besides is in a file that the last lines name. Exits with 1 if anything failed, or had nothing to run.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runScript, runTests } from './suite-jobs.js';

const ROOT = path.join(import.meta.dirname, '..');
const TESTS = path.join(ROOT, 'dist/test');
const REPORT = path.join(ROOT, 'dist/test-report.txt');

/** The reference site is built by `documentation/links.test`, where a warning of its builder is a failure as well. */
const CHECKS = [
  { name: 'lint', script: 'lint' },
  { name: 'package', script: 'check:package' },
  { name: 'unused', script: 'check:unused' },
];
/** The folders of the tests. The seeded bugs are one file of `crash`, and a phase of their own. */
const FOLDERS = ['unit', 'crash', 'matrix', 'processes', 'documentation'];
const SEEDED_BUGS = 'crash/teeth.test.js';
/** What takes longest is begun first, so that no core is idle at the end. */
const LONGEST = [
  SEEDED_BUGS, 'crash/crash.test.js', 'crash/crash-twice.test.js', 'lint', 'crash/topics-crashes.test.js',
  'crash/full-disk.test.js', 'crash/fuzz.test.js', 'documentation/docs.test.js', 'matrix/fault-matrix-crashes.test.js',
  'matrix/fault-matrix-processes.test.js', 'unit/key-value-store.test.js', 'unit/directory-lock.test.js',
  'documentation/readme.test.js', 'crash/key-value-store-crashes.test.js', 'processes/cli-live.test.js', 'check:package',
];
/** One more than there are cores: some of what runs waits for a process or a clock. */
const LANES = Math.min(8, Math.max(2, os.availableParallelism()) + 1);
const MAX_SKIPPED_SHOWN = 8;

const isTestsOnly = process.argv[2] === '--tests';
const started = performance.now();
const total = { tests: 0, passed: 0, failed: 0, skipped: [], states: 0, bugs: 0 };

if (isTestsOnly || (await build())) await runAll(isTestsOnly ? testPhases() : [...CHECKS, ...testPhases()]);
conclude();

/** Runs the phases' jobs, a few at once, and shows each phase as it is complete. */
async function runAll(phases) {
  fs.writeFileSync(REPORT, '');
  const jobs = phases.flatMap((phase) => jobsOf(phase));
  const left = [...jobs].sort((a, b) => rank(a) - rank(b));
  for (const phase of phases) if (jobsOf(phase).length === 0) show(phase, []);
  await Promise.all(Array.from({ length: LANES }, async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) {
      job.result = await carryOut(job);
      const { phase } = job;
      const results = jobs.filter((other) => other.phase === phase).map(({ result }) => result);
      if (results.every((result) => result !== undefined)) show(phase, results);
    }
  }));
}

async function build() {
  const phase = { name: 'build', script: 'build' };
  const result = await runScript(phase.script);
  show(phase, [result]);
  return result.isPassed;
}

function testPhases() {
  const inFolders = FOLDERS.map((name) => {
    const files = fs.existsSync(path.join(TESTS, name)) ? fs.readdirSync(path.join(TESTS, name)) : [];
    const tests = files.filter((file) => file.endsWith('.test.js')).map((file) => `${name}/${file}`);
    return { name, files: tests.filter((file) => file !== SEEDED_BUGS) };
  });
  return [...inFolders, { name: 'seeded bugs', files: [SEEDED_BUGS] }];
}

function jobsOf(phase) {
  if (phase.jobs === undefined) phase.jobs = (phase.files ?? [phase.script]).map((name) => ({ phase, name }));
  return phase.jobs;
}

function rank({ name }) {
  const place = LONGEST.indexOf(name);
  return place < 0 ? LONGEST.length : place;
}

async function carryOut({ phase, name }) {
  const result = phase.files === undefined ? await runScript(name) : await runTests(path.join(TESTS, name));
  const seconds = (result.milliseconds / 1000).toFixed(1);
  fs.appendFileSync(REPORT, `\n======== ${name}: ${seconds} s\n${result.output}\n`);
  return result;
}

/** One line for a phase, after whatever failed in it. */
function show(phase, results) {
  const sum = (count) => results.reduce((so, result) => so + (result[count] ?? 0), 0);
  const [tests, states] = [sum('tests'), sum('states')];
  const failures = results.filter(({ isPassed }) => !isPassed);
  const isPassed = results.length > 0 && failures.length === 0;
  for (const { failure } of failures) console.log(failure);
  total.tests += tests;
  total.passed += sum('passed');
  // What failed without a test that failed counts once: a check, or a file that did not come to its end.
  total.failed += failures.reduce((so, { failed }) => so + Math.max(1, failed ?? 0), 0) + (results.length === 0 ? 1 : 0);
  total.skipped.push(...results.flatMap(({ skipped }) => skipped ?? []));
  total.states += states;
  if (phase.name === 'seeded bugs') total.bugs = sum('bugs');
  const told = [
    ...(results.length === 0 ? ['there is nothing to run'] : []),
    ...(phase.files === undefined ? [] : [counted(tests, 'test')]),
    ...(states > 0 ? [counted(states, 'crash state')] : []),
  ];
  const seconds = Math.round(sum('milliseconds') / 1000);
  console.log(`${isPassed ? '✔' : '✖'} ${phase.name.padEnd(14)} ${`${seconds} s`.padStart(6)}   ${told.join(', ')}`.trimEnd());
}

function conclude() {
  const { tests, passed, failed, skipped, states, bugs } = total;
  const seconds = Math.round((performance.now() - started) / 1000);
  const told = [counted(tests, 'test'), counted(states, 'crash state'), `${counted(bugs, 'seeded bug')} caught`];
  console.log(`\n${told.join(', ')}, in ${Math.floor(seconds / 60)} min ${seconds % 60} s`);
  for (const why of skipped.slice(0, MAX_SKIPPED_SHOWN)) console.log(`skipped: ${why}`);
  if (skipped.length > MAX_SKIPPED_SHOWN) console.log(`skipped: ${skipped.length - MAX_SKIPPED_SHOWN} more`);
  if (fs.existsSync(REPORT)) console.log(`details: ${path.relative(process.cwd(), REPORT)}`);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  if (failed > 0) process.exitCode = 1;
}

function counted(count, what) {
  return `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;
}
