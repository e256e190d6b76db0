/** Whether the system reported one of `codes`, such as `ENOENT`. False for anything that is no such error. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
  return code !== undefined && codes.includes(code);
}
