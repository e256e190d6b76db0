import type { FileManager } from '../../files/file-manager.js';

/** Makes names durable. Callers that come while a sync runs share the next one. */
export class DirectorySync {
  readonly #fileManager: FileManager;
  readonly #directory: string;
  readonly #onFailed: (cause: unknown) => void;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `onFailed` hears of a failed sync before the callers do: nobody can know any more which names are on the disk. */
  constructor(fileManager: FileManager, directory: string, onFailed: (cause: unknown) => void) {
    this.#fileManager = fileManager;
    this.#directory = directory;
    this.#onFailed = onFailed;
  }

  /** Resolves when every change of names that had resolved before the call is durable. */
  sync(): Promise<void> {
    if (this.#running === undefined) return this.#run();
    // The sync that runs may have looked at the directory already, so it is not enough.
    this.#next ??= this.#running.catch(() => undefined).then(() => this.#run());
    return this.#next;
  }

  #run(): Promise<void> {
    this.#next = undefined;
    const running: Promise<void> = this.#fileManager.syncDirectory(this.#directory).then(
      () => this.#settle(running),
      (error: unknown) => {
        this.#settle(running);
        this.#onFailed(error);
        throw error;
      },
    );
    this.#running = running;
    return running;
  }

  #settle(running: Promise<void>): void {
    if (this.#running === running) this.#running = undefined;
  }
}
