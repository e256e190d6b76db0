import { named, type Mutation, type NamedTest } from './mutation.js';

function explored(when: string): NamedTest {
  return named('unit/archive-protocol', `two writers confirm one entry, or one that is not in a restore, ${when}`);
}

const SHORTENED = explored('while one takes over and the other shortens the archive');
const LOST = explored('while an answer is lost');

/** The rules of the archive's protocol, each left out in turn. */
export const ARCHIVE: readonly Mutation[] = [
  {
    name: 'an opening does not look again after it has created its slot',
    file: 'archive/slots.ts',
    find: 'if (highest?.slot === slot.slot) return',
    replace: 'return',
    caughtBy: SHORTENED,
  },
  {
    name: 'an opening begins no epoch of its own',
    file: 'archive/slots.ts',
    find: "(kind === 'open' ? 1 : 0)",
    replace: '0',
    caughtBy: SHORTENED,
  },
  {
    name: 'a slot that is there already is taken for one of the writer that comes to it',
    file: 'archive/slots.ts',
    find: 'isOwn: found.hash === own.hash',
    replace: 'isOwn: true',
    caughtBy: SHORTENED,
  },
  {
    name: 'a writer goes on after the slot of the writer that has taken over',
    file: 'archive/slots.ts',
    find: 'this.#fenced = fencedError(slot); throw this.#fenced;',
    replace: 'this.#last = slot; return;',
    caughtBy: SHORTENED,
  },
  {
    name: 'a writer whose answer was lost is fenced by its own slot',
    file: 'archive/slots.ts',
    find: 'isOwn: found.hash === own.hash',
    replace: 'isOwn: false',
    caughtBy: LOST,
  },
  {
    name: 'a request that was not answered counts as one that was carried out',
    file: 'archive/slot-store.ts',
    find: 'await pause(at, retryInMs);',
    replace: "return 'created';",
    caughtBy: LOST,
  },
  {
    name: 'a request that was not answered is sent again with other bytes',
    file: 'archive/slots.ts',
    find: '(signal) => store.create(slotKey(prefix, header.slot), bytes, { signal })',
    replace: '(signal) => store.create(slotKey(prefix, header.slot), ' +
      'encodeSlot({ ...header, time: header.time + Math.random() }, body), { signal })',
    caughtBy: LOST,
  },
  {
    name: 'slots are deleted that begin an epoch',
    file: 'archive/slots.ts',
    find: '&& !(await this.#isOpen(slot))',
    replace: '',
    caughtBy: SHORTENED,
  },
  {
    name: 'an index does not say where the archive begins now',
    file: 'archive/slots.ts',
    find: '{ ...next, begin, index: next.slot }',
    replace: '{ ...next, index: next.slot }',
    caughtBy: SHORTENED,
  },
  {
    name: 'slots are deleted before the index says that the archive begins after them',
    file: 'archive/slots.ts',
    find: 'appendIndex(begin, index) {',
    replace: 'async appendIndex(begin, index) { await this.deleteBefore(begin, new Set());',
    caughtBy: SHORTENED,
  },
];
