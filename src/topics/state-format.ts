/**
 * The state file says what there is besides messages: topics, groups, where they are, and which runs there are. It is
 * replaced at every checkpoint. From its beginning:
 *
 *     header  "sws", version 1, length of the body (u64), CRC-32 of the body (u32)
 *     body    checkpointed id, applied id, next numbers of a topic and a group
 *             count, (number of a run)…
 *             count, (number, name, retention, floor, last id)…                  topics
 *             count, (topic, name, settings, acks, attempts, lag, its bytes, counted)…   groups
 *
 * Numbers and texts are as in `codec.ts`, acks and attempts as in `entry-format.ts`. Messages up to the checkpointed
 * id are in the runs as far as they are wanted. Entries up to the applied id have no more to say but messages. Of later
 * ones some may have been heeded when a topic or group was written: to apply them again changes nothing, since the lag
 * of a group says how far behind the applied id messages are counted in it.
 */
import { readU64, writeU32, writeU64 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { TurnBudget } from '../base/turns.js';
import { WalError, type EntryId } from '../index.js';
import { ByteReader, ByteWriter } from './codec.js';
import { readMarks, readRetention, readSettings, writeMarks, writeRetention, writeSettings } from './entry-format.js';
import type { Marks } from './entry-format.js';
import type { Registry } from './registry.js';
import { GroupState, IdsAbove, TopicState } from './state.js';

const MAGIC = Buffer.from('sws');
const STATE_VERSION = 1;
const HEADER_LENGTH = 16;
/** What an id that is acknowledged costs, beside the bytes that are copied in a turn. */
const MARK_COST = 256;

/** What is stored beside topics and groups. */
export interface Stored {
  readonly checkpointedId: EntryId;
  readonly appliedId: EntryId;
  readonly runs: readonly number[];
}

/**
 * Encodes the state in turns of the event loop, since there may be very many topics. Entries may be applied meanwhile,
 * up to `appliedNow()`.
 */
export async function encodeState(
  registry: Registry, { checkpointedId, appliedId, runs }: Stored, appliedNow: () => EntryId,
): Promise<Uint8Array[]> {
  // Those there are now: others follow from entries above the applied id, and so does the end of these.
  const [topics, groups] = [[...registry.topics()], [...registry.groups()]];
  const turn = new TurnBudget();
  const writer = new ByteWriter(64 * 1024);
  writer.number(checkpointedId).number(appliedId).number(registry.nextTopic).number(registry.nextGroup);
  writer.number(runs.length);
  for (const run of runs) writer.number(run);
  writer.number(topics.length);
  for (const { number, name, retain, floor, lastId } of topics) {
    writeRetention(writer.number(number).text(name), retain).number(floor).number(lastId);
    if (turn.spend(name.length)) await turn.nextTurn();
  }
  writer.number(groups.length);
  for (const group of groups) {
    writeGroup(writer, group, appliedNow() - appliedId);
    const marks = (group.acked?.size ?? 0) + (group.attempts?.size ?? 0);
    if (turn.spend(MARK_COST * marks)) await turn.nextTurn();
  }
  const body = writer.finish();
  const header = Buffer.alloc(HEADER_LENGTH);
  header.set(MAGIC);
  header[3] = STATE_VERSION;
  writeU64(header, body.length, 4);
  writeU32(header, crc32(body), 12);
  return [header, body];
}

function writeGroup(writer: ByteWriter, group: GroupState, counted: number): void {
  const { topic, name, settings, lagMessages, lagBytes } = group;
  writeSettings(writer.number(topic.number).text(name), settings);
  writeMarks(writer, marksOf(group, group.acked));
  writeMarks(writer, marksOf(group, group.attempts));
  writer.number(lagMessages).number(Math.max(0, lagBytes)).number(counted);
}

function marksOf({ number, cursor }: GroupState, ids: IdsAbove | undefined): Marks {
  return { group: number, cursor, ...(ids?.above(cursor) ?? { ids: [], values: [] }) };
}

/** Puts topics and groups into `registry`. Throws `WAL_CORRUPT` or `WAL_UNSUPPORTED_VERSION`, naming the file. */
export function decodeState(bytes: Buffer, name: string, registry: Registry): Stored {
  const isState = bytes.length >= HEADER_LENGTH && bytes.subarray(0, 3).equals(MAGIC);
  if (isState && bytes[3] !== STATE_VERSION) {
    throw new WalError('WAL_UNSUPPORTED_VERSION', `${name} has version ${bytes[3]}`);
  }
  const body = bytes.subarray(HEADER_LENGTH);
  if (!isState || readU64(bytes, 4) !== body.length || bytes.readUInt32LE(12) !== crc32(body)) {
    throw new WalError('WAL_CORRUPT', `${name} is damaged: put it back, with the runs, from a backup`, { offset: 0 });
  }
  const reader = new ByteReader(body);
  const [checkpointedId, appliedId] = [reader.number(), reader.number()];
  registry.nextTopic = reader.number();
  registry.nextGroup = reader.number();
  const runs = Array.from({ length: reader.number() }, () => reader.number());
  for (let left = reader.number(); left > 0; left--) registry.restoreTopic(readTopic(reader));
  for (let left = reader.number(); left > 0; left--) registry.restoreGroup(readGroup(reader, registry, appliedId));
  return { checkpointedId, appliedId, runs };
}

function readTopic(reader: ByteReader): TopicState {
  const topic = new TopicState(reader.number(), reader.text(), readRetention(reader));
  topic.floor = reader.number();
  topic.lastId = reader.number();
  return topic;
}

function readGroup(reader: ByteReader, registry: Registry, appliedId: EntryId): GroupState {
  const topic = registry.topicNumbered(reader.number());
  if (topic === undefined) throw new WalError('WAL_CORRUPT', 'a group is stored without its topic');
  const [name, settings, acks, attempts] = [reader.text(), readSettings(reader), readMarks(reader), readMarks(reader)];
  const group = new GroupState(acks.group, topic, name, settings, acks.cursor);
  group.acked = idsOf(acks);
  group.attempts = idsOf(attempts);
  group.lagMessages = reader.number();
  group.lagBytes = reader.number();
  group.countedTo = appliedId + reader.number();
  return group;
}

function idsOf({ ids, values }: Marks): IdsAbove | undefined {
  if (ids.length === 0) return undefined;
  const above = new IdsAbove();
  ids.forEach((id, i) => above.set(id, values[i]));
  return above;
}
