import { FORMAT_VERSION } from '../../format/segment-format.js';
import type { EntryId } from '../../index.js';
import { JSON_OPTION, type Arguments, type Command } from '../command.js';
import type { Content } from '../report/content.js';
import { readable } from '../report/chunk-text.js';
import { FoundLog } from '../found-log.js';
import { readIdentity } from '../report/stored-identity.js';
import { readHolds } from '../report/stored-holds.js';
import { emptyNotes, sortIdle } from '../report/idle-files.js';
import { count, list, print, printJson, size, table } from '../output.js';
import { ownerOf } from '../report/opened-by.js';
import { describeRuns, readTopicsFiles } from '../report/topics-files.js';

const PENDING = 'a recovery is rewriting the tail, or was interrupted in that: the next one finishes it';

export const inspect: Command = {
  name: 'inspect',
  summary: 'show what a log consists of: segments, entries, tail, owner',
  options: { json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const log = await FoundLog.open(args.directory);
    await log.survey();
    const found = await look(log, args.directory);
    await log.reader.close();
    if (args.has('json')) {
      const { idle, ...rest } = found;
      await printJson({ ...rest, ...idle });
      return 0;
    }
    for (const line of segmentTable(found.segments)) await print(line);
    await print();
    for (const line of list(remarks(found))) await print(line);
    return 0;
  },
};

type Found = Awaited<ReturnType<typeof look>>;

/** What there is to show of a log that has been read. */
async function look(log: FoundLog, directory: string) {
  const { reader, gaps } = log;
  const { segmentId, offset } = reader.end;
  const { lastId, provenId, tornBytes, isRepairPending, spares } = reader;
  const identity = await readIdentity(reader);
  const segments = log.segments.map((info) => ({ ...info, ...describeContent(log.contents.get(info.segmentId)) }));
  const owner = await ownerOf(directory);
  const holds = await readHolds(directory);
  const topicsFiles = await readTopicsFiles(directory, reader);
  const damage = [...log.damage, ...topicsFiles?.damage ?? []];
  const idle = await sortIdle(directory, spares, damage);
  const notes = [...emptyNotes(idle, []), ...log.notes];
  const end = { segmentId, offset };
  const state = { identity, end, lastId, provenId, tornBytes, isRepairPending, owner, holds, topicsFiles };
  return { segments, idle, ...state, damage, gaps, notes };
}

/** What stands below the table, each with its heading. */
function remarks(found: Found): [string, string][] {
  const { segments, end: { segmentId, offset }, lastId, provenId, tornBytes, idle, damage, gaps, notes } = found;
  const tornTail = tornBytes === 0 ? 'no torn tail' : `torn tail of ${count(tornBytes, 'byte')}`;
  // Nothing in format 0 says what was durable.
  const proven = segments.at(-1)?.formatVersion === 0 ? '' : `; proven durable up to ${provenId}`;
  return [
    ['end', `offset ${offset} of segment ${segmentId}, ${tornTail}`],
    ['ids', `up to ${lastId}${proven}`],
    ['spare files', idle.spares.length === 0 ? 'none' : idle.spares.join(' ')],
    ...idle.unreadable.length === 0 ? [] : [['unreadable', idle.unreadable.join(' ')] as [string, string]],
    ...found.identity === undefined ? [] : [['identity', found.identity] as [string, string]],
    ['owner', found.owner],
    ...holdLines(found.holds),
    ...topicsLines(found.topicsFiles),
    ...found.isRepairPending ? [['recovery', PENDING] as [string, string]] : [],
    ...damage.map(({ message, lost }): [string, string] => ['damage', `${message}; ${lost}`]),
    ...gaps.map(({ message }): [string, string] => ['gap', message]),
    ...notes.map((text): [string, string] => ['note', text]),
  ];
}

function holdLines(holds: Awaited<ReturnType<typeof readHolds>>): [string, string][] {
  if (holds === undefined) return [];
  if (holds === 'damaged') return [['holds', 'damaged']];
  const kept = holds.holds.map(({ name, from, maxBytes, isBroken }): [string, string] => {
    const what = `from ${from}, at most ${size(maxBytes)}`;
    return ['hold', `${name} ${isBroken ? 'kept more than it may, and keeps nothing now' : what}`];
  });
  return [['checkpointed', `up to ${holds.checkpointedId}`], ...kept];
}

function topicsLines(files: Found['topicsFiles']): [string, string][] {
  if (files === undefined) return [];
  const { topics, groups } = files;
  return [['topics', `${count(topics, 'topic')}, ${count(groups, 'group')}; ${describeRuns(files)}`]];
}

/** Formats and version infos have their columns only where there is something to tell apart. */
function segmentTable(segments: Found['segments']): string[] {
  const hasFormats = segments.some(({ formatVersion }) => formatVersion !== FORMAT_VERSION);
  const hasInfos = segments.some(({ versionInfo }) => versionInfo.length > 0);
  const head = ['file', ...hasFormats ? ['>format'] : [], 'state', '>entries', '>ids', '>used', '>size'];
  if (hasInfos) head.push('version info');
  return table(head, segments.map((segment) => {
    const { name, formatVersion, state, entries = 0, ids, end, size: length, versionInfo } = segment;
    const range = ids === undefined ? '' : ids.join(' to ');
    const format = hasFormats ? [formatVersion] : [];
    const info = hasInfos ? [versionInfo.length === 0 ? '' : readable(versionInfo)] : [];
    return [name, ...format, state, entries, range, size(end), size(length), ...info];
  }));
}

/** How many entries a segment holds, and its first and last id. */
function describeContent(content: Content | undefined): { entries?: number; ids?: [EntryId, EntryId] } {
  return content === undefined ? {} : { entries: content.entries, ids: [content.firstId, content.lastId] };
}
