import { readdir } from 'node:fs/promises';
import { hasCode } from '../../base/errno.js';
import { NodeFileManager, WalError, type EntryId, type ReadOnlyLog } from '../../index.js';
import { topicOfMessage } from '../../topics/entry-format.js';
import { assertReaches, VERSION_INFO } from '../../topics/manager.js';
import { Registry } from '../../topics/registry.js';
import type { Run } from '../../topics/run.js';
import type { Slice } from '../../topics/run-format.js';
import { decodeState } from '../../topics/state-format.js';
import { isTopicsFile, TopicFiles } from '../../topics/topic-files.js';
import { count, size } from '../output.js';
import type { Damage } from './damage.js';

/** How often the files are looked at again that were replaced before they were read. */
const LOOKS = 100;
/** Read in one call. */
const BLOCK_BYTES = 1024 * 1024;

/** What topics keep beside their log. */
export interface TopicsFiles {
  readonly topics: number;
  readonly groups: number;
  readonly runs: readonly RunInfo[];
  readonly damage: readonly Damage[];
}

/** A file with messages that are not in the log any more. */
interface RunInfo {
  readonly name: string;
  readonly messages: number;
  readonly topics: number;
  readonly bytes: number;
}

/** Reads what topics keep beside the log that `reader` has open; undefined if it is no log of topics. */
export async function readTopicsFiles(directory: string, reader: ReadOnlyLog): Promise<TopicsFiles | undefined> {
  const isTheirs = reader.segments.some(({ versionInfo }) => VERSION_INFO.equals(versionInfo));
  if (!isTheirs && !(await readdir(directory)).some(isTopicsFile)) return undefined;
  const files = new TopicFiles(directory, new NodeFileManager());
  for (let look = 1; ; look++) {
    const state = await files.readState();
    const found = await readAll(files, state, reader.goneId);
    // The owner of the topics has replaced them meanwhile, and may have removed what was to be read.
    const isReplaced = (await files.readState())?.equals(state ?? Buffer.alloc(0)) === false;
    if (found.damage.length === 0 || !isReplaced || look === LOOKS) return found;
  }
}

/** What `inspect` and `verify` say of them. */
export function describeRuns({ runs }: TopicsFiles): string {
  const messages = runs.reduce((sum, run) => sum + run.messages, 0);
  const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
  return `${count(messages, 'message')} in ${count(runs.length, 'run')}, ${size(bytes)}`;
}

async function readAll(files: TopicFiles, state: Buffer | undefined, goneId: EntryId): Promise<TopicsFiles> {
  const registry = new Registry();
  const runs: RunInfo[] = [];
  const damage: Damage[] = [];
  let numbers: readonly number[] = [];
  try {
    const stored = state === undefined ? undefined : decodeState(state, 'topics-state', registry);
    assertReaches(stored?.checkpointedId ?? 0, goneId);
    numbers = stored?.runs ?? [];
  } catch (error) {
    damage.push(damageOf(error, 'which topics and groups there are, and what they have acknowledged, is lost'));
  }
  for (const number of numbers) {
    try {
      const run = await files.openRun(number);
      runs.push(infoOf(run));
      const message = `the index of ${run.name} is damaged`;
      if (run.isReindexed) damage.push({ message, lost: 'no message is lost: the next opening makes it again' });
      damage.push(...await damageIn(run, registry));
      await run.close();
    } catch (error) {
      damage.push(damageOf(error, 'its messages are lost'));
    }
  }
  return { topics: registry.topicCount, groups: registry.groupCount, runs, damage };
}

function infoOf(run: Run): RunInfo {
  let messages = 0;
  for (let i = 0; i < run.topics; i++) messages += run.sliceAt(i).count;
  return { name: run.name, messages, topics: run.topics, bytes: run.bytes };
}

/** Reads every message of a run. */
async function damageIn(run: Run, registry: Registry): Promise<Damage[]> {
  const damage: Damage[] = [];
  for (let i = 0; i < run.topics; i++) {
    const slice = run.sliceAt(i);
    const topic = registry.topicNumbered(slice.topic);
    const passed = { id: slice.firstId - 1, count: 0 };
    try {
      await readSlice(run, slice, passed);
    } catch (error) {
      const what = `messages ${passed.id + 1} to ${slice.lastId} of ${JSON.stringify(topic?.name)} are lost`;
      // What is left of a topic that has been deleted is wanted by nobody.
      damage.push(damageOf(error, topic === undefined ? 'no message is lost' : what));
    }
  }
  return damage;
}

async function readSlice(run: Run, slice: Slice, passed: { id: EntryId; count: number }): Promise<void> {
  for (let at = slice.offset; at < slice.offset + slice.bytes;) {
    const { messages, end } = await run.read(slice, at, BLOCK_BYTES);
    for (const { id, bytes } of messages) {
      const isExpected = id > passed.id && id <= slice.lastId && topicOfMessage(bytes) === slice.topic;
      if (!isExpected) throw new WalError('WAL_CORRUPT', `${run.name} has another message than its index says`);
      passed.id = id;
      passed.count++;
    }
    at = end;
  }
  if (passed.count === slice.count && passed.id === slice.lastId) return;
  throw new WalError('WAL_CORRUPT', `${run.name} has fewer messages than its index says`);
}

function damageOf(error: unknown, lost: string): Damage {
  if (!(error instanceof WalError) || !hasCode(error, 'WAL_CORRUPT', 'WAL_UNSUPPORTED_VERSION')) throw error;
  return { ...error.offset === undefined ? {} : { offset: error.offset }, message: error.message, lost };
}
