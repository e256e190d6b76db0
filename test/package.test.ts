import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { ExampleProject, ROOT } from './example-project.js';

const run = promisify(execFile);

const USE_IT = `
  const log = await WriteAheadLog.recover('log', LogVoid);
  const { chunks } = await log.append('hello');
  const reader = await log.readAt(chunks[0].position);
  console.log(Buffer.from(await reader.readAll()).toString());
  await reader.close();
  await log.shutdown();
`;

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
}

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;

describe('the package, packed and installed in an empty project', () => {
  let project: ExampleProject;
  let packed: readonly string[];

  before(() => {
    project = new ExampleProject();
    packed = install(project).files.map((file) => file.path);
    for (const dependency of Object.keys(manifest.dependencies)) project.linkInstalled(dependency);
    project.linkInstalled('@types/node');
  });
  after(() => project[Symbol.dispose]());

  test('lacks no file it needs, and brings none that is only for its own development', () => {
    for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'dist/src/index.d.ts']) {
      assert.ok(packed.includes(file), `${file} is missing`);
    }
    const needed = /^(package\.json|README\.md|CHANGELOG\.md|LICENSE-\w+|dist\/(src|test\/support)\/.*\.(js|d\.ts))$/;
    assert.deepEqual(packed.filter((file) => !needed.test(file)), []);
  });

  test('can be imported', async () => {
    const program = project.write('esm.mjs', `import { LogVoid, WriteAheadLog } from 'segmented-wal';\n${USE_IT}`);
    const { stdout } = await run(process.execPath, [program], { cwd: project.directory });
    assert.equal(stdout, 'hello\n');
  });

  test('can be required, where Node can require an ES module', { skip: cannotRequireModules() }, async () => {
    const code = `const { LogVoid, WriteAheadLog } = require('segmented-wal');\n(async () => {${USE_IT}})();`;
    const { stdout } = await run(process.execPath, [project.write('cjs.cjs', code)], { cwd: project.directory });
    assert.equal(stdout, 'hello\n');
  });

  test('has types that compile where nothing is left unchecked', () => {
    project.compile([project.write('types.ts', `
      import { LogVoid, WriteAheadLog, type CommittedEntry, type LogManager, type WalOptions } from 'segmented-wal';
      const manager: LogManager = { ...LogVoid, recover: (entry) => void entry.id.toFixed() };
      const options: WalOptions = { preallocateBytes: 4096 };
      export const log: Promise<WriteAheadLog> = WriteAheadLog.recover('log', manager, options);
      export const entry: Promise<CommittedEntry> = log.then((log) => log.append(['a', new Uint8Array(1)]));
      // @ts-expect-error a number is no data
      export const mistake = log.then((log) => log.append(7));
    `)]);
  });

  test('has types that CommonJS code can use as well', () => {
    const code = `import { LogVoid, WriteAheadLog } from 'segmented-wal';\nWriteAheadLog.recover('log', LogVoid);`;
    project.compile([project.write('types.cts', code)], { skipLibCheck: true });
  });

  test('brings the suite that checks a FileManager', async () => {
    const program = project.write('testing.mjs', `
      import { fileManagerSuite } from 'segmented-wal/testing';
      import { MemoryFileManager } from 'segmented-wal';
      for (const { name, run } of fileManagerSuite) await run(new MemoryFileManager(), '/' + encodeURIComponent(name));
      console.log(fileManagerSuite.length > 0 ? 'passed' : 'empty');
    `);
    const { stdout } = await run(process.execPath, [program], { cwd: project.directory });
    assert.equal(stdout, 'passed\n');
  });
});

test('the lock file names no registry, so that it serves everybody', () => {
  const lock = readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8');
  assert.doesNotMatch(lock, /"resolved"/);
});

/** Packs this package and unpacks it where `npm install` would. */
function install(project: ExampleProject): Packed {
  // What has been built is packed as it is: building again would pull it from under the other tests.
  const npm = ['pack', '--json', '--ignore-scripts', '--pack-destination', project.directory];
  // npm is a script on Windows, which only a shell runs.
  const output = execFileSync('npm', npm, { cwd: ROOT, stdio: 'pipe', shell: process.platform === 'win32' });
  const [packed] = JSON.parse(output.toString()) as Packed[];
  execFileSync('tar', ['-xzf', packed.filename], { cwd: project.directory });
  renameSync(path.join(project.directory, 'package'), path.join(project.directory, 'node_modules/segmented-wal'));
  return packed;
}

function cannotRequireModules(): string | false {
  return 'require_module' in process.features ? false : 'this version of Node cannot';
}
