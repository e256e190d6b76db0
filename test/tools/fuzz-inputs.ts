/** What the fuzzer feeds to recovery: bytes from nowhere, and logs changed in every way that damage or malice can. */
import * as format from '../../src/format/segment-format.js';
import { usedLength, type CommittedEntry, type Files, type Specimen } from './fuzz-specimens.js';
import type { Random } from '../support/random.js';

export interface Input {
  readonly what: string;
  readonly files: Files;
  /** Logs, of which one may be recovered from it, or a part of one; undefined if anything may. */
  readonly committed: readonly (readonly CommittedEntry[])[] | undefined;
  /** Whether bytes were changed that a later record proves to have been durable: then it must not open. */
  readonly isProvenDamage: boolean;
}

const BOUNDARIES = [
  0, 1, 2, 127, 128, 255, 256, 4095, 4096, 4097, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 10, 2 ** 32 - 1, 2 ** 32,
  2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64 - 2048,
];

/** The input with this number: the same for the same generator. */
export function makeInput(random: Random, specimens: readonly Specimen[]): Input {
  const kind = random.below(10);
  if (kind === 0) return { what: 'arbitrary bytes', files: arbitraryFiles(random), committed: undefined, isProvenDamage: false };
  if (kind === 1) return { what: 'forged records', files: forgedFiles(random), committed: undefined, isProvenDamage: false };
  const specimen = random.pick(specimens);
  if (kind <= 4 && specimen.provenEnds.size > 0) return damageProven(random, specimen, specimens);
  return mutate(random, specimen, specimens);
}

/** Damages one run of bytes that the log proves to have been durable. */
function damageProven(random: Random, specimen: Specimen, specimens: readonly Specimen[]): Input {
  const [name, end] = random.pick([...specimen.provenEnds]);
  const original = specimen.files.get(name) as Buffer;
  const front = Buffer.from(original.subarray(0, end));
  const [change, changed] = changeBytes(random, front, specimen, specimens);
  const files: Files = new Map(specimen.files);
  // The length stays, so that all behind it is where it was.
  const bytes = Buffer.from(original);
  changed.copy(bytes, 0, 0, Math.min(changed.length, end));
  files.set(name, bytes);
  return {
    what: `${specimen.name}: ${change} below ${end} of ${name}`,
    files,
    committed: specimen.committed && [specimen.committed],
    isProvenDamage: !bytes.equals(original) && !turnsIntoFormat0(bytes, original),
  };
}

/**
 * Whether damage has made of the header one of the predecessor's, which has no checksum. Where the version is all
 * that was damaged the log must see it.
 */
function turnsIntoFormat0(bytes: Buffer, original: Buffer): boolean {
  const repaired = Buffer.from(bytes);
  repaired[3] = original[3];
  return isFormat0(bytes) && format.decodeHeader(repaired) === undefined;
}

/** Changes bytes and files, one to four times. */
function mutate(random: Random, specimen: Specimen, specimens: readonly Specimen[]): Input {
  const files: Files = new Map(specimen.files);
  const changes: string[] = [];
  // A file of another log may be all that is left, and is a log then; but there is no mixture of two.
  const logs = [specimen.committed];
  for (let i = random.pick([1, 1, 1, 2, 3, 4]); i > 0; i--) {
    if (files.size === 0) break;
    if (random.oneIn(20)) changes.push(replaceFile(random, files, specimens, logs));
    else if (random.oneIn(5)) changes.push(changeFiles(random, files));
    else changes.push(changeOneFile(random, files, specimen, specimens));
  }
  // What is made up may be a log of the predecessor's by chance: a few bytes without a checksum are an entry there.
  if ([...files.values()].some(isFormat0)) logs.push(undefined);
  const committed = logs.includes(undefined) ? undefined : logs.flatMap((log) => (log === undefined ? [] : [log]));
  return { what: `${specimen.name}: ${changes.join(', ')}`, files, committed, isProvenDamage: false };
}

function isFormat0(bytes: Buffer): boolean {
  return bytes.toString('latin1', 0, 4) === 'okw\0';
}

function changeOneFile(random: Random, files: Files, specimen: Specimen, specimens: readonly Specimen[]): string {
  const name = random.pick([...files.keys()]);
  const [change, changed] = changeBytes(random, Buffer.from(files.get(name) as Buffer), specimen, specimens);
  files.set(name, changed);
  return `${change} in ${name}`;
}

