import { DAMAGED, JSON_OPTION, TORN, type Arguments, type Command } from '../command.js';
import type { Damage } from '../report/damage.js';
import { FoundLog } from '../found-log.js';
import type { Gap } from '../report/gaps.js';
import { HOLDS_DAMAGE, readHolds } from '../report/stored-holds.js';
import { IDENTITY_DAMAGE, readIdentity } from '../report/stored-identity.js';
import { emptyNotes, sortIdle } from '../report/idle-files.js';
import { describeRuns, readTopicsFiles, type TopicsFiles } from '../report/topics-files.js';
import { count, print, printJson, size } from '../output.js';

/** What reading all of a log has shown. */
interface Verdict {
  readonly state: keyof typeof STATUS;
  readonly entries: number;
  readonly segments: number;
  readonly bytes: number;
  readonly identity: string | undefined;
  readonly damage: readonly Damage[];
  readonly gaps: readonly Gap[];
  readonly notes: readonly string[];
  /** What topics keep beside the log, if it is one of theirs. */
  readonly topicsFiles: TopicsFiles | undefined;
}

const NOTHING_LOST = 'no entry is lost';

const STATUS = { sound: 0, readable: 0, unclear: TORN, torn: TORN, damaged: DAMAGED };

export const verify: Command = {
  name: 'verify',
  summary: 'check every checksum and chain of a log',
  details: 'Exit status: 0 if it is sound, 1 if it has a torn tail, 2 if it is damaged.\n'
    + 'Segments of format 0, the predecessor\'s, have no chain: a log with one is at\n'
    + 'best readable (0). Where ids are missing between them, it is unclear (1) whether\n'
    + 'entries are lost.\n'
    + 'In a log that is being written, an entry on its way looks like a torn tail.\n'
    + 'Segments that are checkpointed meanwhile are not counted; a note says so.',
  options: { json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const log = await FoundLog.open(args.directory);
    await log.survey();
    const { lastId, tornBytes, end: { segmentId, offset } } = log.reader;
    const verdict = await judge(log, args.directory);
    await log.reader.close();
    if (args.has('json')) {
      await printJson({ ...verdict, lastId, tornBytes, end: { segmentId, offset } });
    } else {
      for (const { message, lost } of verdict.damage) await print(`damaged: ${message}; ${lost}`);
      for (const { message } of verdict.gaps) await print(`unclear: ${message}`);
      const torn = `${count(tornBytes, 'byte')} of an entry ${log.whyTorn}`;
      if (tornBytes > 0) await print(`torn: ${torn}, at offset ${offset} of segment ${segmentId}`);
      for (const text of verdict.notes) await print(`note: ${text}`);
      if (verdict.identity !== undefined) await print(`identity: ${verdict.identity}`);
      await print(summary(verdict));
    }
    return STATUS[verdict.state];
  },
};

async function judge(log: FoundLog, directory: string): Promise<Verdict> {
  const { gaps, segments, reader: { spares, tornBytes } } = log;
  const damage = [...log.damage];
  const identity = await readIdentity(log.reader);
  if ((await readHolds(directory)) === 'damaged') damage.push({ message: HOLDS_DAMAGE, lost: NOTHING_LOST });
  if (identity === 'damaged') damage.push({ message: IDENTITY_DAMAGE, lost: NOTHING_LOST });
  const topicsFiles = await readTopicsFiles(directory, log.reader);
  damage.push(...topicsFiles?.damage ?? []);
  const notes = [...emptyNotes(await sortIdle(directory, spares, damage), damage), ...log.notes];
  const state = damage.length > 0 ? 'damaged' : tornBytes > 0 ? 'torn' : gaps.length > 0 ? 'unclear'
    : log.hasFormat0 ? 'readable' : 'sound';
  const entries = [...log.contents.values()].reduce((sum, content) => sum + content.entries, 0);
  const bytes = segments.reduce((sum, { end }) => sum + end, 0);
  return { state, entries, segments: segments.length, bytes, identity, damage, gaps, notes, topicsFiles };
}

function summary({ state, entries, segments, bytes, topicsFiles }: Verdict): string {
  const beside = topicsFiles === undefined ? '' : `; ${describeRuns(topicsFiles)}`;
  const where = `${count(segments, 'segment')}, ${size(bytes)}${beside}`;
  if (STATUS[state] === 0) return `${state}: ${count(entries, 'whole entry', 'whole entries')} in ${where}`;
  return `${state}; ${count(entries, 'entry is', 'entries are')} whole, in ${where}`;
}
