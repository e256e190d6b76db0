import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, mock, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { format, promisify } from 'node:util';
import type { WalOptions, WriteAheadLog } from '../../src/index.js';
import { publicSymbols, type PublicSymbol } from '../tools/api-examples.js';
import { ExampleProject, ROOT } from '../tools/example-project.js';
import { assertOutput, documentationPages, findBlocks, readText } from '../tools/markdown.js';

const run = promisify(execFile);

const api = publicSymbols(path.join(ROOT, 'src/index.ts'));
const snapshot = publicSymbols(path.join(ROOT, 'src/snapshot/index.ts'));
const topics = publicSymbols(path.join(ROOT, 'src/topics/index.ts'));
const archive = publicSymbols(path.join(ROOT, 'src/archive/index.ts'));
const testing = publicSymbols(path.join(ROOT, 'test/support/index.ts'));
const all = [...api, ...snapshot, ...topics, ...archive, ...testing];
const examples = all.flatMap((symbol) => [symbol, ...symbol.methods]).flatMap(namedExamples);

/** The samples of the README are run as they are pasted: see readme.test. */
const pages = documentationPages().filter((page) => page !== 'README.md');
const programs = pages.filter((page) => programOf(page) !== '');

const EMBEDDING = 'examples/guides/embedding.md';

/** What the guide on embedding says must not be left out. */
const STEPS = [
  ['to wait for the log', ['await this.#log.append([key', 'this.#apply(this.#lastId, key, value); void this.#log.append([key']],
  ['to wait for the snapshot', ['await this.file.save', 'void this.file.save']],
] as const;

describe('the reference', () => {
  let project: ExampleProject;

  before(() => {
    project = newProject();
    project.compile(examples.map(({ file, code }) => project.write(`${file}.ts`, asModule(code))), { skipLibCheck: true });
  });
  after(() => project[Symbol.dispose]());

  for (const symbol of [...api, ...snapshot, ...topics, ...archive]) {
    test(`leaves nobody without an example of ${symbol.name}`, () => {
      const missing = withoutExample(symbol);
      assert.deepEqual(missing, [], `the doc comments have no @example of ${missing.join(', ')}`);
    });
  }

  for (const { name, file, code } of examples) {
    test(`shows no example of ${name} that does not do what it says`, async () => {
      assertOutput(await outputOf(project, file), code);
    });
  }
});

describe('the pages', () => {
  let project: ExampleProject;

  before(() => {
    project = newProject();
    project.compile(programs.map((page) => project.write(`${page}.ts`, programOf(page))), { skipLibCheck: true });
  });
  after(() => project[Symbol.dispose]());

  for (const page of programs) {
    test(`show something in ${page} that does not run in an empty directory, or prints something else`, async () => {
      const cwd = path.join(project.directory, 'run', page);
      mkdirSync(cwd, { recursive: true });
      const { stdout, stderr } = await run(process.execPath, [path.join(project.directory, `${page}.js`)], { cwd });
      assert.equal(stderr, '');
      assertOutput(stdout.split('\n').slice(0, -1), programOf(page));
    });
  }

  for (const [step, [code, mistake]] of STEPS) {
    test(`show a store that passes its crash test although it forgets ${step}`, async () => {
      const program = programOf(EMBEDDING);
      assert.equal(program.split(code).length, 2, 'the step is not there');
      const file = `without-${step.replaceAll(/\W+/g, '-')}`;
      const mistaken = program.replace(code, mistake).replace('seeds: [0, 2]', 'seeds: [2, 0, 1, 3, 4, 5, 6, 7]');
      project.compile([project.write(`${file}.ts`, mistaken)], { skipLibCheck: true });
      const ended = run(process.execPath, [path.join(project.directory, `${file}.js`)], { cwd: project.directory });
      await assert.rejects(ended, /CrashTestFailure/);
    });
  }

  for (const page of pages.filter((name) => name.startsWith('examples/guides/'))) {
    test(`are longer than a guide should be in ${page}`, () => {
      const lines = readText(page).split('\n').length;
      assert.ok(lines <= 200, `${lines} lines`);
    });
  }
});

