/** Makes a call of the log's own code throw, as one does when no memory or no stack is left, or for a fault in it. */
type Prototype = Record<string, unknown>;
type Method = (this: unknown, ...args: unknown[]) => unknown;

/** The names of the methods of `prototype` that can throw: one that is asynchronous rejects. */
export function methodsOf(prototype: object): string[] {
  return Object.entries(Object.getOwnPropertyDescriptors(prototype)).flatMap(([name, { value }]) => (
    typeof value === 'function' && name !== 'constructor' && !/^async\b/.test(String(value)) ? [name] : []
  ));
}

/** Counts the calls of a method, and lets one of them throw `error`, before or after what it does. */
export class ThrowingCall implements Disposable {
  readonly error = new Error('thrown by a test');
  /** How many calls there were while it was armed. */
  calls = 0;
  isArmed = false;
  readonly #restore: () => void;

  /** The `at`th call is to throw; none if that is 0. */
  constructor(prototype: object, name: string, at: number, isAfter: boolean) {
    const owner = prototype as Prototype;
    const method = owner[name] as Method;
    const { error } = this;
    const isHit = (): boolean => this.isArmed && ++this.calls === at;
    owner[name] = function call(this: unknown, ...args: unknown[]): unknown {
      const isThrowing = isHit();
      if (isThrowing && !isAfter) throw error;
      const result = method.apply(this, args);
      if (isThrowing) throw error;
      return result;
    };
    this.#restore = () => (owner[name] = method);
  }

  [Symbol.dispose](): void {
    this.#restore();
  }
}
