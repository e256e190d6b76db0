import { asBuffer, readU64, show, writeU64 } from '../base/bytes.js';

/**
 * Where a chunk stands in the log. Stays valid until the chunk's segment has been checkpointed.
 *
 * @example
 * const { chunks: [chunk] } = await log.append('hello');
 * const bytes = chunk.position.serialize();
 * console.log(bytes.length, LogPosition.deserialize(bytes).equals(chunk.position)); // 16 true
 */
export class LogPosition {
  /** The length in bytes of a serialized position. */
  static readonly SERIALIZED_LENGTH = 16;

  /** The id of the segment. */
  readonly segmentId: number;
  /** The byte offset in the segment's file at which the chunk's record begins. */
  readonly offset: number;

  /** Throws a RangeError unless both are safe integers, 0 or more. */
  constructor(segmentId: number, offset: number) {
    assertU53('segmentId', segmentId);
    assertU53('offset', offset);
    this.segmentId = segmentId;
    this.offset = offset;
  }

  /** Sixteen bytes: the segment id, then the offset, each an unsigned 64-bit little-endian integer. */
  serialize(): Uint8Array {
    const bytes = Buffer.alloc(LogPosition.SERIALIZED_LENGTH);
    writeU64(bytes, this.segmentId, 0);
    writeU64(bytes, this.offset, 8);
    return bytes;
  }

  /** The position that `serialize` turned into `bytes`. Throws a TypeError or RangeError for anything else. */
  static deserialize(bytes: Uint8Array): LogPosition {
    if (!(bytes instanceof Uint8Array)) {
      throw new TypeError(`a serialized position is a Uint8Array, not ${show(bytes)}`);
    }
    if (bytes.length !== LogPosition.SERIALIZED_LENGTH) {
      throw new RangeError(`a serialized position has ${LogPosition.SERIALIZED_LENGTH} bytes, not ${bytes.length}`);
    }
    const buffer = asBuffer(bytes);
    return new LogPosition(readU64(buffer, 0), readU64(buffer, 8));
  }

  /** Whether both name the same place. */
  equals(other: LogPosition): boolean {
    return this.segmentId === other.segmentId && this.offset === other.offset;
  }
}

/** Throws a TypeError for anything but a LogPosition. */
export function assertPosition(position: unknown): asserts position is LogPosition {
  if (!(position instanceof LogPosition)) throw new TypeError(`position must be a LogPosition, not ${show(position)}`);
}

/** A copy of `positions`. Throws a TypeError for anything but an array of them. */
export function positionsOf(positions: unknown): LogPosition[] {
  if (!Array.isArray(positions)) throw new TypeError(`positions must be an array, not ${show(positions)}`);
  return Array.from(positions, (position: unknown, i) => {
    if (position instanceof LogPosition) return position;
    throw new TypeError(`positions[${i}] must be a LogPosition, not ${show(position)}`);
  });
}

function assertU53(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new RangeError(`${name} must be an integer from 0 to 2^53 - 1, not ${show(value)}`);
}