type Change = readonly [what: string, bytes: Buffer];

/** Changes `bytes`, in place or in a copy. */
function changeBytes(random: Random, bytes: Buffer, specimen: Specimen, specimens: readonly Specimen[]): Change {
  if (bytes.length === 0) return ['bytes from nowhere', Buffer.from(random.bytes(random.below(200)))];
  const at = random.below(Math.min(bytes.length, usedLength(bytes) + 40));
  const length = random.pick([1, 4, 13, 37, 64, 512, random.below(bytes.length) + 1]);
  const range = bytes.subarray(at, at + length);
  switch (random.below(12)) {
    case 0: case 1:
      bytes[at] ^= 1 << random.below(8);
      return [`a bit at ${at} flipped`, bytes];
    case 2:
      bytes[at] = random.pick([0, 1, 2, 3, 4, 5, 255, random.below(256)]);
      return [`byte ${at} set`, bytes];
    case 3:
      range.fill(random.pick([0, 0, 4, 5, 255]));
      return [`${range.length} bytes from ${at} filled`, bytes];
    case 4:
      range.set(random.bytes(range.length));
      return [`${range.length} bytes from ${at} garbled`, bytes];
    case 5:
      return [`cut at ${at}`, Buffer.from(bytes.subarray(0, at))];
    case 6:
      return setNumber(random, bytes, at);
    case 7: return swapBlocks(random, bytes);
    case 8: return [`${length} bytes from ${at} left out`, Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])];
    case 9: return [`bytes put in at ${at}`, Buffer.concat([bytes.subarray(0, at), random.bytes(random.below(40)), bytes.subarray(at)])];
    case 10: return splice(random, bytes, at, random.pick([...specimen.files.values()]), 'the log');
    default: return splice(random, bytes, at, random.pick([...random.pick(specimens).files.values()]), 'some log');
  }
}

/** Puts a number that is on the edge of something where a number may be: at `at`, or behind a marker near it. */
function setNumber(random: Random, bytes: Buffer, at: number): Change {
  const marker = bytes.indexOf(random.pick([1, 2, 3, 4, 5]), at);
  const place = random.oneIn(3) || marker < 0 ? at : marker + 1;
  const value = random.pick([...BOUNDARIES, bytes.length, bytes.length - place, bytes.length - place - 8]);
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(BigInt(Math.max(0, value)));
  number.copy(bytes, place, 0, random.pick([1, 2, 4, 8]));
  return [`${value} written at ${place}`, bytes];
}

function swapBlocks(random: Random, bytes: Buffer): Change {
  const size = random.pick([16, 64, 512, 4096]);
  const count = Math.max(1, Math.ceil(usedLength(bytes) / size));
  const [a, b] = [random.below(count) * size, random.below(count) * size];
  const kept = Buffer.from(bytes.subarray(a, a + size));
  bytes.copy(bytes, a, b, b + size);
  kept.copy(bytes, b);
  return [`blocks of ${size} at ${a} and ${b} swapped`, bytes];
}

/** Moves bytes of a log, most often from where a record begins, to another place. */
function splice(random: Random, bytes: Buffer, at: number, source: Buffer, whose: string): Change {
  const somewhere = random.below(Math.max(1, usedLength(source)));
  const marker = source.indexOf(random.pick([1, 2, 4, 5]), somewhere);
  const from = marker < 0 || random.oneIn(3) ? somewhere : marker;
  const copied = source.copy(bytes, at, from, from + random.pick([13, 37, 62, 100, 600, 4096]));
  return [`${copied} bytes from ${from} of a file of ${whose} put at ${at}`, bytes];
}

function replaceFile(
  random: Random, files: Files, specimens: readonly Specimen[], logs: (readonly CommittedEntry[] | undefined)[],
): string {
  const name = random.pick([...files.keys()]);
  const other = random.pick(specimens);
  const [otherName, bytes] = random.pick([...other.files]);
  files.set(name, bytes);
  logs.push(other.committed);
  return `${name} replaced by ${otherName} of a log of the kind ${other.name}`;
}

