const INTERRUPTS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Calls `use` with a signal that is aborted when the process is asked to end, so that it can clean up first. */
export async function withInterrupts<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const aborter = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => aborter.abort(new Error(`interrupted by ${signal}`));
  for (const signal of INTERRUPTS) process.on(signal, interrupt);
  try {
    return await use(aborter.signal);
  } finally {
    for (const signal of INTERRUPTS) process.off(signal, interrupt);
  }
}
