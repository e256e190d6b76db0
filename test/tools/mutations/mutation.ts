import type { Case } from '../mutant.js';

/** A test of the suite, by the name of its file without the ending, and its own. */
export interface NamedTest {
  readonly kind: 'test';
  readonly file: string;
  readonly test: string;
}

/** A change of one place in the log's compiled text. */
export interface Edit {
  /** The file, seen from src. */
  readonly file: string;
  /** Must occur exactly once in the compiled file. White space of any kind and length matches any other. */
  readonly find: string;
  readonly replace: string;
}

/** One bug for the suite to catch. */
export interface Mutation extends Edit {
  /** What the log does wrong, as a sentence. */
  readonly name: string;
  /** More edits that the bug takes: where two things guard against the same fault, neither is missed alone. */
  readonly also?: readonly Edit[];
  /** Why it cannot be seen on this system. */
  readonly skip?: string | false;
  /** The part of the suite that is expected to see it: not the only one, but one that does so soon. */
  readonly caughtBy: Case | NamedTest;
}

/** `seed` and `number` say where the bug was found the last time, so that it is looked for there first. */
export function crashes(workload: string, seed?: number, number?: number): Case {
  return { kind: 'crashes', workload, ...first(seed, number) };
}

export function twice(workload: string, seed?: number, number?: number): Case {
  return { kind: 'crashes twice', workload, ...first(seed, number) };
}

export function faults(workload: string, seed?: number, number?: number): Case {
  return { kind: 'faults', workload, ...first(seed, number) };
}

export function random(seed?: number): Case {
  return { kind: 'random', ...first(seed) };
}

export function named(file: string, test: string): NamedTest {
  return { kind: 'test', file, test };
}

function first(seed: number | undefined, number = 0): Pick<Case, 'first'> {
  return seed === undefined ? {} : { first: { seed, number } };
}
