/** What `suite.js` runs: scripts of package.json, and files of tests, each in a process of its own. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = path.join(import.meta.dirname, '..');
/** What takes longer than this has come to a stop: its processes are ended, and it has failed. */
const CAP_MS = 15 * 60_000;
const REPORTER = urlOf('events-reporter.js');
const QUICK_PROMISES = urlOf('quick-promises.js');

/** Runs a script of package.json. */
export async function runScript(name) {
  // The path of npm's own script: calling it needs no shell on any system.
  const npm = process.env.npm_execpath;
  if (npm === undefined) throw new Error('run this through npm, as in: npm test');
  // Packing must not build once more: what is checked is what has been built.
  const env = { ...process.env, npm_config_ignore_scripts: 'true' };
  const { code, stdout, stderr, milliseconds } = await run([npm, 'run', '--silent', name], env);
  const output = stdout + stderr;
  return { isPassed: code === 0, output, failure: `${output}npm run ${name} failed`, milliseconds };
}

/** Runs a file of tests, in one process: `--test` would start another. Without a test that ran to its end it has failed. */
export async function runTests(file) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'segmented-wal-suite-'));
  try {
    const spec = path.join(directory, 'spec.txt');
    const flags = [
      `--import=${QUICK_PROMISES}`,
      '--test-reporter=spec', `--test-reporter-destination=${spec}`,
      `--test-reporter=${REPORTER}`, '--test-reporter-destination=stdout',
    ];
    const { code, stdout, stderr, milliseconds } = await run([...flags, file], process.env);
    const output = (fs.existsSync(spec) ? fs.readFileSync(spec, 'utf8') : '') + stderr;
    return { ...evaluate(path.relative(ROOT, file), code, stdout, output), output, milliseconds };
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function evaluate(file, code, stdout, output) {
  const events = stdout.split('\n').flatMap((line) => parse(line));
  const tests = events.filter(({ type }) => type === 'test');
  const skipped = tests.filter(({ skip }) => skip !== undefined && skip !== false);
  const failed = tests.filter(({ isPassed }) => !isPassed);
  const passed = tests.length - skipped.length - failed.length;
  const hasEnded = events.at(-1)?.type === 'end';
  const diagnostics = events.filter(({ type }) => type === 'diagnostic').map(({ message }) => message);
  const why = code === null ? `${file} did not come to an end in time\n` : code !== 0 ? '' : !hasEnded ? `${file} did not come to an end\n` : `no test of ${file} has run\n`;
  return {
    tests: tests.length, passed, failed: failed.length,
    skipped: skipped.map(({ name, skip }) => `${name}${typeof skip === 'string' ? ` (${skip})` : ''}`),
    states: diagnostics.reduce((sum, message) => sum + Number(/(\d+) crash states/.exec(message)?.[1] ?? 0), 0),
    bugs: diagnostics.filter((message) => message.startsWith('seeded bug caught')).length,
    isPassed: code === 0 && failed.length === 0 && hasEnded && tests.length > 0,
    // What fails beside the tests is not listed there.
    failure: `${why}${output.slice(failed.length === 0 ? 0 : Math.max(0, output.indexOf('failing tests:')))}`,
  };
}

/** The event in a line; what tests print themselves is none. */
function parse(line) {
  try {
    return line.startsWith('{') ? [JSON.parse(line)] : [];
  } catch {
    return [];
  }
}

function urlOf(name) {
  return pathToFileURL(path.join(import.meta.dirname, name)).href;
}

function run(args, env) {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: CAP_MS });
    const streams = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => (streams[name] += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...streams, milliseconds: performance.now() - started }));
  });
}
