/** How a chunk's checksum is formed: begun over its header, then updated with its data. */
export interface ChunkChecksum {
  begin(length: number, seed: number, offset: number): number;
  /** With the bytes from `from` to `to`; all of them if left out. */
  update(crc: number, bytes: Uint8Array, from?: number, to?: number): number;
}

/**
 * What differs between the versions of a segment's format. Entry and chunk records are laid out alike in all of them;
 * whatever else depends on the version is asked here.
 */
export interface Format {
  /** The version byte in the header. */
  readonly version: number;
  /** Whether new segments are written in it. One that is only read is closed: the log continues in another segment. */
  readonly isWritten: boolean;
  /**
   * Whether segments are linked to their predecessors, and records say how much before them was durable. Otherwise
   * the segments are all that there are, ordered by name, and nothing tells damage from an unfinished tail.
   */
  readonly isLinked: boolean;
  /** The highest marker that a record can begin with. */
  readonly lastMarker: number;
  /** The length of an end record. */
  readonly endLength: number;
  readonly chunkChecksum: ChunkChecksum;
  /** The highest entry id that cannot be in a segment because of the segment's id alone. */
  lastIdBefore(segmentId: number): number;
  /** The chain of an entry that has no chunks yet, from the chain before it and the offset of its record. */
  beginChain(previous: number, id: number, offset: number): number;
  /** The chain of an entry after one more chunk. */
  extendChain(chain: number, chunkCrc: number): number;
  /** Whether the end record at `at`, which is complete, ends an entry with this chain. */
  isEndOf(source: Buffer, at: number, chain: number): boolean;
}
