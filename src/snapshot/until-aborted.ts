import { offAbort, onAbort } from '../base/abort.js';

/**
 * What `source` yields, until `signal` is aborted: then this throws its reason, even if the source never answers, and
 * the source is told to end.
 */
export async function* untilAborted<T>(
  source: AsyncIterable<T> | Iterable<T>, signal: AbortSignal | undefined,
): AsyncGenerator<T, void, void> {
  const iterator = iterate(source);
  if (signal === undefined) {
    yield* iterator;
    return;
  }
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
  });
  aborted.catch(() => undefined);
  onAbort(signal, abort);
  try {
    for (;;) {
      signal.throwIfAborted();
      const result = await Promise.race([iterator.next(), aborted]);
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    offAbort(signal, abort);
    // Not awaited: a source that does not answer may never do so.
    iterator.return().catch(() => undefined);
  }
}

/** A generator, whose `next` and `return` never throw but reject. */
async function* iterate<T>(source: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T, void, void> {
  yield* source;
}
