import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

/** From the bottom to the top: a file imports from its own layer and those below. */
const LAYERS = ['base', 'files', 'format', 'model', 'segment', 'engine', 'api', 'index', 'snapshot', 'topics', 'archive', 'cli'];
/** The rooms of the engine, likewise from the bottom to the top. */
const ROOMS = ['directory', 'flush', 'view', 'write', 'checkpoint', 'read', 'recover', 'log'];
const MAX_FILE_LINES = 420;
const MAX_FUNCTION_LINES = 60;
const SOURCE = path.join(import.meta.dirname, '../../../src');

/** The files of src by their path in it, such as `engine/recover/recovery.ts`, each with those it imports. */
type Imports = ReadonlyMap<string, readonly string[]>;

const sources = new Map(
  readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file.split(path.sep).join('/'), readFileSync(path.join(SOURCE, file), 'utf8')]),
);
const imports: Imports = new Map([...sources].map(([file, text]) => [file, importsOf(file, text)]));

test('no layer imports from a layer above it', () => {
  assert.ok([...imports.values()].flat().length > 50, 'the imports were not found');
  assert.deepEqual(upwardImports(imports), []);
  const inverted = new Map([['base/a.ts', ['engine/log/b.ts']], ['engine/log/b.ts', []], ['api/c.ts', ['base/a.ts']]]);
  assert.deepEqual(upwardImports(inverted), ['base/a.ts imports engine/log/b.ts']);
});

test('no room of the engine imports from a room above it', () => {
  const inverted = new Map([['engine/flush/a.ts', ['engine/log/b.ts', 'engine/directory/c.ts']]]);
  assert.deepEqual(upwardImports(inverted), ['engine/flush/a.ts imports engine/log/b.ts']);
  const rooms = new Set([...sources.keys()].filter((file) => layerOf(file) === 'engine').map(roomOf));
  assert.deepEqual([...rooms].sort(), [...ROOMS].sort());
});

for (const layer of ['topics', 'archive']) {
  test(`${layer} use more of the log than its public names`, () => {
    const used = [...imports].filter(([file]) => layerOf(file) === layer).flatMap(([, imported]) => imported);
    assert.ok(used.includes('index.ts'), 'the imports were not found');
    assert.deepEqual(used.filter((file) => ![layer, 'base', 'index'].includes(layerOf(file))), []);
  });
}

test('no two files need one another, not even for their types', () => {
  assert.equal(findCycle(imports), undefined);
  const circular = new Map([['a.ts', ['b.ts']], ['b.ts', ['c.ts']], ['c.ts', ['b.ts']]]);
  assert.deepEqual(findCycle(circular), ['b.ts', 'c.ts', 'b.ts']);
});

test('no file in src is without a layer, or imports one that is not there', () => {
  for (const [file, imported] of imports) {
    assert.notEqual(LAYERS.indexOf(layerOf(file)), -1, `${file} belongs to no layer`);
    for (const other of imported) assert.ok(sources.has(other), `${file} imports ${other}, which is not in src`);
  }
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '');
}

test('nothing in src but the command line writes to the console of the program that uses it', () => {
  for (const [file, text] of sources) {
    if (layerOf(file) === 'cli') continue;
    assert.doesNotMatch(withoutComments(text), /\bconsole\s*\.|process\s*\.\s*(stdout|stderr)/, file);
  }
});

test('no file and no function grows beyond what can be read at once', () => {
  const long: string[] = [];
  let functions = 0;
  for (const [file, text] of sources) {
    const lines = withoutComments(text).split('\n').filter((line) => line.trim() !== '').length;
    if (lines > MAX_FILE_LINES) long.push(`${file} has ${lines} lines`);
    for (const { line, length } of functionsOf(file, text)) {
      functions++;
      if (length > MAX_FUNCTION_LINES) long.push(`${file}:${line} has a function of ${length} lines`);
    }
  }
  assert.ok(functions > 100, 'the functions were not found');
  assert.deepEqual(long, []);
});

/** The files of src that `file` imports or re-exports, for their values or their types. */
function importsOf(file: string, text: string): string[] {
  const { importedFiles } = ts.preProcessFile(text);
  const relative = importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith('.'));
  return relative.map((name) => path.posix.join(path.posix.dirname(file), name).replace(/\.js$/, '.ts'));
}

function layerOf(file: string): string {
  return file.split('/')[0].replace(/\.ts$/, '');
}

function roomOf(file: string): string {
  return file.split('/')[1];
}

function upwardImports(graph: Imports): string[] {
  const rank = (file: string): number => {
    const room = layerOf(file) === 'engine' ? ROOMS.indexOf(roomOf(file)) / ROOMS.length : 0;
    return LAYERS.indexOf(layerOf(file)) + room;
  };
  return [...graph].flatMap(([file, imported]) =>
    imported.filter((other) => rank(other) > rank(file)).map((other) => `${file} imports ${other}`));
}

/** A way that leads from a file back to it, or undefined if there is none. */
function findCycle(graph: Imports): string[] | undefined {
  const finished = new Set<string>();
  const visit = (file: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (finished.has(file)) return undefined;
    for (const other of graph.get(file) ?? []) {
      const cycle = visit(other, [...way, file]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/** Where each function with a body begins, and how many lines it takes. */
function functionsOf(file: string, text: string): { line: number; length: number }[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: { line: number; length: number }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const first = source.getLineAndCharacterOfPosition(node.getStart()).line;
      const last = source.getLineAndCharacterOfPosition(node.getEnd()).line;
      found.push({ line: first + 1, length: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
