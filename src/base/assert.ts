import { AssertionError } from 'node:assert';

/** Throws an AssertionError if an invariant of the library is broken: a bug here, never a caller's mistake. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError({ message, stackStartFn: assert });
}
