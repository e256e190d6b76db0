import btree from 'sorted-btree';

/** A key and its value: bytes, kept as strings. See `SortedPairs`. */
export type Pair = [key: string, value: string];

/** A put, or a deletion if there is no value. */
export interface Change {
  readonly key: string;
  readonly value: string | undefined;
}

/** Some of the pairs. Where `gt` and `gte`, or `lt` and `lte`, are both given, `gte` and `lte` count. */
export interface Range {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
  /** From the last pair to the first. */
  readonly reverse?: boolean;
}

/** Bytes as `SortedPairs` keeps them, and back. */
export function stringOf(bytes: Buffer): string {
  return bytes.toString('latin1');
}

export function bytesOf(string: string): Buffer {
  return Buffer.from(string, 'latin1');
}

type Tree = btree.default<string, string>;

/**
 * Pairs in the order of the bytes of their keys, in a B+ tree.
 *
 * Bytes are kept as Latin-1 strings, one character for each. Strings compare as their bytes do, and three times as fast
 * as buffers; they take no more memory; and they cannot be changed, so it does no harm if a caller writes into a buffer
 * that it has put or was given.
 */
export class SortedPairs {
  readonly #tree: Tree;

  constructor(tree: Tree = new btree.default<string, string>(undefined, btree.simpleComparator)) {
    this.#tree = tree;
  }

  get(key: string): string | undefined {
    return this.#tree.get(key);
  }

  has(key: string): boolean {
    return this.#tree.has(key);
  }

  apply({ key, value }: Change): void {
    if (value === undefined) this.#tree.delete(key);
    else this.#tree.set(key, value);
  }

  /** The pairs of this moment, in no time: the trees share their nodes, and a change copies those that it touches. */
  snapshot(): SortedPairs {
    return new SortedPairs(this.#tree.clone());
  }

  /**
   * The pairs in `range`, from the key `from` on if that is given; none if it is not in the range. Take a snapshot if
   * there may be changes meanwhile.
   */
  *range(range: Range = {}, from?: string): Generator<Pair, void, void> {
    const { gt, gte = gt, lt, lte = lt, reverse = false } = range;
    if (from !== undefined && (isBelow(from, range) || isAbove(from, range))) return;
    const pairs = reverse ? this.#tree.entriesReversed(from ?? lte) : this.#tree.entries(from ?? gte);
    const [isBefore, isAfter] = reverse ? [isAbove, isBelow] : [isBelow, isAbove];
    for (const pair of pairs) {
      if (isAfter(pair[0], range)) return;
      // The first one may be a bound that the range excludes.
      if (!isBefore(pair[0], range)) yield pair;
    }
  }
}

function isBelow(key: string, { gt, gte }: Range): boolean {
  return gte === undefined ? gt !== undefined && key <= gt : key < gte;
}

function isAbove(key: string, { lt, lte }: Range): boolean {
  return lte === undefined ? lt !== undefined && key >= lt : key > lte;
}
