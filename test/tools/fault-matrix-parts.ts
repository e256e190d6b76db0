/** What the tests of the fault matrix share. */
import { WalError, type WalOptions, type WriteAheadLog } from '../../src/index.js';
import type { FaultyFileManager } from './faulty-file-manager.js';
import { RecordingManager, TestEnvironment, turns, type Storage } from './helpers.js';

/** One segment holds all that most tests write. */
export const ROOMY: WalOptions = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60 * 1024, bufferBytes: 4096 };

/** `resolved`, or the code of the error, and that of its cause if it has one. */
export function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'resolved', (error: unknown) => {
    if (!(error instanceof WalError)) return String(error);
    const { code } = (error.cause ?? {}) as { code?: string };
    return code === undefined ? error.code : `${error.code} ${code}`;
  });
}

/** A manager whose checkpoints fail: what is in the log stays in the log, and the log can be shut down all the same. */
export class KeepingManager extends RecordingManager {
  override onCheckpoint = (): void => {
    throw new Error('nothing is to leave this log');
  };
}

/** A log whose segments stay, with nothing going on in the background, on storage that can be made to fail. */
export async function openWithFaults(
  base: Storage, options: WalOptions = ROOMY,
): Promise<{ log: WriteAheadLog; faulty: FaultyFileManager; storage: Storage }> {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager(), options, environment: new TestEnvironment() });
  await turns();
  return { log, faulty, storage };
}