const FAILURES = 'examples/guides/failures.md';

test('an error has a code about which the guide on failures says nothing', () => {
  const codes = readText('src/base/errors.ts').match(/(?<=\| ')WAL_\w+(?=')/g) ?? [];
  const rows = readText(FAILURES).match(/(?<=^\| `)WAL_\w+(?=` \|)/gm) ?? [];
  assert.deepEqual(rows.sort(), codes.sort());
});

test('the errors are listed on another page as well, where the list can become wrong', () => {
  const others = documentationPages().filter((page) => page !== FAILURES);
  assert.deepEqual(others.filter((page) => /^\| `WAL_/m.test(readText(page))), []);
});

test('a row of the fault matrix is tested but not described, or described but not tested', () => {
  const files = readdirSync(path.join(ROOT, 'test/matrix'));
  const tested = files.flatMap((file) => {
    const part = /^fault-matrix-(\w+)\.test\.ts$/.exec(file)?.[1] ?? '';
    return [...readText(`test/matrix/${file}`).matchAll(/\brow (\d+): /g)].map(([, row]) => `${row} ${part}`);
  });
  const rows = readText('test/README.md').matchAll(/^\| (\d+) \|.*\| ([^|]*) \|$/gm);
  const described = [...rows].flatMap(([, row, parts]) => {
    return [...parts.matchAll(/\[(\w+)\]/g)].map(([, part]) => `${row} ${part}`);
  });
  assert.deepEqual(described.sort(), [...new Set(tested)].sort());
});

describe('a page names', () => {
  test('another set of folders than there are in src', () => {
    const folders = [...foldersIn('src'), ...foldersIn('src/engine')].sort();
    const before = readText('src/README.md').split('\n## ')[0];
    assert.deepEqual(namesInRows(before, /^\| `(\w+)` \|/), folders);
    assert.deepEqual(namesInRows(readText('.github/CONTRIBUTING.md'), /^\| `src\/(\w+)` \|/), foldersIn('src'));
  });

  test('another set of commands than the command line has', () => {
    const commands = readdirSync(path.join(ROOT, 'src/cli/commands')).map((file) => path.parse(file).name);
    const named = new Set(namesInRows(readText('src/cli/README.md'), /^\| `(\w+) (?:DIR|inspect)/));
    assert.deepEqual([...named], commands.sort());
  });

  test('a script that package.json does not have', () => {
    const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> };
    const named = documentationPages().flatMap((page) => {
      return [...readText(page).matchAll(/\bnpm run ([\w:]*\w)/g)].map(([, script]) => script);
    });
    assert.deepEqual(named.filter((script) => !(script in scripts)), []);
  });

  test('an id or offset that no code knows', () => {
    const section = /^## How far something is$.*?^## /ms.exec(readText('src/README.md'))?.[0] ?? '';
    const named = [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
    const code = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts')).map((file) => readText(path.join('src', file))).join('\n');
    assert.ok(named.length > 10, `only ${named.length}`);
    assert.deepEqual(named.filter((name) => !new RegExp(`\\b${name}\\b`).test(code)), []);
  });
});

