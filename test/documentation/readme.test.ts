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
    assert.ok(lines <= 280 && bytes <= 14_700, `${lines} lines, ${bytes} bytes`);
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
      const { states } = await crashTest(firstSample(openSample), LIMITS);
      assert.ok(states > 500, `only ${states} states`);
      assert.ok(checkpoints > 20, `only ${checkpoints} checkpoints`);
    });

    test('that loses none without waiting for its snapshot', async () => {
      await assert.rejects(crashTest(firstSample(openWithoutWaiting), LIMITS), CrashTestFailure);
    });

    test('that loses none although what it stores is labelled with a later entry', async () => {
      await assert.rejects(crashTest(firstSample(openMislabelling), LIMITS), CrashTestFailure);
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

/** The manager of the first sample, and what it keeps. */
interface FirstSample {
  readonly manager: LogManager;
  texts(): readonly string[];
  apply(id: number, text: string): void;
}

type OpenSample = (fileManager: FileManager, directory: string) => FirstSample;

const LIMITS = { changes: 8, seeds: [0, 1, 2, 3] };

let openSample: OpenSample;
let openWithoutWaiting: OpenSample;
let openMislabelling: OpenSample;
let checkpoints = 0;

/** The first sample up to where it opens its log, to be given another place for its files; and with two mistakes. */
async function loadFirstManager(project: ExampleProject): Promise<void> {
  const [, body] = /^const file = new SnapshotFile\('my-log\/snapshot'\);$(.*?)^const log = /ms.exec(runnable[0].code) ?? [];
  assert.ok(body !== undefined, 'the first sample has no manager');
  const open = (name: string, text: string): string => `
    export function ${name}(fileManager: FileManager, directory: string) {
      const file = new SnapshotFile(directory + '/snapshot', { fileManager });
      ${text}
      return { manager, apply, texts: () => texts };
    }`;
  const mistaken = (right: string, wrong: string): string => {
    assert.equal(body.split(right).length, 2, `there is no ${right}`);
    return body.replace(right, wrong);
  };
  project.compile([project.write('first-manager.ts', `
    import type { FileManager, LogManager } from 'segmented-wal';
    import { SnapshotFile } from 'segmented-wal/snapshot';
    ${open('openSample', body)}
    ${open('openWithoutWaiting', mistaken('await file.save', 'void file.save'))}
    ${open('openMislabelling', mistaken('file.save(lastId,', 'file.save(lastId + 1,'))}
  `)], { skipLibCheck: true });
  const module: unknown = await import(pathToFileURL(path.join(project.directory, 'first-manager.js')).href);
  ({ openSample, openWithoutWaiting, openMislabelling } = module as Record<string, OpenSample>);
}

interface OpenedSample {
  readonly log: WriteAheadLog;
  readonly sample: FirstSample;
}

function firstSample(open: OpenSample): CrashTestSubject<OpenedSample> {
  return {
    async open(fileManager, directory) {
      const sample = open(fileManager, directory);
      const options = { fileManager, preallocateBytes: 4096, checkpointAfterBytes: 300, bufferBytes: 4096 };
      const log = await WriteAheadLog.recover(directory, sample.manager, options);
      log.on('checkpoint', () => checkpoints++);
      return { log, sample };
    },
    async change({ log, sample }, number) {
      const text = `${number} `.padEnd(120, '.');
      await log.append(text, { onCommitted: ({ id }) => sample.apply(id, text) });
    },
    count({ sample }) {
      const numbers = sample.texts().map((text) => Number.parseInt(text, 10));
      assert.deepEqual(numbers, numbers.map((_, i) => i));
      return numbers.length;
    },
  };
}
