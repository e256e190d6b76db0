import { crashes, named, type Mutation } from './mutation.js';

/** What goes wrong with ids that are skipped, with batches that are told apart, and with the identity of the log. */
export const IDS: readonly Mutation[] = [
  {
    name: 'skipped ids are given out after a crash',
    file: 'engine/write/write-queue.ts',
    find: 'await this.#writeLink(); durableId.set(rotation.nextId - 1);',
    replace: 'durableId.set(rotation.nextId - 1);',
    caughtBy: crashes('skipping ids', 0, 0),
  },
  {
    name: 'an opening overwrites the link that skips ids',
    file: 'engine/recover/last-segment.ts',
    find: 'if (passedOver !== undefined && passedOver.end > end) ({ end, chain } = passedOver);',
    replace: '',
    caughtBy: named('unit/skipped-ids', 'ids that were skipped are given out after a crash, or after a shutdown (memory)'),
  },
  {
    name: 'ids that only memory knows to be given out count as skipped',
    file: 'engine/write/write-queue.ts',
    find: 'const isDurable = () => durableId.value >= id - 1;',
    replace: 'const isDurable = () => rotation.nextId > id;',
    caughtBy: named('unit/skipped-ids', 'a skip that has resolved is only in memory, where ids were rolled back or are not durable'),
  },
  {
    name: 'ids are skipped before it is the turn of that',
    file: 'engine/write/write-queue.ts',
    find: 'const { durableId } = this.#flusher; const isDurable',
    replace: 'rotation.nextId = Math.max(rotation.nextId, id); const { durableId } = this.#flusher; const isDurable',
    caughtBy: named('unit/skipped-ids', 'ids are skipped within a batch, or for entries that were begun before (memory)'),
  },
  {
    name: 'an interrupted creation counts as a log',
    file: 'engine/view/log-presence.ts',
    find: 'if ((await readFirstLink(segment)) !== undefined) return true;',
    replace: 'return true;',
    caughtBy: crashes('a log that continues another', 0, 16),
  },
  {
    name: 'every entry ends its batch',
    file: 'segment/record-scanner.ts',
    find: 'const isEnd = bytes[this.#at - windowStart] === format.END_MARKER;',
    replace: 'const isEnd = true;',
    caughtBy: crashes('batches', 0, 0),
  },
  {
    name: 'a batch that was truncated in the middle does not end',
    file: 'segment/record-scanner.ts',
    find: 'const endsBatch = isEnd || (this.#window.isBounded && this.#at === this.#window.limit);',
    replace: 'const endsBatch = isEnd;',
    caughtBy: named('unit/skipped-ids', 'a batch ends with each of its entries, or with none, wherever it is read (memory)'),
  },
  {
    name: 'an identity is answered before its name is durable',
    file: 'engine/directory/log-directory.ts',
    find: 'await this.rename(newName, name); await this.sync();',
    replace: 'await this.rename(newName, name); if (!name.endsWith("identity")) await this.sync();',
    caughtBy: crashes('asking for the identity', 0, 40),
  },
  {
    name: 'a damaged identity is replaced by a new one',
    file: 'engine/directory/identity-file.ts',
    find: 'throw new WalError(\'WAL_CORRUPT\', `${IDENTITY_FILE_NAME} is damaged`);',
    replace: 'return undefined;',
    caughtBy: named('unit/identity', 'a damaged identity becomes a new one (memory)'),
  },
  {
    name: 'a new log takes over what identity is in its directory',
    file: 'engine/directory/identity-file.ts',
    find: 'if (uuid === undefined) await this.#directory.removeIfThere(IDENTITY_FILE_NAME);',
    replace: 'if (uuid === undefined) return;',
    caughtBy: named(
      'unit/identity', 'a new log has the identity of one whose segments are gone, or whose creation was interrupted (memory)',
    ),
  },
];
