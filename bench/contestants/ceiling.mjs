/**
 * The ceiling: the commit path of a log in JavaScript and nothing else, by the fastest way known for each step. An
 * entry is framed, checksummed and copied into the buffer being filled; whatever has gathered is written by one
 * asynchronous write through an O_DSYNC descriptor, and the next buffer fills meanwhile. The write starts with
 * `process.nextTick`, which takes more commits along than a microtask. No recovery, no rotation, no errors.
 */
import fs from 'node:fs';
import zlib from 'node:zlib';
import crc32Package from 'crc-32';
import { Offsets, openPreallocated } from './preallocated-file.mjs';

const BUFFER_BYTES = 16 << 20;
const FRAME_BYTES = 24;
/** Below this many bytes the call into native code costs more than the package's tables do. */
const BUILTIN_CRC_FROM_BYTES = 512;

const crc32 = (data) => (data.length < BUILTIN_CRC_FROM_BYTES ? crc32Package.buf(data) >>> 0 : zlib.crc32(data));

class BareLog {
  #fd;
  #offsets = new Offsets();
  #filling = { bytes: Buffer.alloc(BUFFER_BYTES), length: 0, waiters: [] };
  #spare = { bytes: Buffer.alloc(BUFFER_BYTES), length: 0, waiters: [] };
  /** Entries that found the buffer full, in order; those before `#heldFrom` have been accepted since. */
  #held = [];
  #heldFrom = 0;
  #flushScheduled = false;
  #flushing = false;
  #lastId = 0;

  constructor(fd) {
    this.#fd = fd;
  }

  append(data) {
    return new Promise((resolve) => {
      if (this.#held.length > 0 || !this.#accept(data, resolve)) this.#held.push({ data, resolve });
      this.#scheduleFlush();
    });
  }

  #accept(data, resolve) {
    const { bytes, length, waiters } = this.#filling;
    if (length + data.length + FRAME_BYTES > BUFFER_BYTES) return false;
    bytes[length] = 1;
    bytes.writeUInt32LE(++this.#lastId, length + 1);
    bytes[length + 9] = 2;
    bytes.writeUInt32LE(data.length, length + 10);
    bytes.set(data, length + 14);
    const end = length + 14 + data.length;
    bytes.writeUInt32LE(crc32(data), end);
    bytes[end + 4] = 3;
    this.#filling.length = end + 5;
    waiters.push(resolve);
    return true;
  }

  #acceptHeld() {
    while (this.#heldFrom < this.#held.length) {
      const { data, resolve } = this.#held[this.#heldFrom];
      if (!this.#accept(data, resolve)) return;
      this.#heldFrom++;
    }
    this.#held = [];
    this.#heldFrom = 0;
  }

  #scheduleFlush() {
    if (this.#flushing || this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush() {
    const full = this.#filling;
    this.#filling = this.#spare;
    this.#flushing = true;
    this.#acceptHeld();
    const offset = this.#offsets.take(full.length);
    fs.write(this.#fd, full.bytes, 0, full.length, offset, (error, written) => {
      if (error !== null || written !== full.length) throw error ?? new Error('a short write');
      this.#flushing = false;
      this.#spare = { bytes: full.bytes, length: 0, waiters: [] };
      for (const resolve of full.waiters) resolve();
      if (this.#filling.length > 0) this.#scheduleFlush();
    });
  }
}

export async function open(directory) {
  const fd = openPreallocated(directory, fs.constants.O_DSYNC);
  const log = new BareLog(fd);
  return { commit: (data) => log.append(data), close: () => fs.closeSync(fd) };
}
