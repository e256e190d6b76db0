/**
 * What the entries of the log look like. Each has one chunk, which begins with a byte for its kind:
 *
 *     1 message   topic, time, 0 or 1 + length of the key, key, chunks, their lengths unless there is one, data
 *     2 topic     topic, name, retention                    it is new, or retains in another way
 *     3 group     group, topic, name, settings, from        it is new, or has other settings
 *     4 acks      group, cursor, count, (id, size)…         for each group: what it has acknowledged
 *     5 attempts  group, 0, count, (id, attempt)…           for each group: what it is about to be handed
 *     6 floor     topic, id                                 messages up to this id are dropped
 *     7 move      group, cursor                             the group goes to another place
 *     8 end topic topic                                     it is deleted, with its groups
 *     9 end group group                                     it is deleted
 *
 * Numbers are as in `codec.ts`, texts and bytes stand after their length. Ids in a list ascend; each is stored as its
 * distance to the one before, the first to the cursor.
 */
import { WalError, type ChunkData, type EntryId } from '../index.js';
import { ByteReader, ByteWriter, numberLength, writeNumber } from './codec.js';
import type { GroupSettings, ResolvedRetention } from './options.js';

export const MESSAGE = 1;
const TOPIC = 2;
const GROUP = 3;
const ACKS = 4;
const ATTEMPTS = 5;
const FLOOR = 6;
const MOVE = 7;
const END_TOPIC = 8;
const END_GROUP = 9;

/** Ids of messages, each with a value: its size where it is acknowledged, or how often it was handed out. */
export interface Marks {
  readonly group: number;
  /** Every message up to here is acknowledged. */
  readonly cursor: EntryId;
  /** Ascending. */
  readonly ids: readonly EntryId[];
  readonly values: readonly number[];
}

export interface TopicDefinition {
  readonly kind: 'topic';
  readonly topic: number;
  readonly name: string;
  readonly retain: ResolvedRetention | undefined;
}

export interface GroupDefinition {
  readonly kind: 'group';
  readonly group: number;
  readonly topic: number;
  readonly name: string;
  readonly settings: GroupSettings;
  /** What a new group has passed; undefined for everything that was published before this entry. */
  readonly cursor: EntryId | undefined;
}

export type TopicsEntry =
  | { readonly kind: 'message'; readonly topic: number }
  | TopicDefinition
  | GroupDefinition
  | { readonly kind: 'acks' | 'attempts'; readonly marks: readonly Marks[] }
  | { readonly kind: 'floor'; readonly topic: number; readonly id: EntryId }
  | { readonly kind: 'move'; readonly group: number; readonly cursor: EntryId }
  | { readonly kind: 'end topic'; readonly topic: number }
  | { readonly kind: 'end group'; readonly group: number };

/** What a message's entry says. */
export interface MessageContent {
  readonly topic: number;
  readonly time: number;
  readonly key: string | undefined;
  readonly chunks: readonly Uint8Array[];
}

/** The entry of a message: a copy of its data. */
export function encodeMessage(
  topic: number, time: number, data: ChunkData | readonly ChunkData[], key: string | undefined,
): Buffer {
  if (typeof data !== 'string' && !(data instanceof Uint8Array)) return encodeChunks(topic, time, data, key);
  const keyLength = key === undefined ? 0 : Buffer.byteLength(key);
  const dataLength = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
  const bytes = Buffer.allocUnsafe(headerLength(topic, time, key, keyLength) + 1 + dataLength);
  const at = writeHeader(bytes, topic, time, key, keyLength);
  bytes[at] = 1;
  if (typeof data === 'string') bytes.write(data, at + 1);
  else bytes.set(data, at + 1);
  return bytes;
}

