import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import ts from 'typescript';
import { ExampleProject, ROOT } from '../tools/example-project.js';
import { findBlocks } from '../tools/markdown.js';

const run = promisify(execFile);

const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const blocks = findBlocks(readme);
const runnable = blocks.filter(({ language }) => language === 'ts');

describe('the README', () => {
  let project: ExampleProject;

  before(() => {
    project = new ExampleProject();
    project.link('segmented-wal', ROOT);
    project.linkInstalled('@types/node');
  });
  after(() => project[Symbol.dispose]());

  test('begins with examples/basic.ts, as it is', () => {
    assert.equal(runnable[0].code, readFileSync(path.join(ROOT, 'examples/basic.ts'), 'utf8'));
  });

  test('shows no example that does not compile', () => {
    project.compile(runnable.map(({ line, code }) => project.write(`line-${line}.ts`, code)), { skipLibCheck: true });
  });

  for (const [index, { line }] of runnable.entries()) {
    test(`shows an example on line ${line} that runs, in an empty directory, without a warning`, async () => {
      const directory = path.join(project.directory, `run-${line}`);
      mkdirSync(directory);
      const program = path.join(project.directory, `line-${line}.js`);
      const { stdout, stderr } = await run(process.execPath, [program], { cwd: directory });
      assert.equal(stderr, '');
      if (index === 0) assert.match(stdout, /^1 hello/);
    });
  }

  test('shows no declaration with a mistake in its syntax', () => {
    for (const { line, code, language } of blocks) {
      if (language !== 'typescript') continue;
      const { diagnostics } = ts.transpileModule(code, { reportDiagnostics: true });
      const messages = (diagnostics ?? []).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
      assert.deepEqual(messages, [], `line ${line}`);
    }
  });
});
