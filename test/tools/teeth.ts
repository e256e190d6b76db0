/**
 * Shows that the suite catches bugs:
 *
 *     node dist/test/tools/teeth.js                     every bug of `mutations/`, with the part of the suite it names
 *     node dist/test/tools/teeth.js "salt"              those with this in their name
 *     node dist/test/tools/teeth.js --search "salt"     goes through all crash tests instead, until one catches it:
 *                                                   one that fails with the bug, and does not without it
 *
 * Prints a table, and exits with 1 if a bug was not caught. Nothing in src knows of this: each bug is put into
 * a copy of the compiled project.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { ALL_CASES, type Case, type Finding } from './mutant.js';
import type { Place } from '../support/crash-explorer.js';
import { MUTATIONS, type Edit, type Mutation, type NamedTest } from './mutations/index.js';

const PROJECT = path.join(import.meta.dirname, '../../..');
/** A bug may make the log go round in circles: then its process is ended. */
const CAP_MS = 180_000;
/** The suite runs other things beside this. */
export const LANES = Math.max(1, Math.min(8, os.availableParallelism()) - 1);

/** What became of a bug. */
export interface Trial {
  readonly mutation: Mutation;
  /** What caught it, in words; undefined if nothing did. */
  readonly caughtBy: string | undefined;
  /** What the suite said. */
  readonly message: string;
  readonly states: number;
  /** Where an exploration caught it. */
  readonly place?: Place;
  readonly seconds: number;
}

type Look = Pick<Trial, 'caughtBy' | 'message' | 'states' | 'place'>;

