import type { CommitOptions } from '../index.js';
import type { Commits } from './commits.js';
import { encodeMarks, type Marks } from './entry-format.js';
import type { GroupState } from './state.js';

/** A message, and its size or how often it was handed out. */
export interface Mark {
  readonly id: number;
  readonly value: number;
}

/**
 * Gathers the acknowledgements, or the attempts, of all groups of one moment: they are one entry, and share its flush
 * with whatever else is written.
 */
export class Marking {
  readonly #commits: Commits;
  readonly #kind: 'acks' | 'attempts';
  readonly #options: CommitOptions;
  #gathered: Map<GroupState, Mark[]> | undefined;
  #written: Promise<unknown> = Promise.resolve();

  constructor(commits: Commits, kind: 'acks' | 'attempts', options: CommitOptions) {
    this.#commits = commits;
    this.#kind = kind;
    this.#options = options;
  }

  /** Resolves when the mark is written. Rejects if it is not; then it does not count. */
  add(group: GroupState, mark: Mark): Promise<unknown> {
    if (this.#gathered === undefined) {
      this.#gathered = new Map();
      this.#written = Promise.resolve().then(() => this.#write());
    }
    const marks = this.#gathered.get(group);
    if (marks === undefined) this.#gathered.set(group, [mark]);
    else marks.push(mark);
    return this.#written;
  }

  #write(): Promise<unknown> {
    const gathered = this.#gathered ?? [];
    this.#gathered = undefined;
    const marks = [...gathered].map(([group, each]) => marksOf(group, each, this.#kind, valueOf));
    return this.#commits.append(encodeMarks(this.#kind, marks), this.#options);
  }
}

/** Marks as an entry has them. What is acknowledged goes with what has been so durably before. */
export function marksOf<T extends { readonly id: number }>(
  group: GroupState, marks: readonly T[], kind: 'acks' | 'attempts', valueOf: (mark: T) => number,
): Marks {
  // A group that moves may go back: its old place must not be written behind the new one.
  const cursor = kind === 'acks' && group.moving === 0 ? group.cursor : 0;
  const isAscending = marks.every(({ id }, i) => i === 0 || id > marks[i - 1].id);
  const sorted = isAscending ? marks : [...marks].sort((a, b) => a.id - b.id);
  const [ids, values]: number[][] = [[], []];
  for (const mark of sorted) {
    if (mark.id <= cursor) continue;
    ids.push(mark.id);
    values.push(valueOf(mark));
  }
  return { group: group.number, cursor, ids, values };
}

export function valueOf({ value }: Mark): number {
  return value;
}
