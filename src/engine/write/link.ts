import type { Environment } from '../../base/environment.js';
import type { Link } from '../../format/segment-format.js';
import type { SegmentEncoder } from '../../segment/segment-encoder.js';
import type { Flusher } from '../flush/flusher.js';

/** Where a log ended in a segment: what the link after it says, but for the highest id. */
export type LogEnd = Omit<Link, 'lastId'>;

/** Where the log ends that `encoder` has written. */
export function endOf({ segment, offset, chain }: SegmentEncoder): LogEnd {
  return { previousSegmentId: segment.segmentId, previousEnd: offset, previousChain: chain };
}

/** Four bytes that cannot be foreseen, for a link. */
export function drawNonce(environment: Environment): number {
  const bytes = Buffer.alloc(4);
  environment.randomFill(bytes);
  return bytes.readUInt32LE(0);
}

/** Writes a link, and resolves when it is durable: then everything before it is proven to be durable, too. */
export function writeLink(
  encoder: SegmentEncoder, link: Link, environment: Environment, flusher: Flusher,
): Promise<void> {
  return new Promise((resolve, reject) => {
    encoder.writeLink(link, drawNonce(environment), { committed: resolve, failed: reject });
    flusher.request();
  });
}