function encodeChunks(topic: number, time: number, data: readonly ChunkData[], key: string | undefined): Buffer {
  const chunks = data.map((chunk) => (typeof chunk === 'string' ? Buffer.from(chunk) : chunk));
  // One chunk alone has no length of its own.
  const lengths = chunks.length === 1 ? [] : chunks.map(({ length }) => length);
  const keyLength = key === undefined ? 0 : Buffer.byteLength(key);
  const dataLength = chunks.reduce((sum, { length }) => sum + length, 0);
  const numbers = [chunks.length, ...lengths];
  const listLength = numbers.reduce((sum, number) => sum + numberLength(number), 0);
  const bytes = Buffer.allocUnsafe(headerLength(topic, time, key, keyLength) + listLength + dataLength);
  let at = writeHeader(bytes, topic, time, key, keyLength);
  for (const number of numbers) at = writeNumber(bytes, number, at);
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function headerLength(topic: number, time: number, key: string | undefined, keyLength: number): number {
  const forKey = key === undefined ? 1 : numberLength(keyLength + 1) + keyLength;
  return 1 + numberLength(topic) + numberLength(time) + forKey;
}

function writeHeader(
  bytes: Buffer, topic: number, time: number, key: string | undefined, keyLength: number,
): number {
  bytes[0] = MESSAGE;
  let at = writeNumber(bytes, time, writeNumber(bytes, topic, 1));
  at = writeNumber(bytes, key === undefined ? 0 : keyLength + 1, at);
  if (key !== undefined) at += bytes.write(key, at);
  return at;
}

/** What the entry of a message says; the chunks are views of it. */
export function decodeMessage(bytes: Buffer): MessageContent {
  return decoding(() => {
    const reader = new ByteReader(bytes, 1);
    const topic = reader.number();
    const time = reader.number();
    const keyLength = reader.number();
    const key = keyLength === 0 ? undefined : reader.take(keyLength - 1).toString();
    const count = reader.number();
    if (count === 1) return { topic, time, key, chunks: [bytes.subarray(reader.position)] };
    const lengths = Array.from({ length: count }, () => reader.number());
    let start = reader.position;
    const chunks = lengths.map((length) => bytes.subarray(start, (start += length)));
    if (start !== bytes.length) throw new RangeError('the chunks have another length');
    return { topic, time, key, chunks };
  });
}

/** The time of a message in milliseconds. */
export function timeOfMessage(bytes: Buffer): number {
  const reader = new ByteReader(bytes, 1);
  reader.number();
  return reader.number();
}

/** The topic of a message's entry; 0 if it is another kind of entry. */
export function topicOfMessage(bytes: Buffer): number {
  if (bytes[0] !== MESSAGE) return 0;
  return bytes[1] < 0x80 ? bytes[1] : new ByteReader(bytes, 1).number();
}

export function encodeTopic({ topic, name, retain }: Omit<TopicDefinition, 'kind'>): Buffer {
  return writeRetention(new ByteWriter().byte(TOPIC).number(topic).text(name), retain).finish();
}

export function encodeGroup({ group, topic, name, settings, cursor }: Omit<GroupDefinition, 'kind'>): Buffer {
  const writer = new ByteWriter().byte(GROUP).number(group).number(topic).text(name);
  return writeSettings(writer, settings).number(cursor === undefined ? 0 : cursor + 1).finish();
}

export function encodeMarks(kind: 'acks' | 'attempts', marks: readonly Marks[]): Buffer {
  const writer = new ByteWriter().byte(kind === 'acks' ? ACKS : ATTEMPTS);
  for (const mark of marks) writeMarks(writer, mark);
  return writer.finish();
}

export function encodeFloor(topic: number, id: EntryId): Buffer {
  return new ByteWriter(20).byte(FLOOR).number(topic).number(id).finish();
}

export function encodeMove(group: number, cursor: EntryId): Buffer {
  return new ByteWriter(20).byte(MOVE).number(group).number(cursor).finish();
}

export function encodeEnd(kind: 'topic' | 'group', number: number): Buffer {
  return new ByteWriter(20).byte(kind === 'topic' ? END_TOPIC : END_GROUP).number(number).finish();
}

/** What an entry says; of a message only the topic. Throws `WAL_CORRUPT` for one that topics did not write. */
export function decodeEntry(bytes: Buffer): TopicsEntry {
  return decoding(() => {
    const reader = new ByteReader(bytes);
    const kind = reader.byte();
    switch (kind) {
      case MESSAGE: return { kind: 'message', topic: reader.number() };
      case TOPIC: return { kind: 'topic', topic: reader.number(), name: reader.text(), retain: readRetention(reader) };
      case GROUP: return {
        kind: 'group', group: reader.number(), topic: reader.number(), name: reader.text(),
        settings: readSettings(reader), cursor: orUndefined(reader.number()),
      };
      case ACKS: return { kind: 'acks', marks: readAllMarks(reader) };
      case ATTEMPTS: return { kind: 'attempts', marks: readAllMarks(reader) };
      case FLOOR: return { kind: 'floor', topic: reader.number(), id: reader.number() };
      case MOVE: return { kind: 'move', group: reader.number(), cursor: reader.number() };
      case END_TOPIC: return { kind: 'end topic', topic: reader.number() };
      case END_GROUP: return { kind: 'end group', group: reader.number() };
      default: throw new RangeError(`there is no kind ${kind}`);
    }
  });
}

function orUndefined(value: number): number | undefined {
  return value === 0 ? undefined : value - 1;
}

function decoding<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw new WalError('WAL_CORRUPT', `an entry was not written by topics: ${(cause as Error).message}`, { cause });
  }
}

