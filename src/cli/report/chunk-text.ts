import { isUtf8 } from 'node:buffer';
import { TextDecoder } from 'node:util';
import { count, hex, write } from '../output.js';

/** A chunk of an entry, or one of a message. */
export interface ReadableChunk extends AsyncIterable<Uint8Array> {
  readonly length: number;
  readAll(): Promise<Uint8Array>;
}

const SHOWN_CHARACTERS = 160;
/** The bytes of a large chunk from which its line is made. */
const SHOWN_BYTES = 1024;
const HEX_PER_LINE = 32;
/** A chunk up to this length is taken as a whole, a longer one in pieces. */
const WHOLE_BYTES = 256 * 1024;
/** Characters that a terminal may obey, or that turn or break a line. JSON lets them stand. */
const UNSAFE = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Bytes as text if they are that, else in hexadecimal digits; cut short where the line gets too long. */
export function readable(bytes: Uint8Array): string {
  return shorten(asText(bytes) ?? `0x${hex(bytes)}`, bytes.length);
}

/** A chunk as `readable` has it, of which only the beginning is read. */
export async function showChunk(chunk: ReadableChunk): Promise<string> {
  if (chunk.length <= WHOLE_BYTES) return readable(await chunk.readAll());
  const pieces = chunk[Symbol.asyncIterator]();
  const first = await pieces.next();
  await pieces.return?.();
  const start = first.done === true ? new Uint8Array() : first.value.subarray(0, SHOWN_BYTES);
  const text = decoded(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }), start);
  return shorten(text === undefined ? `0x${hex(start)}` : quote(text), chunk.length);
}

/** Writes all bytes of a chunk in hexadecimal digits. */
export async function writeHexLines(chunk: ReadableChunk): Promise<void> {
  let offset = 0;
  for await (const piece of inMultiplesOf(HEX_PER_LINE, piecesOf(chunk))) {
    const lines: string[] = [];
    for (let at = 0; at < piece.length; at += HEX_PER_LINE) {
      const place = (offset + at).toString(16).padStart(8, '0');
      lines.push(`  ${place}  ${hex(piece.subarray(at, at + HEX_PER_LINE))}\n`);
    }
    await write(lines.join(''));
    offset += piece.length;
  }
}

/**
 * Writes a chunk as an object: its `length`, and its data as `json` if it is an object or array of JSON in one line, as
 * `text` if it is UTF-8, else as `base64`; all of them as `hex` if that is asked for.
 */
export async function writeJsonChunk(chunk: ReadableChunk, isHex: boolean): Promise<void> {
  const { length } = chunk;
  const whole = length <= WHOLE_BYTES ? await chunk.readAll() : undefined;
  const json = isHex || whole === undefined ? undefined : asJson(whole);
  if (json !== undefined) return write(`{"length":${length},"json":${json}}`);
  const pieces = whole === undefined ? chunk : [whole];
  const isText = !isHex && (whole === undefined ? await isTextChunk(chunk) : isUtf8(whole));
  const [name, parts] = isHex ? ['hex', inHex(pieces)] as const
    : isText ? ['text', inText(pieces)] as const : ['base64', inBase64(pieces)] as const;
  await write(`{"length":${length},"${name}":"`);
  try {
    for await (const part of parts) await write(part);
  } finally {
    // Also after an error: the line is JSON all the same.
    await write('"}');
  }
}

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

async function* piecesOf(chunk: ReadableChunk): AsyncGenerator<Uint8Array, void, void> {
  if (chunk.length <= WHOLE_BYTES) yield await chunk.readAll();
  else yield* chunk;
}

async function* inHex(pieces: Pieces): AsyncGenerator<string, void, void> {
  for await (const piece of pieces) yield hex(piece);
}

async function* inBase64(pieces: Pieces): AsyncGenerator<string, void, void> {
  for await (const piece of inMultiplesOf(3, pieces)) yield Buffer.from(piece).toString('base64');
}

async function* inText(pieces: Pieces): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for await (const piece of pieces) yield quote(decoder.decode(piece, { stream: true })).slice(1, -1);
}

/** The same bytes in pieces of a multiple of `length`, but for the last. */
async function* inMultiplesOf(length: number, pieces: Pieces): AsyncGenerator<Uint8Array, void, void> {
  let rest: Uint8Array = new Uint8Array();
  for await (const piece of pieces) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const end = bytes.length - bytes.length % length;
    rest = bytes.subarray(end);
    if (end > 0) yield bytes.subarray(0, end);
  }
  if (rest.length > 0) yield rest;
}

/** Whether a chunk that is not taken as a whole is UTF-8. */
async function isTextChunk(chunk: ReadableChunk): Promise<boolean> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for await (const piece of chunk) if (decoded(decoder, piece) === undefined) return false;
  return decoded(decoder, new Uint8Array(), false) !== undefined;
}

/** Undefined for what is not UTF-8. */
function decoded(decoder: TextDecoder, bytes: Uint8Array, stream = true): string | undefined {
  try {
    return decoder.decode(bytes, { stream });
  } catch {
    return undefined;
  }
}

function asText(bytes: Uint8Array): string | undefined {
  return isUtf8(bytes) ? asJson(bytes) ?? quote(Buffer.from(bytes).toString()) : undefined;
}

/** The text of a JSON object or array in one line, unchanged but for characters that are not safe to print. */
function asJson(bytes: Uint8Array): string | undefined {
  const isObject = bytes[0] === 0x7b || bytes[0] === 0x5b;
  if (!isObject || bytes.includes(0x0a) || bytes.includes(0x0d) || !isUtf8(bytes)) return undefined;
  const text = Buffer.from(bytes).toString();
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return escapeUnsafe(text);
}

function quote(text: string): string {
  return escapeUnsafe(JSON.stringify(text));
}

function escapeUnsafe(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function shorten(text: string, length: number): string {
  if (text.length <= SHOWN_CHARACTERS) return text;
  // Not within a character of two units.
  const shown = text.slice(0, SHOWN_CHARACTERS).replace(/[\ud800-\udbff]$/, '');
  return `${shown}… (${count(length, 'byte')})`;
}
