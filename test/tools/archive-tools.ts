/** Small tools that the tests of archives share. */
import { afterEach } from 'node:test';
import { Archive, type ArchiveOptions } from '../../src/archive/index.js';
import { LogVoid, MemoryFileManager, WriteAheadLog, type WalOptions } from '../../src/index.js';
import { entriesIn } from './archived-entries.js';
import type { FaultyStore } from './faulty-store.js';
import { SMALL } from './helpers.js';
import { ManualEnvironment } from './manual-environment.js';

export const OPTIONS: ArchiveOptions = { prefix: 'a', everyMs: 0 };
export const IDENTITY = '00000000-0000-4000-8000-000000000001';

export const opened: { close?(): Promise<void>; shutdown?(): Promise<void> }[] = [];
afterEach(async () => {
  for (const closing of opened.splice(0).reverse()) await (closing.close?.() ?? closing.shutdown?.());
});

export interface Beginning {
  readonly identity?: string;
  readonly options?: WalOptions;
  readonly entries?: readonly string[];
}

/** A log in memory, with an identity of its own unless told otherwise. */
export async function newLog({ identity = IDENTITY, options = {}, entries = [] }: Beginning = {}): Promise<WriteAheadLog> {
  const all = { ...SMALL, fileManager: new MemoryFileManager(), ...options, identity };
  const log = await WriteAheadLog.create('/log', LogVoid, all);
  opened.push(log);
  for (const data of entries) await log.append(data);
  return log;
}

export interface ManualArchive {
  readonly archive: Archive;
  readonly environment: ManualEnvironment;
}

/** An archive whose time stands still. */
export async function openArchive(
  log: WriteAheadLog, store: FaultyStore, options: Partial<ArchiveOptions> = {},
): Promise<ManualArchive> {
  const environment = new ManualEnvironment();
  const archive = await Archive.openWith(environment, log, store, { ...OPTIONS, ...options });
  opened.push({ close: () => closed(archive, environment) });
  return { archive, environment };
}

/** An archive that has been stopped while it creates the slot of an entry, until `goOn` is called. */
export async function stoppedArchive(store: FaultyStore): Promise<{ archive: Archive; goOn(this: void): void }> {
  const log = await newLog();
  const { archive } = await openArchive(log, store);
  let goOn = (): void => undefined;
  store.before = async ({ operation }) => {
    if (operation === 'create') await new Promise<void>((resolve) => (goOn = resolve));
  };
  await log.append('of the first');
  await settled();
  store.before = () => undefined;
  return { archive, goOn };
}

/** Closes an archive whose store may not answer any more. */
async function closed(archive: Archive, environment: ManualEnvironment): Promise<void> {
  let isClosed = false;
  void archive.close().then(() => (isClosed = true));
  for (let i = 0; i < 10 && !isClosed; i++) {
    environment.advance(60_000);
    await settled();
  }
}

/** Resolves when everything that can happen without time passing has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export async function textsIn(store: FaultyStore): Promise<string[]> {
  return (await entriesIn(store, 'a')).map(({ id, chunks }) => `${id} ${chunks.join('|')}`);
}

export function hanging(): Promise<void> {
  return new Promise(() => undefined);
}
