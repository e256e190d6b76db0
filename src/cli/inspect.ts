import type { EntryId, SegmentInfo } from '../index.js';
import { JSON_OPTION, type Arguments, type Command } from './command.js';
import { readable } from './entry-lines.js';
import { FoundLog, lostEntries } from './found-log.js';
import { readHolds } from './holds.js';
import { count, list, print, printJson, size, table } from './output.js';
import { ownerOf } from './owner.js';

/** What a segment holds. */
interface Content {
  entries: number;
  /** The first and the last. */
  readonly ids: [EntryId, EntryId];
}

export const inspect: Command = {
  name: 'inspect',
  summary: 'show what a log consists of: segments, entries, torn tail, owner',
  options: { json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const log = await FoundLog.open(args.directory);
    const { reader } = log;
    const contents = await contentsOf(log);
    const segments = reader.segments.map((info) => ({ ...info, ...contents.get(info.segmentId) }));
    const { segmentId, offset } = reader.end;
    const { lastId, provenId, tornBytes, isRepairPending, spares } = reader;
    const owner = await ownerOf(args.directory);
    const holds = await readHolds(args.directory);
    const damage = log.damage.map((found) => ({ message: found.error.message, lost: lostEntries(found, lastId) }));
    await reader.close();
    if (args.has('json')) {
      const end = { segmentId, offset };
      await printJson({ segments, spares, end, lastId, provenId, tornBytes, isRepairPending, owner, holds, damage });
      return 0;
    }
    for (const line of segmentTable(segments)) await print(line);
    await print();
    const tornTail = tornBytes === 0 ? 'no torn tail' : `torn tail of ${count(tornBytes, 'byte')}`;
    for (const line of list([
      ['end', `offset ${offset} of segment ${segmentId}, ${tornTail}`],
      ['ids', `up to ${lastId}; proven durable up to ${provenId}`],
      ['spare files', spares.length === 0 ? 'none' : spares.join(' ')],
      ['owner', owner],
      ...holdLines(holds),
      ...isRepairPending ? [['repair', 'interrupted or going on: the next recovery finishes it'] as const] : [],
      ...damage.map(({ message, lost }) => ['damage', `${message}; ${lost}`] as const),
    ])) await print(line);
    return 0;
  },
};

function holdLines(holds: Awaited<ReturnType<typeof readHolds>>): [string, string][] {
  if (holds === undefined) return [];
  if (holds === 'damaged') return [['holds', 'damaged']];
  const kept = holds.holds.map(({ name, from, maxBytes, isBroken }): [string, string] => {
    const what = `from ${from}, at most ${size(maxBytes)}`;
    return ['hold', `${name} ${isBroken ? 'has kept too much, and keeps nothing' : what}`];
  });
  return [['checkpointed', `up to ${holds.checkpointedId}`], ...kept];
}

function segmentTable(segments: readonly (SegmentInfo & Partial<Content>)[]): string[] {
  const head = ['file', '>format', 'state', '>entries', '>ids', '>used', '>size', 'version info'];
  return table(head, segments.map((segment) => {
    const { name, formatVersion, state, entries = 0, ids, end, size: length, versionInfo } = segment;
    const range = ids === undefined ? '' : ids.join(' to ');
    const info = versionInfo.length === 0 ? '' : readable(versionInfo);
    return [name, formatVersion, state, entries, range, size(end), size(length), info];
  }));
}

async function contentsOf(log: FoundLog): Promise<Map<number, Content>> {
  const contents = new Map<number, Content>();
  for await (const { id, segment } of log.entries()) {
    const content = contents.get(segment.segmentId) ?? { entries: 0, ids: [id, id] };
    content.entries++;
    content.ids[1] = id;
    contents.set(segment.segmentId, content);
  }
  return contents;
}