/** A copy of the compiled project, to be spoilt. */
export class Mutant implements AsyncDisposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async create(): Promise<Mutant> {
    const directory = await fs.realpath(await fs.mkdtemp(path.join(os.tmpdir(), 'segmented-wal-mutant-')));
    const isCode = (file: string): boolean => !/\.(d\.ts|map)$/.test(file);
    await fs.cp(path.join(PROJECT, 'dist'), path.join(directory, 'dist'), { recursive: true, filter: isCode });
    await fs.copyFile(path.join(PROJECT, 'package.json'), path.join(directory, 'package.json'));
    for (const shared of ['node_modules', 'test']) {
      await fs.symlink(path.join(PROJECT, shared), path.join(directory, shared), 'junction');
    }
    return new Mutant(directory);
  }

  /** Tries a part of the suite on `mutation`: the expected catcher, unless told otherwise. Leaves the copy as it was. */
  async try(mutation: Mutation, part: Case | NamedTest = mutation.caughtBy): Promise<Trial> {
    const started = performance.now();
    const originals = new Map<string, string>();
    try {
      for (const edit of [mutation, ...mutation.also ?? []]) await this.#spoil(edit, originals);
      return { mutation, ...(await this.look(part)), seconds: (performance.now() - started) / 1000 };
    } finally {
      for (const [file, text] of originals) await fs.writeFile(file, text);
    }
  }

  /** Goes through all crash tests until one fails with `mutation` and passes without it. */
  async search(mutation: Mutation): Promise<Trial> {
    let last: Trial | undefined;
    for (const tried of ALL_CASES) {
      last = await this.try(mutation, tried);
      if (last.caughtBy === undefined) continue;
      const { caughtBy, message } = await this.look(tried);
      if (caughtBy === undefined) return last;
      last = { ...last, caughtBy: undefined, message: `${caughtBy} fails on the sound log: ${message}` };
    }
    return last as Trial;
  }

  /** Makes `edit`, and keeps in `originals` what the file was before the first. */
  async #spoil(edit: Edit, originals: Map<string, string>): Promise<void> {
    const file = path.join(this.#directory, 'dist/src', edit.file.replace(/\.ts$/, '.js'));
    const text = await fs.readFile(file, 'utf8');
    if (!originals.has(file)) originals.set(file, text);
    await fs.writeFile(file, mutate(text, edit));
  }

  /** What a part of the suite says of the copy as it is. */
  look(part: Case | NamedTest): Promise<Look> {
    return part.kind === 'test' ? this.#runTest(part) : this.#explore([part]);
  }

  async #explore(cases: readonly Case[]): Promise<Look> {
    const { output, hasEnded } = await this.#run(['dist/test/tools/mutant.js', JSON.stringify(cases)]);
    const line = output.split('\n').findLast((candidate) => candidate.startsWith('{'));
    if (line === undefined) {
      const message = hasEnded ? `the exploration itself failed: ${output}` : 'it did not come to an end';
      return { caughtBy: undefined, message, states: 0 };
    }
    const { caughtBy, message, states, place } = JSON.parse(line) as Finding;
    return { caughtBy: caughtBy && describe(caughtBy), message, states, place };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await fs.rm(this.#directory, { recursive: true, force: true });
  }

  async #runTest(part: NamedTest): Promise<Look> {
    const pattern = `^${part.test.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
    const flags = ['--test-force-exit', '--test-reporter=tap', `--test-name-pattern=${pattern}`];
    const { output } = await this.#run([...flags, `dist/test/${part.file}.test.js`]);
    const results = output.split('\n').filter((line) => /^(not )?ok \d+ /.test(line) && !line.includes('# SKIP'));
    const hasRun = results.some((line) => line.replace(/\\/g, '').endsWith(`- ${part.test}`));
    const hasFailed = hasRun && results.some((line) => line.startsWith('not ok'));
    const reason = /^ *error: (?:\|-\n *)?(.*)$/m.exec(output)?.[1] ?? '';
    const message = hasRun ? reason : `the test was not found: ${output.slice(0, 2000)}`;
    return { caughtBy: hasFailed ? describe(part) : undefined, message, states: 0 };
  }

  #run(args: readonly string[]): Promise<{ output: string; hasEnded: boolean }> {
    // A child must not take itself for a part of the tests that run now, nor be counted in their coverage.
    const { NODE_TEST_CONTEXT: _context, NODE_V8_COVERAGE: _coverage, ...inherited } = process.env;
    const env = { ...inherited, SEGMENTED_WAL_TEST_TIMEOUT_MS: '15000' };
    const options = { cwd: this.#directory, env, timeout: CAP_MS, killSignal: 'SIGKILL', maxBuffer: 1 << 26 } as const;
    return new Promise((resolve) => {
      execFile(process.execPath, args, options, (error, stdout, stderr) => {
        resolve({ output: stdout + stderr, hasEnded: error?.killed !== true });
      });
    });
  }
}

/** `text` with the edit made. Throws if the place is not there exactly once: then `mutations/` is out of date. */
export function mutate(text: string, { file, find, replace }: Edit): string {
  const words = find.trim().split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const matches = [...text.matchAll(new RegExp(words.join('\\s+'), 'g'))];
  if (matches.length !== 1) throw new Error(`${matches.length} times in ${file}, not once: ${find}`);
  const { index, 0: found } = matches[0];
  return text.slice(0, index) + replace + text.slice(index + found.length);
}

/** Tries mutations, a few at once. */
export async function tryMutations(
  mutations: readonly Mutation[], onTrial: (trial: Trial) => void, isSearch = false,
): Promise<void> {
  const left = [...mutations];
  await Promise.all(Array.from({ length: LANES }, async () => {
    const mutant = await Mutant.create();
    try {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        onTrial(await (isSearch ? mutant.search(next) : mutant.try(next)));
      }
    } finally {
      await mutant[Symbol.asyncDispose]();
    }
  }));
}

function describe(part: Case | NamedTest): string {
  switch (part.kind) {
    case 'crashes': return `a crash at any call: ${part.workload}`;
    case 'crashes twice': return `two crashes: ${part.workload}`;
    case 'faults': return `an error at any call: ${part.workload}`;
    case 'random': return 'random workloads';
    case 'test': return `${part.file}: ${part.test}`;
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { search: { type: 'boolean', default: false } } });
  const chosen = MUTATIONS.filter(({ name, skip }) => !skip && name.includes(positionals[0] ?? ''));
  let survivors = 0;
  await tryMutations(chosen, ({ mutation, caughtBy, message, states, place, seconds }) => {
    if (caughtBy === undefined) survivors++;
    console.log(`${caughtBy === undefined ? 'SURVIVED' : 'caught'} | ${mutation.name} | ${caughtBy ?? ''} | ${states} states | ${seconds.toFixed(1)} s`);
    console.log(`    ${message}`);
    if (caughtBy !== undefined && place !== undefined) console.log(`    found at ${place.seed}, ${place.number}`);
  }, values.search);
  console.log(`${chosen.length - survivors} of ${chosen.length} caught`);
  if (survivors > 0) process.exitCode = 1;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main();
