import type { DirectoryLock } from './file-manager.js';

export async function lockDirectory(_directory: string, _onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
  return { release: async () => undefined };
}
