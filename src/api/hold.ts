import { assertInternal } from '../base/assert.js';
import { show } from '../base/bytes.js';
import { WalError } from '../base/errors.js';
import { assertId, futureError, type EntryId } from '../model/entry.js';
import { assertOptions } from '../model/options.js';
import type { StoredHold } from '../format/holds-format.js';
import type { IdRange } from '../engine/checkpoint/holds.js';
import { Log } from '../engine/log/log.js';

const MAX_NAME_LENGTH = 255;
const DEFAULT_MAX_BYTES = 1024 * 1024 * 1024;

/**
 * What a hold keeps.
 *
 * @example
 * const options: HoldOptions = { from: log.durableId + 1, maxBytes: 256 * 1024 * 1024 };
 * const hold = await log.hold('backup', options);
 * await hold.release();
 */
export interface HoldOptions {
  /** The first entry to keep. Default: that of the hold with this name, or the oldest that is still there. */
  readonly from?: EntryId;
  /** How many bytes of checkpointed segments it may keep before it is broken. Default: those it has, or 1 GiB. */
  readonly maxBytes?: number;
}

/**
 * Keeps checkpointed entries readable for somebody who is to read them.
 *
 * @example
 * const hold: Hold = await log.hold('replica');
 * const { id } = await log.append('hello');
 * await hold.advance(id + 1); // the replica has it
 * await hold.release();
 */
export class Hold {
  /** What it is known by after a restart. */
  readonly name: string;
  readonly #log: Log;

  /** @internal */
  constructor(log: Log, name: string) {
    assertInternal(log instanceof Log, 'Hold', 'log.hold()');
    this.#log = log;
    this.name = name;
  }

  /** The first entry that is kept. A TypeError once the hold has been released. */
  get from(): EntryId {
    return this.#stored().from;
  }

  /** Whether it has kept more than it may, and keeps nothing any more. A TypeError once it has been released. */
  get isBroken(): boolean {
    return this.#stored().isBroken;
  }

  /**
   * Lets go of the entries below `from`. Resolves when that is durable. A RangeError if it would move back,
   * `WAL_OUT_OF_RANGE` if `from` is above the next entry's id; `WAL_HOLD_BROKEN`, `WAL_IO`, `WAL_NO_SPACE` or
   * `WAL_CLOSED`. Then it has not moved; after `WAL_FAILED` the next opening tells.
   */
  async advance(from: EntryId): Promise<void> {
    assertId('from', from);
    await this.#log.holds.change(this.name, (hold) => {
      const { nextId } = this.#log.idRange;
      if (hold === undefined) throw releasedError(this.name);
      if (hold.isBroken) throw brokenError(hold);
      assertForward(hold, from);
      if (from > nextId) throw futureError('from', from, nextId);
      return { ...hold, from };
    });
  }

  /**
   * Ends the hold. Resolves when that is durable. Idempotent. Rejects with `WAL_IO`, `WAL_NO_SPACE` or `WAL_CLOSED`;
   * then it goes on; after `WAL_FAILED` the next opening tells.
   */
  async release(): Promise<void> {
    await this.#log.holds.change(this.name, () => undefined);
  }

  #stored(): StoredHold {
    const stored = this.#log.holds.get(this.name);
    if (stored === undefined) throw releasedError(this.name);
    return stored;
  }
}

/** The hold that `log.hold` is to store: a new one, or the one of this name as it goes on. */
export function requestedHold(
  name: unknown, options: HoldOptions, existing: StoredHold | undefined, { goneId, nextId }: IdRange,
): StoredHold {
  assertOptions(options, { from: undefined, maxBytes: undefined });
  if (typeof name !== 'string') throw new TypeError(`the name of a hold must be a string, not ${show(name)}`);
  if (name === '' || name.length > MAX_NAME_LENGTH) {
    throw new RangeError(`the name of a hold must have 1 to ${MAX_NAME_LENGTH} characters, not ${name.length}`);
  }
  if (existing?.isBroken === true && options.from === undefined) throw brokenError(existing);
  // What a hold wants is never gone: the ids up to there were skipped.
  const from = options.from ?? Math.max(existing?.from ?? 0, goneId + 1);
  const maxBytes = options.maxBytes ?? existing?.maxBytes ?? DEFAULT_MAX_BYTES;
  assertId('from', from);
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) {
    throw new RangeError(`maxBytes must be an integer from 1, not ${show(maxBytes)}`);
  }
  if (existing?.isBroken === false) assertForward(existing, from);
  if (from <= goneId) throw new WalError('WAL_POSITION_GONE', `from is ${from}, but entries up to ${goneId} are gone`);
  if (options.from !== undefined && from > nextId) throw futureError('from', from, nextId);
  return { name, from, maxBytes, isBroken: false };
}

function releasedError(name: string): TypeError {
  return new TypeError(`the hold ${JSON.stringify(name)} has been released`);
}

function assertForward({ name, from }: StoredHold, to: EntryId): void {
  if (to < from) throw new RangeError(`the hold ${JSON.stringify(name)} cannot move back from ${from} to ${to}`);
}

function brokenError({ name, from, maxBytes }: StoredHold): WalError {
  const kept = `the hold ${JSON.stringify(name)} kept more than ${maxBytes} bytes`;
  const message = `${kept}; entries from ${from} on may be gone`;
  return new WalError('WAL_HOLD_BROKEN', message);
}
