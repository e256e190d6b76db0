/** The package in the hands of bundlers, of other test runners and of other runtimes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { loadFlock } from '../../src/files/lock/optional.js';
import { ExampleProject, ROOT } from '../tools/example-project.js';

const run = promisify(execFile);

/** Writes, reads and is refused a second opening; says which of the two locks it had. */
const USE_IT = `
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wal-bundled-'));
  const log = await WriteAheadLog.recover(directory, LogVoid);
  const { chunks } = await log.append('hello');
  const reader = await log.readAt(chunks[0].position);
  const text = Buffer.from(await reader.readAll()).toString();
  await reader.close();
  const refusal = await WriteAheadLog.recover(directory, LogVoid).catch((error) => error);
  const lock = fs.existsSync(path.join(directory, 'LOCK.lock')) ? 'heartbeat' : 'flock';
  await log.shutdown();
  fs.rmSync(directory, { recursive: true });
`;
const SAY_IT = 'console.log(text, refusal instanceof WalError && refusal.code, lock);';
const BY_HEARTBEAT = 'hello WAL_LOCKED heartbeat\n';
const BY_FLOCK = 'hello WAL_LOCKED flock\n';

const IMPORTS = `
  import { LogVoid, WalError, WriteAheadLog } from 'segmented-wal';
  import fs from 'node:fs';
  import os from 'node:os';
  import path from 'node:path';
`;
const REQUIRES = `
  const { LogVoid, WalError, WriteAheadLog } = require('segmented-wal');
  const fs = require('node:fs');
  const os = require('node:os');
  const path = require('node:path');
`;
const MODULE = `${IMPORTS}\n(async () => {${USE_IT}\n${SAY_IT}})();`;
const COMMONJS = `${REQUIRES}\n(async () => {${USE_IT}\n${SAY_IT}})();`;

/** What esbuild's own documentation gives bundles that are ES modules, for the CommonJS packages in them. */
const BANNER = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

const ESBUILD = `
  import { build } from 'esbuild';
  const [entry, directory, filename, banner = '', minify] = process.argv.slice(2);
  const format = filename.endsWith('.mjs') ? 'esm' : 'cjs';
  const outfile = directory + '/' + filename;
  const options = { entryPoints: [entry], outfile, format, banner: { js: banner }, minify: minify === 'minified' };
  const { warnings } = await build({ bundle: true, platform: 'node', logLevel: 'error', ...options });
  if (warnings.length > 0) throw new Error(warnings[0].text);
`;
const WEBPACK = `
  import { createRequire } from 'node:module';
  const webpack = createRequire(import.meta.url)('webpack');
  const [entry, directory, filename] = process.argv.slice(2);
  const isModule = filename.endsWith('.mjs');
  const output = { path: directory, filename, module: isModule, chunkFormat: isModule ? 'module' : 'commonjs' };
  const experiments = { outputModule: isModule };
  const optimization = { minimize: false };
  webpack({ mode: 'production', target: 'node20', entry, output, experiments, optimization }, (error, stats) => {
    const problems = error ?? stats.toString({ all: false, errors: true, warnings: true });
    if (!error && problems === '') return;
    console.error(problems);
    process.exit(1);
  });
`;
const ROLLUP = `
  import { rollup } from 'rollup';
  import commonjs from '@rollup/plugin-commonjs';
  import resolve from '@rollup/plugin-node-resolve';
  const [input, directory, entryFileNames] = process.argv.slice(2);
  const isModule = entryFileNames.endsWith('.mjs');
  const chunkFileNames = isModule ? '[hash].mjs' : '[hash].cjs';
  const onwarn = ({ message }) => { throw new Error(message); };
  const bundle = await rollup({ input, onwarn, plugins: [resolve({ preferBuiltins: true }), commonjs()] });
  await bundle.write({ dir: directory, format: isModule ? 'es' : 'cjs', entryFileNames, chunkFileNames });
`;

interface Bundling {
  readonly by: string;
  /** The program that is bundled, and the name of the bundle, whose extension says what kind it is. */
  readonly entry: 'main.mjs' | 'main.cjs';
  readonly output: 'bundle.mjs' | 'bundle.cjs';
  readonly bundle: (entry: string, output: string) => Promise<unknown>;
}

const BUNDLINGS: readonly Bundling[] = [
  { by: 'esbuild', entry: 'main.mjs', output: 'bundle.cjs', bundle: bundleBy(ESBUILD) },
  { by: 'esbuild', entry: 'main.cjs', output: 'bundle.cjs', bundle: bundleBy(ESBUILD, '', 'minified') },
  { by: 'esbuild with its banner', entry: 'main.mjs', output: 'bundle.mjs', bundle: bundleBy(ESBUILD, BANNER) },
  { by: 'webpack', entry: 'main.mjs', output: 'bundle.cjs', bundle: bundleBy(WEBPACK) },
  { by: 'webpack', entry: 'main.cjs', output: 'bundle.cjs', bundle: bundleBy(WEBPACK) },
  { by: 'webpack', entry: 'main.mjs', output: 'bundle.mjs', bundle: bundleBy(WEBPACK) },
  { by: 'rollup', entry: 'main.mjs', output: 'bundle.cjs', bundle: bundleBy(ROLLUP) },
  { by: 'rollup', entry: 'main.mjs', output: 'bundle.mjs', bundle: bundleBy(ROLLUP) },
];

