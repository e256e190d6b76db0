import { AbstractIterator, type AbstractIteratorOptions } from 'abstract-level';
import { bytesOf, stringOf, type Pair, type Range, type SortedPairs } from './sorted-pairs.js';

type Bound = 'gt' | 'gte' | 'lt' | 'lte';

/** A range as abstract-level passes it, with its keys encoded. */
export type RangeOptions = Partial<Record<Bound, Buffer>> & {
  readonly reverse: boolean;
  /** -1: all of them. */
  readonly limit: number;
};

export type IteratorOptions<K, V> = AbstractIteratorOptions<K, V> & RangeOptions;

/** A key and a value, each undefined unless it is wanted. */
type EncodedPair = [key: Buffer | undefined, value: Buffer | undefined];

export function rangeOf(options: RangeOptions): Range {
  const bounds: Partial<Record<Bound, string>> = {};
  for (const bound of ['gt', 'gte', 'lt', 'lte'] as const) {
    if (options[bound] !== undefined) bounds[bound] = stringOf(options[bound]);
  }
  return { ...bounds, reverse: options.reverse };
}

/** Iterates over pairs that do not change. abstract-level counts up to the limit, and decodes. */
export class LevelIterator<Level, K, V> extends AbstractIterator<Level, K, V> {
  readonly #pairs: SortedPairs;
  readonly #range: Range;
  readonly #hasKeys: boolean;
  readonly #hasValues: boolean;
  #rest: Iterator<Pair, void, void>;

  constructor(level: Level, options: IteratorOptions<K, V>, pairs: SortedPairs) {
    super(level, options);
    this.#pairs = pairs;
    this.#range = rangeOf(options);
    this.#hasKeys = options.keys !== false;
    this.#hasValues = options.values !== false;
    this.#rest = pairs.range(this.#range);
  }

  async _next(): Promise<EncodedPair | undefined> {
    return this.#take();
  }

  async _nextv(size: number): Promise<EncodedPair[]> {
    const taken: EncodedPair[] = [];
    while (taken.length < size) {
      const pair = this.#take();
      if (pair === undefined) break;
      taken.push(pair);
    }
    return taken;
  }

  _seek(target: Buffer): void {
    this.#rest = this.#pairs.range(this.#range, stringOf(target));
  }

  #take(): EncodedPair | undefined {
    const { done, value: pair } = this.#rest.next();
    if (done === true) return undefined;
    return [this.#hasKeys ? bytesOf(pair[0]) : undefined, this.#hasValues ? bytesOf(pair[1]) : undefined];
  }
}
