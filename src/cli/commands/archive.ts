import { open } from 'node:fs/promises';
import { Archive, ArchiveReader, type ArchiveProgress, type SnapshotInfo } from '../../archive/index.js';
import { WriteAheadLog, type EntryId } from '../../index.js';
import { DAMAGED, JSON_OPTION, UsageError, type Arguments, type Command } from '../command.js';
import { keepAll } from '../copy.js';
import { findStore, STORE_DETAILS, STORE_OPTIONS, type FoundStore } from '../found-store.js';
import { withInterrupts } from '../interrupts.js';
import { count, list, noteRemark, print, printJson, Progress, size, table } from '../output.js';

export const archiveInspect: Command = {
  name: 'archive inspect',
  summary: 'show what an archive holds: entries, writers, snapshots',
  details: STORE_DETAILS,
  operand: 'none',
  options: { ...STORE_OPTIONS, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const { store, prefix } = await findStore(args);
    const { logId, range, epochs, snapshots: stored } = await ArchiveReader.open(store, { prefix });
    const snapshots = stored.map(({ lastId, time }) => ({ lastId, time }));
    if (args.has('json')) {
      await printJson({ prefix, logId, range, epochs, snapshots });
      return 0;
    }
    const rows = epochs.map(({ epoch, firstId, time, writer }) => [epoch, firstId, time.toISOString(), writer]);
    for (const line of table(['>epoch', '>from', 'begun', 'writer'], rows)) await print(line);
    await print();
    const { firstId, lastId, time } = range;
    const entries = lastId < firstId ? `none; the next one is ${firstId}` : `${firstId} to ${lastId}`;
    const lines: [string, string][] = [
      ['log', logId], ['entries', `${entries}, as of ${time.toISOString()}`],
      ...snapshots.map((each): [string, string] => ['snapshot', `up to ${each.lastId}, ${each.time.toISOString()}`]),
    ];
    for (const line of list(lines)) await print(line);
    return 0;
  },
};

export const archiveVerify: Command = {
  name: 'archive verify',
  summary: 'read all of an archive, and check every hash and the order',
  details: `Exit status: 0 if it is sound, 2 if anything is damaged or missing.\n${STORE_DETAILS}`,
  operand: 'none',
  options: { ...STORE_OPTIONS, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const { store, prefix } = await findStore(args);
    const reader = await ArchiveReader.open(store, { prefix });
    const report = await withProgress((signal, onProgress) => reader.verify({ signal, onProgress }));
    const { problems, entries, bytes, slots, snapshots } = report;
    if (args.has('json')) await printJson(report);
    else {
      for (const { message } of problems) await print(`damaged: ${message}`);
      const what = `${count(entries, 'entry', 'entries')}, ${size(bytes)}, in ${count(slots, 'slot')}`;
      const state = problems.length === 0 ? 'sound' : 'damaged; what is whole';
      await print(`${state}: ${what}; ${count(snapshots, 'snapshot')}`);
    }
    return problems.length === 0 ? 0 : DAMAGED;
  },
};

export const archiveRestore: Command = {
  name: 'archive restore',
  summary: 'make a log of the entries in an archive',
  details: 'NEWDIR gets its name once the log in it is complete.\n'
    + 'The log begins after the newest snapshot up to the end, which --snapshot stores.\n'
    + STORE_DETAILS,
  operand: 'NEWDIR',
  options: {
    ...STORE_OPTIONS,
    to: { type: 'string', value: 'END', help: 'the last entry: an id, or a time as 2027-01-31T12:00Z' },
    snapshot: { type: 'string', value: 'FILE', help: 'a new file for the snapshot that the log continues' },
    json: JSON_OPTION,
  },
  async run(args: Arguments): Promise<number> {
    const to = endOf(args);
    const { store, prefix } = await findStore(args);
    const reader = await ArchiveReader.open(store, { prefix });
    const { lastId, snapshot } = await withProgress((signal, onProgress) => {
      return reader.restore(args.directory, { signal, onProgress, ...to !== undefined && { to } });
    });
    const file = args.text('snapshot');
    if (snapshot !== undefined && file !== undefined) await storeSnapshot(snapshot, file);
    const shown = snapshot && { lastId: snapshot.lastId, time: snapshot.time };
    if (args.has('json')) await printJson({ lastId, snapshot: shown });
    else await print(`the log in ${args.directory} ends with entry ${lastId}`);
    if (snapshot !== undefined) {
      const where = file === undefined ? '--snapshot stores it' : `it is in ${file}`;
      noteRemark(args.has('json'), `the log continues the snapshot up to entry ${snapshot.lastId}: ${where}`);
    }
    return 0;
  },
};

export const archiveShip: Command = {
  name: 'archive ship',
  summary: 'take an archive over, and ship what a closed log has',
  details: 'For the last entries of a log whose program has ended. It opens the log, and\n'
    + 'checkpoints nothing. The writer before it archives nothing more.\n'
    + STORE_DETAILS,
  options: { ...STORE_OPTIONS, json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const { store, prefix } = await findStore(args, args.text('prefix') !== undefined);
    const log = await WriteAheadLog.recover(args.directory, keepAll, { mustExist: true });
    try {
      const { epoch, lastId } = await withProgress((...parameters) => ship(log, { store, prefix }, ...parameters));
      if (args.has('json')) await printJson({ epoch, lastId });
      else await print(`the archive has the entries up to ${lastId}; this was its epoch ${epoch}`);
    } finally {
      await log.shutdown();
    }
    return 0;
  },
};

type OnProgress = (progress: ArchiveProgress) => void;

async function ship(
  log: WriteAheadLog, { store, prefix }: FoundStore, signal: AbortSignal, onProgress: OnProgress,
): Promise<{ epoch: number; lastId: EntryId }> {
  const archive = await Archive.open(log, store, { prefix, everyMs: 0 });
  try {
    const [firstId, toId] = [archive.archivedId + 1, log.durableId];
    const timer = setInterval(() => onProgress({ firstId, lastId: archive.archivedId, toId }), 100);
    try {
      await archive.archived(toId, { signal });
    } finally {
      clearInterval(timer);
    }
    return { epoch: archive.epoch, lastId: archive.archivedId };
  } finally {
    await archive.close();
  }
}

/** Shows a bar, and ends early when the process is asked to. */
async function withProgress<T>(use: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>): Promise<T> {
  const progress = new Progress();
  try {
    return await withInterrupts((signal) => use(signal, ({ firstId, lastId, toId }) => {
      const total = Math.max(0, toId - firstId + 1);
      progress.update(lastId - firstId + 1, total, count(total, 'entry', 'entries'));
    }));
  } finally {
    progress.end();
  }
}

function endOf(args: Arguments): EntryId | Date | undefined {
  const text = args.text('to');
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return args.number('to');
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new UsageError(`--to takes an id or a time, not ${text}`);
  return time;
}

async function storeSnapshot(snapshot: SnapshotInfo, name: string): Promise<void> {
  const file = await open(name, 'wx');
  try {
    for await (const bytes of snapshot) await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}
