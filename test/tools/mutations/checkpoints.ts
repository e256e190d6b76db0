import { crashes, named, type Mutation } from './mutation.js';

/** What the checkpointer does wrong. */
export const CHECKPOINTS: readonly Mutation[] = [
  {
    name: 'entries that are stored are recovered again',
    file: 'engine/recover/recovery.ts',
    find: 'if (lastId <= this.#storedId) continue;',
    replace: '',
    caughtBy: named('unit/manager-open', 'entries that are stored already are handed over again, or later ones are not (memory)'),
  },
  {
    name: 'entries that are stored are checkpointed again',
    file: 'segment/segment-reader.ts',
    find: 'if (extent.id > this.#after)',
    replace: '',
    caughtBy: named('unit/manager-open', 'entries that are stored already are handed over again, or later ones are not (memory)'),
  },
  {
    name: 'a segment that is stored is checkpointed again',
    file: 'engine/checkpoint/checkpointer.ts',
    find: '|| segment.lastId <= this.#storedId;',
    replace: ';',
    caughtBy: named('unit/manager-open', 'a segment that is stored as a whole is handed over again, or keeps its file (memory)'),
  },
  {
    name: 'an id that is stored is given out again',
    file: 'engine/recover/recovery.ts',
    find: 'lastId: Math.max(end.lastId, this.#storedId),',
    replace: '',
    caughtBy: named('unit/manager-open', 'an id that is stored is given to another entry, when the log has lost its own'),
  },
  {
    name: 'an entry that is stored is truncated',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'return Math.max(segment?.lastId ?? 0, this.#storedId);',
    replace: 'return segment?.lastId ?? 0;',
    caughtBy: named('unit/manager-open', 'an entry that is stored is dropped, and its id given to one that is then not checkpointed'),
  },
  {
    name: "a segment is handed over before its successor's link is durable",
    file: 'engine/write/rotation.ts',
    find: 'committed: () => { closed.seal(); this.#parts.events.onSealed(closed); sealing.resolve(); },',
    replace: 'committed: (closed.seal(), this.#parts.events.onSealed(closed), sealing.resolve(), () => undefined),',
    caughtBy: crashes('concurrent writers'),
  },
  {
    name: 'the newest segment is checkpointed first',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'next: () => (this.#isHalted ? undefined : this.#segments[0]),',
    replace: 'next: () => (this.#isHalted ? undefined : this.#segments.at(-1)),',
    caughtBy: crashes('entries around the end of a segment'),
  },
  {
    name: 'a checkpoint that failed frees its segment',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'await this.#events.persist(segment, persisting);',
    replace: 'await this.#events.persist(segment, persisting).catch(() => undefined);',
    caughtBy: crashes('a failing checkpoint'),
  },
  {
    name: 'a segment is freed while its checkpoint goes on',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'await this.#events.persist(segment, persisting);',
    replace: 'void this.#events.persist(segment, persisting).catch(() => undefined);',
    caughtBy: crashes('a checkpoint that never ends'),
  },
  {
    name: 'a segment whose checkpoint failed is freed at the second attempt without being handed over',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'const isSafe = segment.lastId < this.#releasedBelow ||',
    replace: 'const wasTried = this.tried === segment; this.tried = segment; const isSafe = wasTried || segment.lastId < this.#releasedBelow ||',
    caughtBy: crashes('a failing checkpoint'),
  },
  {
    name: 'segments that are released wait for the pause of a retry',
    file: 'engine/checkpoint/retirement.ts',
    find: 'this.#worker.start();\n        this.#worker.hurry();',
    replace: 'this.#worker.start();',
    caughtBy: named('unit/checkpoint', 'segments that are released do not wait for the pause after a file could not be let go'),
  },
  {
    name: 'an abandoned segment that goes on is not checkpointed',
    file: 'engine/recover/recovery.ts',
    find: 'if (!isWanted && !segment.isEmpty) segment.discard();',
    replace: 'if (!isWanted) segment.discard();',
    caughtBy: named('unit/rare-faults', 'what is written to a segment that was abandoned while it was empty is let go without a checkpoint'),
  },
];