/** Removes, renames, doubles, exchanges or adds whole files. */
function changeFiles(random: Random, files: Files): string {
  const name = random.pick([...files.keys()]);
  const bytes = files.get(name) as Buffer;
  const other = random.pick([...files.keys()]);
  const newName = random.pick(['wal-1', 'wal-2', 'wal-3', 'wal-9', 'wal-99', 'wal-1-cp', 'wal-9-cp', 'wal-0-cp', 'wal-tail']);
  switch (random.below(5)) {
    case 0:
      files.delete(name);
      return `${name} removed`;
    case 1:
      files.delete(name);
      files.set(newName, bytes);
      return `${name} renamed to ${newName}`;
    case 2:
      files.set(newName, bytes);
      return `${name} doubled as ${newName}`;
    case 3:
      files.set(name, files.get(other) as Buffer);
      files.set(other, bytes);
      return `${name} and ${other} exchanged`;
    default:
      files.set(newName, arbitraryBytes(random));
      return `${newName} made up`;
  }
}

function arbitraryFiles(random: Random): Files {
  const files: Files = new Map();
  for (let i = random.between(1, 3); i > 0; i--) {
    files.set(random.pick(['wal-1', 'wal-2', 'wal-30', 'wal-2-cp', 'wal-0-cp', 'wal-tail']), arbitraryBytes(random));
  }
  return files;
}

function arbitraryBytes(random: Random): Buffer {
  const length = random.pick([random.below(100), random.below(1000), 4096]);
  const body = random.oneIn(2) ? Buffer.from(random.bytes(length)) : Buffer.alloc(length).map(() => random.below(6));
  if (random.oneIn(3)) return Buffer.from(body);
  if (random.oneIn(2)) {
    const start = Buffer.from('okw').subarray(0, random.between(1, 3));
    return Buffer.concat([start, Buffer.from([random.pick([0, 0, 1, 2, 255]), random.pick([0, 1, 20, 255])]), body]);
  }
  return Buffer.concat([format.encodeHeader(random.between(1, 9), random.bytes(8), random.bytes(random.below(20))), body]);
}

/** Records whose checksums are right and whose numbers are on the edge, in any order. */
function forgedFiles(random: Random): Files {
  const files: Files = new Map();
  const names = ['wal-1', 'wal-2', 'wal-3'].slice(0, random.between(1, 3));
  for (const [i, name] of names.entries()) files.set(name, forgedSegment(random, i + 1));
  return files;
}

function forgedSegment(random: Random, id: number): Buffer {
  const header = format.encodeHeader(id, random.bytes(8), new Uint8Array());
  const seed = header.readUInt32LE(header.length - 4);
  const bytes = Buffer.alloc(4096);
  header.copy(bytes);
  const number = (): number => Math.min(random.pick([...BOUNDARIES, id, id - 1]), 2 ** 64 - 2048);
  let chain = 0;
  for (let at = header.length; at < 3000;) {
    const kind = at === header.length ? 5 : random.between(1, 5);
    if (kind === 5) {
      const isHere = random.oneIn(2);
      const link = {
        previousSegmentId: isHere ? id : random.oneIn(2) ? id - 1 : number(), previousEnd: isHere ? at : number(),
        previousChain: isHere ? chain : random.next(), lastId: random.oneIn(2) ? 0 : number(),
      };
      chain = format.encodeLink(bytes, at, seed, at, link, random.next());
      at += format.LINK_LENGTH;
    } else if (kind === 4) {
      format.encodeMark(bytes, at, seed, at, random.oneIn(2) ? random.below(at) : number());
      at += format.MARK_LENGTH;
    } else {
      const entryId = random.oneIn(2) ? id * 10 + random.below(9) : number();
      let entryChain = format.beginChain(chain, entryId, at);
      format.encodeEntry(bytes, at, entryId);
      at += format.ENTRY_LENGTH;
      for (let chunks = random.below(3); chunks > 0; chunks--) {
        const data = random.bytes(random.below(100));
        entryChain = format.extendChain(entryChain, format.encodeChunk(bytes, at, data, seed, at));
        at += format.CHUNK_OVERHEAD + data.length;
      }
      if (random.oneIn(5)) format.encodeChunkHeader(bytes, at, Math.min(number(), 2 ** 32 - 1));
      else format.encodeEnd(bytes, at, random.oneIn(4) ? format.JOIN_MARKER : format.END_MARKER, entryChain);
      at += format.END_LENGTH;
      chain = entryChain;
    }
  }
  return bytes;
}
