/** The code of an error that has one: the system's, such as `ENOENT`, or the log's own. */
export function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null | undefined)?.code;
}

/** Whether `error` has one of `codes`. False for anything that has none. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(errnoOf(error) ?? '');
}
