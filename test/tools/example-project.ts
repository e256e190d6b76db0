import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import ts from 'typescript';

/** The root of this package. */
export const ROOT = path.join(import.meta.dirname, '../../..');

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
}

/** What npm says of a package that it has packed. */
export interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

/** An empty project of somebody who uses the package, in a temporary directory. */
export class ExampleProject implements Disposable {
  readonly directory = mkdtempSync(path.join(os.tmpdir(), 'segmented-wal-project-'));

  constructor() {
    mkdirSync(path.join(this.directory, 'node_modules'));
    this.write('package.json', JSON.stringify({ name: 'example-project', private: true, type: 'module' }));
  }

  /** Writes a file and returns its path. */
  write(name: string, text: string): string {
    const file = path.join(this.directory, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  }

  /** Makes `target` the package `name` of this project, without a copy. */
  link(name: string, target: string): void {
    const place = path.join(this.directory, 'node_modules', name);
    mkdirSync(path.dirname(place), { recursive: true });
    // A junction needs no privileges on Windows; elsewhere the type is ignored.
    symlinkSync(target, place, 'junction');
  }

  /** Makes a package that is installed for the development of this one a package of the project. */
  linkInstalled(name: string): void {
    this.link(name, path.join(ROOT, 'node_modules', name));
  }

  /** Packs this package and unpacks it where `npm install` would, with what it depends on. */
  installThisPackage(): Packed {
    // What has been built is packed as it is: building again would pull it from under the other tests.
    const npm = ['pack', '--json', '--ignore-scripts', '--pack-destination', this.directory];
    // npm is a script on Windows, which only a shell runs.
    const output = execFileSync('npm', npm, { cwd: ROOT, stdio: 'pipe', shell: process.platform === 'win32' });
    const [packed] = JSON.parse(output.toString()) as Packed[];
    execFileSync('tar', ['-xzf', packed.filename], { cwd: this.directory });
    renameSync(path.join(this.directory, 'package'), path.join(this.directory, 'node_modules/segmented-wal'));
    const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;
    for (const dependency of Object.keys(manifest.dependencies)) this.linkInstalled(dependency);
    return packed;
  }

  /** Compiles TypeScript files beside themselves, as strictly as TypeScript can. */
  compile(files: readonly string[], options: ts.CompilerOptions = {}): void {
    const program = ts.createProgram(files, {
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'],
      typeRoots: [path.join(this.directory, 'node_modules/@types')],
      strict: true,
      ...options,
    });
    const { diagnostics } = program.emit();
    const problems = [...ts.getPreEmitDiagnostics(program), ...diagnostics];
    const host: ts.FormatDiagnosticsHost = {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => this.directory,
      getNewLine: () => '\n',
    };
    assert.equal(ts.formatDiagnostics(problems, host), '');
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