test('the changelog has no entry for this version, or a heading that Keep a Changelog does not know', () => {
  const { version } = JSON.parse(readText('package.json')) as { version: string };
  const headings = [...readText('CHANGELOG.md').matchAll(/^#.*$/gm)].map(([heading]) => heading);
  const known = /^(# Changelog|## \[(Unreleased|\d+\.\d+\.\d+)\]( - [\d-]{10})?|### (Added|Changed|Deprecated|Removed|Fixed|Security))$/;
  assert.deepEqual(headings.filter((heading) => !known.test(heading)), []);
  assert.equal(headings[1], '## [Unreleased]');
  assert.ok(headings.some((heading) => heading.startsWith(`## [${version}]`)), `nothing about ${version}`);
});

interface Example {
  readonly name: string;
  readonly file: string;
  readonly code: string;
}

function newProject(): ExampleProject {
  const project = new ExampleProject();
  project.link('segmented-wal', ROOT);
  // What the pages use beside the log.
  const beside = ['@opentelemetry/api', '@opentelemetry/sdk-trace-base', 'prom-client', 'aws4fetch', '@aws-sdk/client-s3'];
  for (const name of ['@types/node', ...beside]) {
    project.linkInstalled(name);
  }
  return project;
}

function namedExamples({ name, examples: codes }: PublicSymbol): Example[] {
  return codes.map((code, index) => ({ name, file: `${name}-${index}`, code }));
}

/** The symbol, if it has no example, and those of its methods that have none and are used in none of its. */
function withoutExample({ name, examples: codes, methods }: PublicSymbol): string[] {
  const shown = methods.flatMap((method) => method.examples).concat(codes).join('\n');
  const missing = methods.filter((method) => {
    return method.examples.length === 0 && !shown.includes(`${method.name.slice(name.length)}(`);
  });
  return [...(codes.length > 0 ? [] : [name]), ...missing.map((method) => method.name)];
}

/** A module that runs an example. All that is exported is at hand, and a log, or topics, in memory. */
function asModule(code: string): string {
  const imports = [...code.matchAll(/^import .*$/gm)].join('\n');
  const usesTopics = /\btopics\./.test(code);
  const list = (symbols: readonly PublicSymbol[]): string => symbols.map(({ name }) => name).join(', ');
  return `${imports}
    import { ${list(api)} } from 'segmented-wal';
    import { ${list(snapshot)} } from 'segmented-wal/snapshot';
    import { ${list(topics)} } from 'segmented-wal/topics';
    import { ${list(archive)} } from 'segmented-wal/archive';
    import { ${list(testing)} } from 'segmented-wal/testing';
    export const options: WalOptions = { fileManager: new MemoryFileManager(), preallocateBytes: 65536 };
    export const open = () => WriteAheadLog.recover('my-log', LogVoid, options);
    export async function run(log: WriteAheadLog) {
      ${usesTopics ? "const topics = await Topics.open('my-topics', options);" : ''}
      {
        ${code.replaceAll(/^import .*$/gm, '')}
      }
      ${usesTopics ? 'await topics.close();' : ''}
    }`;
}

interface ExampleModule {
  readonly options: WalOptions;
  readonly open: () => Promise<WriteAheadLog>;
  readonly run: (log: WriteAheadLog) => Promise<void>;
}

/** Runs an example in an empty directory, and returns the lines it prints. */
async function outputOf(project: ExampleProject, file: string): Promise<string[]> {
  const { open, run: runExample } = await import(pathToFileURL(path.join(project.directory, `${file}.js`)).href) as ExampleModule;
  const directory = path.join(project.directory, `run-${file}`);
  mkdirSync(directory);
  const before = process.cwd();
  process.chdir(directory);
  const log = await open();
  const lines: string[] = [];
  const print = mock.method(console, 'log', (...values: unknown[]) => void lines.push(format(...values)));
  try {
    await runExample(log);
  } finally {
    print.mock.restore();
    await log.shutdown();
    process.chdir(before);
  }
  return lines;
}

function foldersIn(folder: string): string[] {
  const entries = readdirSync(path.join(ROOT, folder), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name).sort();
}

/** What the rows of the tables in `text` begin with, where they begin as `pattern` says. */
function namesInRows(text: string, pattern: RegExp): string[] {
  return text.split('\n').flatMap((line) => pattern.exec(line)?.[1] ?? []).sort();
}

/** The blocks of a page build on each other: together they are one program. Empty if the page has none. */
function programOf(page: string): string {
  const blocks = findBlocks(readText(page)).filter(({ language }) => language === 'ts');
  return blocks.length === 0 ? '' : `${blocks.map(({ code }) => code).join('\n')}\nexport {};`;
}