export function writeMarks(writer: ByteWriter, { group, cursor, ids, values }: Marks): ByteWriter {
  writer.number(group).number(cursor).number(ids.length);
  let previous = cursor;
  for (let i = 0; i < ids.length; i++) {
    writer.number(ids[i] - previous).number(values[i]);
    previous = ids[i];
  }
  return writer;
}

export function readMarks(reader: ByteReader): Marks {
  const [group, cursor, count] = [reader.number(), reader.number(), reader.number()];
  const [ids, values]: number[][] = [[], []];
  for (let i = 0, id = cursor; i < count; i++) {
    id += reader.number();
    ids.push(id);
    values.push(reader.number());
  }
  return { group, cursor, ids, values };
}

function readAllMarks(reader: ByteReader): Marks[] {
  const marks: Marks[] = [];
  while (!reader.isAtEnd) marks.push(readMarks(reader));
  return marks;
}

const UNTIL = ['consumed', 'expired'] as const;
const WHEN_FULL = [undefined, 'wait', 'reject', 'drop'] as const;
const ORDERS = ['none', 'key', 'strict'] as const;
const CURSORS = ['durable', 'lazy'] as const;

export function writeRetention(writer: ByteWriter, retain: ResolvedRetention | undefined): ByteWriter {
  if (retain === undefined) return writer.byte(0);
  const { until, ms, bytes, whenFull } = retain;
  return writer.byte(1 + UNTIL.indexOf(until)).byte(WHEN_FULL.indexOf(whenFull)).number(ms ?? 0).number(bytes ?? 0);
}

export function readRetention(reader: ByteReader): ResolvedRetention | undefined {
  const until = reader.byte();
  if (until === 0) return undefined;
  const [whenFull, ms, bytes] = [choice(WHEN_FULL, reader.byte()), reader.number(), reader.number()];
  return {
    until: choice(UNTIL, until - 1),
    ...(whenFull !== undefined && { whenFull }),
    ...(ms > 0 && { ms }),
    ...(bytes > 0 && { bytes }),
  };
}

export function writeSettings(writer: ByteWriter, settings: GroupSettings): ByteWriter {
  const { leaseMs, maxInFlight, maxAttempts, deadLetter, order, cursor } = settings;
  writer.number(leaseMs).number(maxInFlight).number(maxAttempts).text(deadLetter);
  return writer.byte(ORDERS.indexOf(order)).byte(CURSORS.indexOf(cursor));
}

export function readSettings(reader: ByteReader): GroupSettings {
  const [leaseMs, maxInFlight, maxAttempts] = [reader.number(), reader.number(), reader.number()];
  const deadLetter = reader.text();
  const [order, cursor] = [choice(ORDERS, reader.byte()), choice(CURSORS, reader.byte())];
  return { leaseMs, maxInFlight, maxAttempts, deadLetter, order, cursor };
}

function choice<T>(choices: readonly T[], index: number): T {
  if (index >= choices.length) throw new RangeError(`there is no choice ${index}`);
  return choices[index];
}
