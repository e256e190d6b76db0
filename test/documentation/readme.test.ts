import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { WriteAheadLog, type FileManager, type LogManager } from '../../src/index.js';
import { crashTest, CrashTestFailure, type CrashTestSubject } from '../support/crash-test.js';
import { ExampleProject, ROOT } from '../tools/example-project.js';
import { documentationPages, expectedLines, findBlocks, readText } from '../tools/markdown.js';

const run = promisify(execFile);

const readme = readText('README.md');
const runnable = findBlocks(readme).filter(({ language }) => language === 'ts');

describe('the README', () => {
  let project: ExampleProject;
  let directory: string;

  before(() => {
    project = new ExampleProject();
    project.link('segmented-wal', ROOT);
    project.linkInstalled('@types/node');
    directory = path.join(project.directory, 'run');
    mkdirSync(directory);
  });
  after(() => project[Symbol.dispose]());

  test('has grown beyond one sitting', () => {
    const [lines, bytes] = [readme.split('\n').length, Buffer.byteLength(readme)];
    assert.ok(lines <= 260 && bytes <= 14_000, `${lines} lines, ${bytes} bytes`);
  });

  test('begins with another sample than examples/basic.ts', () => {
    assert.equal(runnable[0].code, readText('examples/basic.ts'));
  });

  test('shows a sample that does not compile', () => {
    project.compile(runnable.map(({ line, code }) => project.write(`line-${line}.ts`, code)), { skipLibCheck: true });
  });

  // As a reader pastes them: one after the other, each finding what those before it have left.
  for (const { line, code } of runnable) {
    test(`shows a sample on line ${line} that does not end, warns, or prints something else than it says`, async () => {
      const program = path.join(project.directory, `line-${line}.js`);
      const { stdout, stderr } = await run(process.execPath, [program], { cwd: directory, timeout: 60_000 });
      assert.equal(stderr, '');
      assert.notDeepEqual(expectedLines(code), [], 'it shows nothing');
      assert.deepEqual(stdout.split('\n').slice(0, -1), expectedLines(code));
    });
  }

  describe('begins with a checkpoint', () => {
    before(() => loadFirstManager(project));

    test('that loses entries in a crash', async () => {
      const { states } = await crashTest(firstSample({ syncs: true, syncsNames: true }), LIMITS);
      assert.ok(states > 500, `only ${states} states`);
      assert.ok(checkpoints > 50, `only ${checkpoints} checkpoints`);
    });

    test('that loses none without the sync of its file', async () => {
      await assert.rejects(crashTest(firstSample({ syncs: false, syncsNames: true }), LIMITS), CrashTestFailure);
    });

    test('that loses none without the sync of its name', async () => {
      await assert.rejects(crashTest(firstSample({ syncs: true, syncsNames: false }), LIMITS), CrashTestFailure);
    });
  });
});

for (const page of documentationPages()) {
  test(`${page} shows a declaration with a mistake in its syntax`, () => {
    for (const { line, code, language } of findBlocks(readText(page))) {
      if (language !== 'typescript') continue;
      const { diagnostics } = ts.transpileModule(code, { reportDiagnostics: true });
      const messages = (diagnostics ?? []).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
      assert.deepEqual(messages, [], `line ${line}`);
    }
  });
}

type WriteFile = (name: string, text: string, options: { readonly flush: true }) => Promise<void>;
type ManagerOf = (files: Pick<FileManager, 'syncDirectory'>, writeFile: WriteFile, texts: string[]) => LogManager;

const LIMITS = { changes: 8, seeds: [0, 1, 2, 3] };

let managerOf: ManagerOf;
let checkpoints = 0;

/** The manager of the first sample, to be given another place for its files. */
async function loadFirstManager(project: ExampleProject): Promise<void> {
  const manager = /^const manager: LogManager = (\{.*?^\});$/ms.exec(runnable[0].code)?.[1];
  assert.ok(manager !== undefined, 'the first sample has no manager');
  project.compile([project.write('first-manager.ts', `
    import type { FileManager, LogManager } from 'segmented-wal';
    type WriteFile = (name: string, text: string, options: { readonly flush: true }) => Promise<void>;
    export function managerOf(
      files: Pick<FileManager, 'syncDirectory'>, writeFile: WriteFile, texts: string[],
    ): LogManager { return ${manager}; }
  `)], { skipLibCheck: true });
  const module: unknown = await import(pathToFileURL(path.join(project.directory, 'first-manager.js')).href);
  ({ managerOf } = module as { managerOf: ManagerOf });
}

interface FirstSample {
  readonly log: WriteAheadLog;
  readonly texts: string[];
}

interface Syncs {
  readonly syncs: boolean;
  readonly syncsNames: boolean;
}

function firstSample(syncs: Syncs): CrashTestSubject<FirstSample> {
  return { open: (fileManager, directory) => openFirstSample(fileManager, directory, syncs), change, count: held };
}

/** Its files are where a reader of the stored ones would look: beside the directory of the log. */
async function openFirstSample(fileManager: FileManager, directory: string, syncs: Syncs): Promise<FirstSample> {
  await fileManager.createDirectory(directory);
  const texts: string[] = [];
  const files = { syncDirectory: async () => (syncs.syncsNames ? fileManager.syncDirectory(directory) : undefined) };
  const writeFile: WriteFile = async (name, text) => {
    checkpoints++;
    const file = await fileManager.open(path.join(directory, name), { access: 'create' });
    await file.truncate(0);
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) at += await file.write([bytes.subarray(at)], at);
    if (syncs.syncs) await file.sync();
    await file.close();
  };
  const options = { fileManager, preallocateBytes: 4096, checkpointAfterBytes: 300, bufferBytes: 4096 };
  const log = await WriteAheadLog.recover(path.join(directory, 'my-log'), managerOf(files, writeFile, texts), options);
  texts.push(...await storedTexts(fileManager, directory));
  return { log, texts };
}

/** A file that a crash has left half written is of a checkpoint that has not finished: the log has its entries. */
async function storedTexts(fileManager: FileManager, directory: string): Promise<string[]> {
  const texts: string[] = [];
  for (const name of await fileManager.list(directory)) {
    const file = await fileManager.open(path.join(directory, name), { access: 'read' });
    const bytes = Buffer.alloc(await file.size());
    let length = 0;
    for (let count = -1; length < bytes.length && count !== 0; length += count) {
      count = await file.read(bytes.subarray(length), length);
    }
    await file.close();
    try {
      texts.push(...JSON.parse(bytes.toString()) as string[]);
    } catch {
      continue;
    }
  }
  return texts;
}

async function change({ log, texts }: FirstSample, number: number): Promise<void> {
  await log.append(`${number} `.padEnd(120, '.'));
  texts.push(`${number} `.padEnd(120, '.'));
}

function held({ texts }: FirstSample): number {
  const numbers = new Set(texts.map((text) => Number.parseInt(text, 10)));
  for (let number = 0; number < numbers.size; number++) assert.ok(numbers.has(number), `${number} is missing`);
  return numbers.size;
}