let project: ExampleProject;
before(() => {
  project = new ExampleProject();
  project.installThisPackage();
  const tools = ['esbuild', 'rollup', '@rollup/plugin-commonjs', '@rollup/plugin-node-resolve', 'vitest', 'webpack'];
  for (const name of tools) project.linkInstalled(name);
  project.write('main.mjs', MODULE);
  project.write('main.cjs', COMMONJS);
});
after(() => project[Symbol.dispose]());

for (const { by, entry, output, bundle } of BUNDLINGS) {
  test(`${entry} bundled by ${by} into ${output} needs nothing beside it, and uses an fs-ext that is there`, async (context) => {
    using place = new ExampleProject();
    const file = path.join(place.directory, output);
    await bundle(path.join(project.directory, entry), file);
    assert.equal(await outputOf(file), BY_HEARTBEAT);
    if ((await loadFlock()) === null) return context.diagnostic('fs-ext is not built here: not tried with it');
    place.linkInstalled('fs-ext');
    assert.equal(await outputOf(file), BY_FLOCK);
  });
}

test('bundled by esbuild as an ES module without a banner it takes proper-lockfile from beside it, or says what is missing', async () => {
  using place = new ExampleProject();
  const file = path.join(place.directory, 'bundle.mjs');
  await bundleBy(ESBUILD)(path.join(project.directory, 'main.mjs'), file);
  await assert.rejects(outputOf(file), /proper-lockfile cannot be loaded \(Dynamic require .*; bundles must leave it external/);
  place.linkInstalled('proper-lockfile');
  assert.equal(await outputOf(file), BY_HEARTBEAT);
});

const EXPECTATIONS = `
  expect(refusal).toBeInstanceOf(WalError);
  expect([text, refusal.code, lock]).toEqual(['hello', 'WAL_LOCKED', 'heartbeat']);
  expect(crashTest).toBeInstanceOf(Function);
`;
const IMPORTING_TEST = `
  ${IMPORTS}
  import { crashTest } from 'segmented-wal/testing';
  test('the log', async () => {${USE_IT}\n${EXPECTATIONS}});
`;
const REQUIRING_TEST = `
  ${REQUIRES}
  const { crashTest } = require('segmented-wal/testing');
  test('the log', async () => {${USE_IT}\n${EXPECTATIONS}});
`;

test('jest can test what requires it, on every version of Node', async () => {
  project.write('jest-commonjs/log.test.cjs', REQUIRING_TEST);
  await jest('jest-commonjs', {});
});

test('jest can test what imports it', async () => {
  project.write('jest-module/log.test.mjs', IMPORTING_TEST);
  await jest('jest-module', { NODE_OPTIONS: '--experimental-vm-modules' });
});

test('vitest can test what imports it', async () => {
  project.write('vitest/log.test.mjs', IMPORTING_TEST);
  const vitest = path.join(ROOT, 'node_modules/vitest/vitest.mjs');
  const root = path.join(project.directory, 'vitest');
  await run(process.execPath, [vitest, 'run', '--globals', '--root', root], { cwd: project.directory });
});

const RUNTIMES = { bun: ['run'], deno: ['run', '--allow-all', '--node-modules-dir=manual'] };
for (const [runtime, args] of Object.entries(RUNTIMES)) {
  for (const entry of ['main.mjs', 'main.cjs']) {
    test(`${runtime} runs ${entry}`, async (context) => {
      const isInstalled = await run(runtime, ['--version']).then(() => true, () => false);
      if (!isInstalled) return context.skip(`${runtime} is not installed`);
      const { stdout } = await run(runtime, [...args, path.join(project.directory, entry)], { cwd: project.directory });
      assert.match(stdout, /^hello WAL_LOCKED (heartbeat|flock)\n$/);
    });
  }
}

function bundleBy(program: string, ...options: readonly string[]): Bundling['bundle'] {
  return (entry, output) => {
    const script = project.write('bundle.mjs', program);
    return run(process.execPath, [script, entry, path.dirname(output), path.basename(output), ...options]);
  };
}

async function outputOf(file: string): Promise<string> {
  const { stdout } = await run(process.execPath, [file]);
  return stdout;
}

async function jest(directory: string, env: NodeJS.ProcessEnv): Promise<void> {
  const bin = path.join(ROOT, 'node_modules/jest/bin/jest.js');
  const rootDir = path.join(project.directory, directory);
  const args = ['--rootDir', rootDir, '--testEnvironment', 'node', '--testMatch', '**/log.test.*', '--no-cache', '-i'];
  await run(process.execPath, [bin, ...args], { cwd: project.directory, env: { ...process.env, ...env } });
}
