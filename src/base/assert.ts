import { AssertionError } from 'node:assert';

/** Throws an AssertionError if an invariant of the library is broken: a bug here, never a caller's mistake. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError({ message, stackStartFn: assert });
}

/**
 * Throws a TypeError unless `isInternal`, for the constructor of a class whose instances users only get from `source`:
 * TypeScript hides such a constructor, JavaScript does not.
 */
export function assertInternal(isInternal: boolean, className: string, source: string): void {
  if (!isInternal) throw new TypeError(`${className} cannot be constructed: it comes from ${source}`);
}
