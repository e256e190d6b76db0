import type { EntryId } from '../../index.js';
import { DAMAGED, TORN } from '../command.js';
import { copiedTo, type Copied } from '../copy.js';
import type { FoundLog } from '../found-log.js';
import { FORMAT_0_NOTE } from './gaps.js';
import { HOLDS_DAMAGE, readHolds } from './stored-holds.js';
import { count, print, printJson } from '../output.js';

/** Something that is missing from a copy. */
interface LeftOut {
  readonly message: string;
  /** The first and the last entry of it, where they are known. */
  readonly fromId?: EntryId;
  readonly toId?: EntryId;
}

const ALL_GONE = 'every entry was checkpointed before it could be copied: nothing was created';

/** Says what was copied to `to`, and what was not. Returns the exit status. */
export async function printCopied(
  log: FoundLog, directory: string, { to, copied, isJson }: { to: string; copied: Copied; isJson: boolean },
): Promise<number> {
  const holds = await readHolds(directory);
  const leftOut: LeftOut[] = [...entriesLeftOut(log), ...holdsLeftOut(holds, log)];
  const notes = log.hasFormat0 ? [FORMAT_0_NOTE] : [];
  if (isJson) {
    await printJson({ ...copied, leftOut, notes });
  } else {
    for (const { message } of leftOut) await print(`left out: ${message}`);
    for (const text of notes) await print(`note: ${text}`);
    await print(log.isAllGone ? ALL_GONE : copiedTo(to, copied));
  }
  if (log.damage.length > 0 || holds === 'damaged') return DAMAGED;
  return log.gaps.length > 0 ? TORN : 0;
}

function entriesLeftOut(log: FoundLog): LeftOut[] {
  const { tornBytes } = log.reader;
  const damaged = log.damage.map(({ message, lost, fromId, toId }) => ({
    message: `${message}; ${lost}`, ...fromId === undefined ? {} : { fromId }, ...toId === undefined ? {} : { toId },
  }));
  const torn = { message: `${count(tornBytes, 'byte')} at the end, of an entry ${log.whyTorn}` };
  const { goneId } = log;
  const gone = { message: `entries up to ${goneId}, which were checkpointed while being copied` };
  return [...goneId === undefined ? [] : [gone], ...damaged, ...log.gaps, ...tornBytes > 0 ? [torn] : []];
}

/** The new log has neither holds nor the mark up to which the old one is checkpointed. */
function holdsLeftOut(holds: Awaited<ReturnType<typeof readHolds>>, { contents }: FoundLog): LeftOut[] {
  if (holds === undefined) return [];
  if (holds === 'damaged') return [{ message: `${HOLDS_DAMAGE}; every entry is handed over again` }];
  const names = holds.holds.map(({ name }) => name);
  const what = names.length === 0 ? [] : [`the ${names.length === 1 ? 'hold' : 'holds'} ${names.join(', ')}`];
  const [oldest] = contents.values();
  const isRepeated = oldest !== undefined && oldest.firstId <= holds.checkpointedId;
  if (isRepeated) {
    if (what.length === 0) what.push('the mark of what is checkpointed');
    what.push(`entries up to ${holds.checkpointedId} are handed over again`);
  }
  return what.length === 0 ? [] : [{ message: what.join('; ') }];
}
