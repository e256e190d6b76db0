import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, mock, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { format, promisify } from 'node:util';
import type { WalOptions, WriteAheadLog } from '../../src/index.js';
import { publicSymbols, type PublicSymbol } from '../tools/api-examples.js';
import { ExampleProject, ROOT } from '../tools/example-project.js';
import { findBlocks } from '../tools/markdown.js';

const run = promisify(execFile);

const api = publicSymbols(path.join(ROOT, 'src/index.ts'));
const testing = publicSymbols(path.join(ROOT, 'test/support/index.ts'));
const examples = [...api, ...testing].flatMap((symbol) => [symbol, ...symbol.methods]).flatMap(namedExamples);

const GUIDES = '.github/guides';
const guides = readdirSync(path.join(ROOT, GUIDES)).filter((name) => name.endsWith('.md'));

describe('the reference', () => {
  let project: ExampleProject;

  before(() => {
    project = newProject();
    project.compile(examples.map(({ file, code }) => project.write(`${file}.ts`, asModule(code))), { skipLibCheck: true });
  });
  after(() => project[Symbol.dispose]());

  for (const symbol of api) {
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

describe('the guides', () => {
  let project: ExampleProject;

  before(() => {
    project = newProject();
    project.compile(guides.map((name) => project.write(`${name}.ts`, programOf(name))), { skipLibCheck: true });
  });
  after(() => project[Symbol.dispose]());

  for (const name of guides) {
    test(`show nothing in ${name} that does not run, in an empty directory, and print what it says`, async () => {
      const cwd = path.join(project.directory, `run-${name}`);
      mkdirSync(cwd);
      const { stdout, stderr } = await run(process.execPath, [path.join(project.directory, `${name}.js`)], { cwd });
      assert.equal(stderr, '');
      assertOutput(stdout.split('\n').slice(0, -1), programOf(name));
    });

    test(`are not longer than two pages in ${name}`, () => {
      const lines = read(`${GUIDES}/${name}`).split('\n').length;
      assert.ok(lines <= 144, `${lines} lines`);
    });
  }

  test('are not left out of the README, and lead to no file that is missing', () => {
    const linked = relativeLinks('README.md');
    assert.deepEqual(guides.filter((name) => !linked.includes(`${GUIDES}/${name}`)), []);
    for (const page of ['README.md', ...guides.map((name) => `${GUIDES}/${name}`)]) {
      const broken = relativeLinks(page).filter((file) => !existsSync(path.join(ROOT, file)));
      assert.deepEqual(broken, [], page);
    }
  });
});

test('an error has a code about which the guide on failures says nothing', () => {
  const codes = read('src/base/errors.ts').match(/(?<=\| ')WAL_\w+(?=')/g) ?? [];
  const rows = read(`${GUIDES}/failures.md`).match(/(?<=^\| `)WAL_\w+(?=` \|)/gm) ?? [];
  assert.deepEqual(rows.sort(), codes.sort());
});

test('the changelog has no entry for this version, or a heading that Keep a Changelog does not know', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const headings = [...read('CHANGELOG.md').matchAll(/^#.*$/gm)].map(([heading]) => heading);
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
  // What the guides use beside the log.
  for (const name of ['@types/node', '@opentelemetry/api', '@opentelemetry/sdk-trace-base', 'prom-client']) {
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

/** A module that runs an example. All that is exported is at hand, and a log in memory. */
function asModule(code: string): string {
  const imports = [...code.matchAll(/^import .*$/gm)].join('\n');
  const list = (symbols: readonly PublicSymbol[]): string => symbols.map(({ name }) => name).join(', ');
  return `${imports}
    import { ${list(api)} } from 'segmented-wal';
    import { ${list(testing)} } from 'segmented-wal/testing';
    export const options: WalOptions = { fileManager: new MemoryFileManager(), preallocateBytes: 65536 };
    export const open = () => WriteAheadLog.recover('my-log', LogVoid, options);
    export async function run(log: WriteAheadLog) {
      {
        ${code.replaceAll(/^import .*$/gm, '')}
      }
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

/**
 * A comment behind a call of `console.log` says what it prints: in a loop `a, then b`. Without any comment, all that
 * counts is that the code runs.
 */
function assertOutput(lines: readonly string[], code: string): void {
  const expected = [...code.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].flatMap(([, comment]) => comment.split(', then '));
  if (expected.length > 0) assert.deepEqual(lines, expected);
}

/** The blocks of one guide build on each other: together they are one program. */
function programOf(guide: string): string {
  const blocks = findBlocks(read(`${GUIDES}/${guide}`)).filter(({ language }) => language === 'ts');
  return `${blocks.map(({ code }) => code).join('\n')}\nexport {};`;
}

function relativeLinks(page: string): string[] {
  const targets = [...read(page).matchAll(/\]\(([^)#:]+)(#[^)]*)?\)|src(?:set)?="([^":]+)"/g)];
  return targets.map(([, link, , image]) => path.posix.join(path.posix.dirname(page), link ?? image));
}

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}
