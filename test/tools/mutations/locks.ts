import { loadFlock } from '../../../src/files/lock/optional.js';
import { named, type Mutation } from './mutation.js';

const withoutProc = process.platform !== 'linux' && 'needs /proc';
const withoutFlock = (await loadFlock()) === null && 'fs-ext is not installed';

const SILENT = 'ownership is relied on although the heartbeat has been silent for nearly as long as an opener waits';
const LATE_TIMER = 'a beat whose timer comes late revives an ownership that was lost meanwhile';
const LATE_EFFECT = 'a beat that takes effect late revives an ownership that was lost meanwhile';

/** Who owns the directory, and until when that can be relied on. */
export const LOCKS: readonly Mutation[] = [
  {
    name: 'the age of the heartbeat is not looked at',
    file: 'files/lock/heartbeat.ts',
    find: 'if (this.#now() - this.#lastBegan > HELD_MS)',
    replace: 'if (false)',
    caughtBy: named('unit/lock-ownership', SILENT),
  },
  {
    name: 'a late beat is made all the same',
    file: 'files/lock/heartbeat.ts',
    find: 'this.#noticeSilence(); this.#assertNotLost();',
    replace: '',
    caughtBy: named('unit/lock-ownership', LATE_TIMER),
  },
  {
    name: 'a beat that takes effect late revives the ownership',
    file: 'files/lock/heartbeat.ts',
    find: 'this.#failure = undefined; this.#noticeSilence();',
    replace: 'this.#failure = undefined;',
    caughtBy: named('unit/lock-ownership', LATE_EFFECT),
  },
  {
    name: 'the age of a heartbeat is counted from its end',
    file: 'files/lock/heartbeat.ts',
    find: 'this.#lastBegan = began;',
    replace: 'this.#lastBegan = this.#now();',
    caughtBy: named(
      'unit/lock-ownership', 'the age of a heartbeat is counted from its end, when it may be as old as its beginning',
    ),
  },
  {
    name: 'the record of an owner is not synced',
    file: 'files/lock/heartbeat-directory.ts',
    find: ', { flush: true }',
    replace: '',
    caughtBy: named(
      'unit/lock-ownership',
      'an owner\'s record is not durable when it can be seen, so that a loss of power hides who died',
    ),
  },
  {
    name: 'a takeover from an owner that may still run is not marked',
    file: 'files/lock/heartbeat-directory.ts',
    find: 'if (holder.mayRun) await markTakeover(directory);',
    replace: '',
    skip: withoutProc,
    caughtBy: named(
      'unit/lock-ownership',
      'taken over from a silent heartbeat elsewhere (lockfile), it is not said that the owner may still run',
    ),
  },
  {
    name: 'a takeover is marked only after the previous owner has been removed',
    file: 'files/lock/heartbeat-directory.ts',
    find: 'if (holder.mayRun) await markTakeover(directory); await removeFiles(directory, holder.names);',
    replace: 'await removeFiles(directory, holder.names); if (holder.mayRun) await markTakeover(directory);',
    skip: withoutProc,
    caughtBy: named(
      'unit/directory-lock',
      'some order of two openers\' system calls lets in both or none '
        + '(lockfile, lockfile; a silent heartbeat of nobody known)',
    ),
  },
  {
    name: 'a kernel lock that is free is believed of a machine elsewhere',
    file: 'files/lock/flock.ts',
    find: 'if (owner === undefined || !hasEndedByKernel(owner))',
    replace: 'if (owner === undefined)',
    skip: withoutProc || withoutFlock,
    caughtBy: named(
      'unit/lock-ownership',
      'taken over from the record of an owner elsewhere, whose lock the file system may not know of (flock), '
        + 'it is not said that the owner may still run',
    ),
  },
  {
    name: 'an owner that has lost the directory clears the mark of a takeover',
    file: 'files/lock/heartbeat-lock.ts',
    find: 'if (heartbeat.isHeld()) await clearTakeover(directory);',
    replace: 'await clearTakeover(directory);',
    caughtBy: named('unit/lock-ownership', 'an owner that has lost the directory forgets what its successor must know'),
  },
];
