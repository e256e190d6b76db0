import type { SyncMode, WalOptions } from '../../src/model/options.js';
import type { DiskTraits } from './disk-content.js';
import { Random } from './random.js';

/** The disk and the options one case is tried with. */
export interface Settings {
  readonly traits: DiskTraits;
  /** Whether the file manager grants `durableWrites`. */
  readonly durableWrites: boolean;
  readonly options: WalOptions;
}

/**
 * The settings that belong to a seed. The lowest three bits choose strict or ordered mode, durable
 * writes or none, and the size of a sector; the rest chooses the options, of which 0 gives the plainest.
 * Most segments are as small as the log allows: a run of twenty entries fills several.
 */
export function settingsFor(seed: number, sync?: SyncMode): Settings {
  const random = new Random(seed);
  const settings: Settings = {
    traits: {
      mode: seed & 1 ? 'ordered' : 'strict',
      sectorBytes: seed & 4 ? 4096 : 512,
      damage: 'written',
    },
    durableWrites: (seed & 2) === 0,
    options: {
      preallocateBytes: 4096,
      checkpointAfterBytes: seed < 8 ? 1024 : random.pick([200, 700, 1024, 2500, 4000]),
      bufferBytes: 4096,
      maxPendingBytes: seed < 8 ? 65_536 : random.pick([4096, 8192, 65_536]),
      blockingFlush: seed >= 8 && random.oneIn(4),
      ...(seed >= 8 && random.oneIn(3) ? { versionInfo: random.bytes(random.below(40)) } : {}),
      sync: sync ?? (seed < 8 ? 'commit' : random.pick(['commit', 'commit', 'commit', 'interval', 'manual'])),
    },
  };
  // Several entries may be in line, or read in several blocks, without a change of segments.
  if (seed < 8 || !random.oneIn(6)) return settings;
  return { ...settings, options: { ...settings.options, preallocateBytes: 16_384, checkpointAfterBytes: 12_000 } };
}

/** `strict, durable writes, sectors of 512 B, …`, for people. */
export function describeSettings({ traits, durableWrites, options }: Settings): string {
  const { checkpointAfterBytes, maxPendingBytes, blockingFlush, sync } = options;
  return (
    `${traits.mode} mode, ${durableWrites ? 'durable writes' : 'write and sync'}, ` +
    `sectors of ${traits.sectorBytes} B, ` +
    `checkpointAfterBytes ${checkpointAfterBytes}, maxPendingBytes ${maxPendingBytes}` +
    (blockingFlush ? ', blocking flushes' : '') + (sync === 'commit' ? '' : `, sync ${sync}`)
  );
}
