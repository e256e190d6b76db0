import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { ExampleProject, ROOT, type Packed } from '../tools/example-project.js';

const run = promisify(execFile);

const USE_IT = `
  const log = await WriteAheadLog.recover('log', LogVoid);
  const { chunks } = await log.append('hello');
  const reader = await log.readAt(chunks[0].position);
  console.log(Buffer.from(await reader.readAll()).toString());
  await reader.close();
  await log.shutdown();
`;

const FS_EXT = path.join(ROOT, 'node_modules/fs-ext');

describe('the package, packed and installed in an empty project', () => {
  let project: ExampleProject;
  let packed: Packed;

  before(() => {
    project = new ExampleProject();
    packed = project.installThisPackage();
    project.linkInstalled('@types/node');
  });
  after(() => project[Symbol.dispose]());

  test('lacks no file it needs, and brings none that is only for its own development', () => {
    const files = packed.files.map((file) => file.path);
    for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'dist/src/index.d.ts', 'dist/cjs/src/index.js']) {
      assert.ok(files.includes(file), `${file} is missing`);
    }
    const needed = [
      /^(package\.json|README\.md|CHANGELOG\.md|LICENSE-\w+)$/,
      /^dist\/(cjs\/)?(src|test\/support)\/.*\.(js|d\.ts)$/,
      /^dist\/cjs\/package\.json$/,
    ];
    assert.deepEqual(files.filter((file) => !needed.some((pattern) => pattern.test(file))), []);
  });

  test('has not grown beyond what is worth a dependency', () => {
    const { size, unpackedSize } = packed;
    assert.ok(size <= 520_000 && unpackedSize <= 2_500_000, `${size} bytes, ${unpackedSize} unpacked`);
  });

  test('brings a command that starts', async () => {
    const bin = path.join(project.directory, 'node_modules/segmented-wal/dist/src/cli/main.js');
    const { stdout } = await run(process.execPath, [bin, '--help']);
    assert.match(stdout, /^usage: segmented-wal/);
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

  test('is one package for those who require and those who import it', { skip: cannotRequireModules() }, async () => {
    const program = project.write('both.mjs', `
      import { createRequire } from 'node:module';
      import { LogPosition, WalError } from 'segmented-wal';
      const required = createRequire(import.meta.url)('segmented-wal');
      console.log(required.WalError === WalError, required.LogPosition === LogPosition);
    `);
    const { stdout } = await run(process.execPath, [program], { cwd: project.directory });
    assert.equal(stdout, 'true true\n');
  });

  test('works where install scripts are blocked, so that fs-ext is there but not built', { skip: withoutFsExt() }, async () => {
    using other = new ExampleProject();
    other.installThisPackage();
    const isSource = (file: string): boolean => path.basename(file) !== 'build';
    cpSync(FS_EXT, path.join(other.directory, 'node_modules/fs-ext'), { recursive: true, filter: isSource });
    const program = other.write('blocked.mjs', `
      import { existsSync } from 'node:fs';
      import { LogVoid, WriteAheadLog } from 'segmented-wal';
      const log = await WriteAheadLog.recover('log', LogVoid);
      const second = await WriteAheadLog.recover('log', LogVoid).catch((error) => error);
      console.log((await log.append('hello')).id, existsSync('log/LOCK.lock'), second.code);
      await log.shutdown();
    `);
    const { stdout, stderr } = await run(process.execPath, [program], { cwd: other.directory });
    assert.equal(stderr, '');
    assert.equal(stdout, '1 true WAL_LOCKED\n');
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

  test('brings the snapshot file, to import and to require', async () => {
    const useIt = `
      const file = new SnapshotFile('store/snapshot');
      const before = await file.load();
      await file.save((before?.lastId ?? 0) + 1, 'content');
      console.log(before?.lastId, await before?.text());
    `;
    const imported = project.write('snapshot.mjs', `import { SnapshotFile } from 'segmented-wal/snapshot';\n${useIt}`);
    const required = `const { SnapshotFile } = require('segmented-wal/snapshot');\n(async () => {${useIt}})();`;
    const cwd = project.directory;
    assert.equal((await run(process.execPath, [imported], { cwd })).stdout, 'undefined undefined\n');
    assert.equal((await run(process.execPath, [project.write('snapshot.cjs', required)], { cwd })).stdout, '1 content\n');
    project.compile([project.write('snapshot.ts', `
      import { SnapshotFile, type Snapshot } from 'segmented-wal/snapshot';
      export const snapshot: Promise<Snapshot | undefined> = new SnapshotFile('snapshot').load();
    `)]);
  });

  test('brings topics, to import and to require', async () => {
    const useIt = `
      const topics = await Topics.open('topics');
      await topics.topic('orders').publish('order');
      const [message] = await (await topics.topic('orders').group('billing')).take({ max: 1 });
      console.log(message.topic, String(message.chunks[0]), topics.log instanceof WriteAheadLog);
      await topics.close();
    `;
    const imports = "import { WriteAheadLog } from 'segmented-wal';\nimport { Topics } from 'segmented-wal/topics';";
    const requires = "const { WriteAheadLog } = require('segmented-wal'); const { Topics } = require('segmented-wal/topics');";
    const imported = project.write('topics.mjs', `${imports}\n${useIt}`);
    const required = project.write('topics.cjs', `${requires}\n(async () => {${useIt}})();`);
    const cwd = project.directory;
    for (const program of [imported, required]) {
      assert.equal((await run(process.execPath, [program], { cwd })).stdout, 'orders order true\n');
    }
    project.compile([project.write('topics.ts', `
      import { Topics, type Message } from 'segmented-wal/topics';
      export const topics: Promise<Topics> = Topics.open('topics', { keepSegments: 1 });
      export const ack = (message: Message): Promise<void> => message.ack();
    `)]);
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

const lockFile = readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8');

test('the lock file names no registry, so that it serves everybody', () => {
  assert.doesNotMatch(lockFile, /"resolved"/);
});

test('no dependency, for development or not, has a licence that asks anything of those who use the package', () => {
  const permissive = /\b(MIT|ISC|0BSD|Apache-2\.0|BSD-[23]-Clause|BlueOak-1\.0\.0|Python-2\.0)\b/;
  const { packages } = JSON.parse(lockFile) as { packages: Record<string, { license?: string; link?: boolean }> };
  const others = Object.entries(packages).filter(([, { license, link }]) => !link && !permissive.test(license ?? ''));
  const allowed = [
    // It says MIT in a field of its manifest that is not read any more.
    'node_modules/fs-ext',
    // Data under CC-BY, which asks for its source to be named by those who pass it on: jest and webpack read it here.
    'node_modules/caniuse-lite',
  ];
  assert.deepEqual(others.map(([name]) => name).filter((name) => !allowed.includes(name)), []);
});

function withoutFsExt(): string | false {
  return existsSync(FS_EXT) ? false : 'fs-ext is not installed';
}

function cannotRequireModules(): string | false {
  return 'require_module' in process.features ? false : 'this version of Node cannot';
}
