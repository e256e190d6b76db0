import fs from 'node:fs';

/** Not every file system reports changes. */
const LOOK_EVERY_MS = 1000;

/** Yields whenever something may have changed in a directory, at once for the first time, until interrupted. */
export async function* changes(directory: string): AsyncGenerator<void, void, void> {
  let isChanged = true;
  let isInterrupted = false;
  let wake = (): void => undefined;
  const changed = (): void => {
    isChanged = true;
    wake();
  };
  const watcher = fs.watch(directory, changed).on('error', () => undefined);
  const timer = setInterval(changed, LOOK_EVERY_MS);
  process.once('SIGINT', () => {
    isInterrupted = true;
    wake();
  });
  try {
    while (!isInterrupted) {
      if (!isChanged) await new Promise<void>((resolve) => (wake = resolve));
      isChanged = false;
      if (!isInterrupted) yield;
    }
  } finally {
    watcher.close();
    clearInterval(timer);
  }
}
