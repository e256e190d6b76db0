import assert from 'node:assert/strict';
import { inspect, isDeepStrictEqual } from 'node:util';

/** As much of the assertions of `assume` as liferaft's tests use: `assume(2).is.not.above(3)`. */
export class Assumption {
  readonly #value: unknown;
  #isNegated = false;
  #isDeep = false;

  constructor(value: unknown) {
    this.#value = value;
  }

  get not(): this {
    this.#isNegated = true;
    return this;
  }

  get deep(): this {
    this.#isDeep = true;
    return this;
  }

  get is(): this { return this; }
  get be(): this { return this; }
  get to(): this { return this; }
  get does(): this { return this; }

  equals(other: unknown): void {
    this.#check(this.#isDeep ? isDeepStrictEqual(this.#value, other) : this.#value === other, 'equal', other);
  }

  equal(other: unknown): void { this.equals(other); }
  true(): void { this.equals(true); }
  false(): void { this.equals(false); }
  a(type: string): void { this.#check(typeof this.#value === type, 'be a', type); }
  above(least: number): void { this.#check(this.#size > least, 'be above', least); }
  least(least: number): void { this.#check(this.#size >= least, 'be at least', least); }
  most(most: number): void { this.#check(this.#size <= most, 'be at most', most); }
  includes(part: string): void { this.#check((this.#value as string).includes(part), 'include', part); }

  throws(message: string): void {
    assert.throws(this.#value as () => unknown, (error) => String(error).includes(message));
  }

  instanceOf(type: new () => object): void {
    this.#check(this.#value instanceof type, 'be an instance of', type);
  }

  /** The number, or the length of what is none. */
  get #size(): number {
    return typeof this.#value === 'number' ? this.#value : (this.#value as { length: number }).length;
  }

  #check(holds: boolean, what: string, other: unknown): void {
    assert.ok(holds !== this.#isNegated, `${inspect(this.#value)} is${this.#isNegated ? ' not' : ''} to ${what} ${inspect(other)}`);
  }
}
