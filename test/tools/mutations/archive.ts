import { named, type Mutation, type NamedTest } from './mutation.js';

function explored(when: string): NamedTest {
  return named('unit/archive-protocol', `two writers confirm one entry, or one that is not in a restore, ${when}`);
}

function written(test: string): NamedTest {
  return named('unit/archive', test);
}

function kept(test: string): NamedTest {
  return named('unit/archive-upkeep', test);
}

function ended(test: string): NamedTest {
  return named('unit/archive-ends', test);
}

function cut(test: string): NamedTest {
  return named('unit/archive-truncation', test);
}

const SHORTENED = explored('while one takes over and the other shortens the archive');
const MERGED = explored('while one takes over and the other merges slots');
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
  {
    name: 'an entry is confirmed before its slot is stored',
    file: 'archive/archive.ts',
    find: 'await slots.append(entries);',
    replace: 'void slots.append(entries);',
    caughtBy: written('an entry is confirmed before it is in the store, or never'),
  },
  {
    name: 'a request that is never answered is waited for',
    file: 'archive/slot-store.ts',
    find: 'if (timeoutMs === undefined) return request(signal);',
    replace: 'return request(signal);',
    caughtBy: written('a request that is never answered stops shipping, or is sent again with other bytes'),
  },
  {
    name: 'a slot ends wherever its entries are as many as it holds',
    file: 'archive/shipment.ts',
    find: 'this.#endsBatch = entry.endsBatch;',
    replace: 'this.#endsBatch = true;',
    caughtBy: written('a batch is cut into two slots'),
  },
  {
    name: 'a slot is stored before the parts that it names',
    file: 'archive/part-writer.ts',
    find: 'this.parts.push(await storePart(this.#at, this.#nextKey(), body));',
    replace: 'const key = this.#nextKey(); void storePart(this.#at, key, body); ' +
      "this.parts.push({ key: this.parts.length > 0 ? key : key + '?', length: body.length, hash: '' });",
    caughtBy: written('an entry that is too large for memory is not archived as it is'),
  },
  {
    name: 'a store is not tried out before it is relied on',
    file: 'archive/archive.ts',
    find: 'await probe(at, writer);',
    replace: '',
    caughtBy: written('a store that overwrites what it is to create only once is taken for a safe one'),
  },
  {
    name: 'an archive is taken over before it is known whose it is',
    file: 'archive/taking-over.ts',
    find: 'assertSameLog(last, by.logId);',
    replace: '',
    caughtBy: written('an archive is taken over by another log, or its writer is fenced by the attempt'),
  },
  {
    name: "the archive's last entry is not compared with the log's",
    file: 'archive/taking-over.ts',
    find: 'await assertSameEntry(last, log);',
    replace: '',
    caughtBy: written('an archive is taken over by a log that has other entries, or its writer is fenced by the attempt'),
  },
  {
    name: 'a log that lacks entries of the archive gives out their ids again',
    file: 'archive/taking-over.ts',
    find: 'assertNotAhead(last, log);',
    replace: '',
    also: [{ file: 'archive/taking-over.ts', find: 'await assertSameEntry(last, log);', replace: '' }],
    caughtBy: written('an archive is taken over by a log that is older than the archive, or its writer is fenced by the attempt'),
  },
  {
    name: 'the log keeps nothing for its archive',
    file: 'archive/taking-over.ts',
    find: 'return { slots, hold, following };',
    replace: 'await hold.release(); return { slots, hold, following };',
    caughtBy: written('a commit waits for the store, or its segment is freed before it is archived'),
  },
  {
    name: 'entries that the log no longer has are passed over',
    file: 'archive/shipper.ts',
    find: 'this.#failure = { error };',
    replace: "if (error.code !== 'WAL_POSITION_GONE') this.#failure = { error }; " +
      'else { this.#lastId++; this.#parts.following.entries = this.#parts.log.entries({ from: this.#lastId + 1, follow: true }); }',
    caughtBy: written('a log fills the disk for an archive that does not get on, or its gap is not reported'),
  },
  {
    name: 'what is not archived yet is forgotten when the archive is closed',
    file: 'archive/archive.ts',
    find: 'this.#shipper.finish();',
    replace: 'this.#shipper.stop();',
    caughtBy: written('a closing archive forgets what is durable already, or waits for ever for the store'),
  },
  {
    name: 'an archive goes on where its hold does',
    file: 'archive/taking-over.ts',
    find: 'following = follow(log, last === undefined ? firstId : last.lastId + 1);',
    replace: 'following = follow(log, firstId);',
    caughtBy: written('an archive goes on somewhere else than where it ends'),
  },
  {
    name: 'a slot is sent as soon as there is an entry for it',
    file: 'archive/shipper.ts',
    find: 'this.#lastSentAt + this.#parts.everyMs',
    replace: '0',
    caughtBy: written('entries are sent more often than every `everyMs`, or not after it'),
  },
  {
    name: 'a truncation of what is archived is not told from a gap',
    file: 'archive/archive.ts',
    find: "cause.code !== 'WAL_POSITION_GONE') return cause;",
    replace: "cause.code !== 'WAL_POSITION_GONE') return cause; return cause;",
    caughtBy: written('an archive goes on after the log has been truncated below what it has'),
  },
  {
    name: 'the slots that are merged are deleted before the index names their run',
    file: 'archive/upkeep.ts',
    find: 'await slots.appendIndex(end, index);',
    replace: 'await this.#deleteUnnamed(before, index, end); await slots.appendIndex(end, index);',
    caughtBy: MERGED,
  },
  {
    name: 'an index names a run that is not stored yet',
    file: 'archive/upkeep.ts',
    find: "const part = await storePart(at, keys.next('runs'), Buffer.concat(open.bytes));",
    replace: "const key = keys.next('runs'); void storePart(at, key, Buffer.concat(open.bytes)); const part = { key };",
    caughtBy: MERGED,
  },
  {
    name: 'merging leaves out the slot that was created last',
    file: 'archive/upkeep.ts',
    find: 'number < end; number++',
    replace: 'number < end - 1; number++',
    caughtBy: MERGED,
  },
  {
    name: 'entries are dropped that no snapshot has',
    file: 'archive/retention.ts',
    find: 'lastId > kept[0].lastId',
    replace: 'false',
    caughtBy: kept('entries that a snapshot has are kept for ever, or those that it has not are dropped'),
  },
  {
    name: 'the snapshot is dropped that the oldest state to be kept is restored from',
    file: 'archive/retention.ts',
    find: 'Math.min(byTime, byNumber)',
    replace: 'Math.min(byTime + 1, byNumber)',
    caughtBy: kept('the state at some moment that was to be kept cannot be restored any more'),
  },
  {
    name: 'a slot is deleted that is a run itself',
    file: 'archive/upkeep.ts',
    find: 'index.runs.filter(isSlotItself).map(({ firstSlot }) => firstSlot)',
    replace: '[]',
    caughtBy: kept('a slot as large as a run is copied into one, or deleted as if it had been'),
  },
  {
    name: 'what a dead process has left is never deleted',
    file: 'archive/upkeep.ts',
    find: 'epoch < this.#parts.keys.epoch',
    replace: 'epoch < 0',
    caughtBy: kept('what a process that died has left, and nothing names, stays for ever'),
  },
  {
    name: 'an archive that is closed ships what is written meanwhile',
    file: 'archive/shipper.ts',
    find: 'this.#endId = this.#parts.log.durableId;',
    replace: '',
    caughtBy: ended('a closing archive ships what is written after the call, and so never ends'),
  },
  {
    name: 'only an object of the sequence counts as an answer of the store',
    file: 'archive/archive.ts',
    find: 'at.onAnswer = () => this.#figures.answers++;',
    replace: '',
    caughtBy: ended('a closing archive gives up although the store takes one part of a large entry after the other'),
  },
  {
    name: 'the end of the log is not told to those who wait for the archive',
    file: 'archive/archive.ts',
    find: 'this.#waiters.reject(error, (id) => id > lastId);',
    replace: '',
    caughtBy: ended('a caller waits for ever for an entry that a log that was shut down will not have'),
  },
  {
    name: 'a directory of objects forgets that a sync has failed',
    file: 'archive/directory-store.ts',
    find: 'this.#failure ??= new Error(message, { cause });',
    replace: 'throw cause;',
    caughtBy: ended('an object is confirmed by the sync after one that failed'),
  },
  {
    name: 'requests are made beside those that a disk has never answered',
    file: 'archive/directory-store.ts',
    find: 'this.#abandoned.size > 0',
    replace: 'false',
    caughtBy: ended('requests that are given up on a disk that does not answer take one thread after the other'),
  },
  {
    name: 'an archive that continues has missed what was truncated before its first entry',
    file: 'engine/read/entry-iterator.ts',
    find: "knownId = typeof from === 'number' ? from - 1 : 0",
    replace: 'knownId = 0',
    caughtBy: named('unit/follow', 'an iterator that began at an id shows what took the place of the entries before it (memory)'),
  },
  {
    name: 'entries are confirmed that replaced archived ones',
    file: 'archive/archive.ts',
    find: 'return Math.min(this.#archivedId, this.#truncated.commonId);',
    replace: 'return this.#archivedId;',
    caughtBy: cut('entries that replace archived ones are confirmed, and what comes after them is archived after the old ones'),
  },
  {
    name: 'entries are sent that have been truncated since they were collected',
    file: 'archive/archive.ts',
    find: 'if (truncatedAfter(log, shipment.truncations) < shipment.lastId)',
    replace: 'if (false)',
    caughtBy: cut('a truncation is missed while an archive is closed, or an entry that was dropped is still sent'),
  },
  {
    name: 'the rest of a batch is replaced by another',
    file: 'engine/read/entry-iterator.ts',
    find: 'this.#knownId = endsBatch ? id : id + 1;',
    replace: 'this.#knownId = id;',
    caughtBy: cut('an entry that a truncation makes the last of its batch is archived in a batch with the next, or hangs'),
  },
  {
    name: 'a hold is released although nothing is needed before it',
    file: 'archive/taking-over.ts',
    find: 'if (hold.from > last.lastId + 1) hold =',
    replace: 'if (hold.from > last.lastId) hold =',
    also: [{
      file: 'archive/taking-over.ts',
      find: 'const moved = await log.hold(name, { maxBytes, from }).catch(ignoreGone);',
      replace: 'await hold.release(); await new Promise((resolve) => setTimeout(resolve, 20)); ' +
        'const moved = await log.hold(name, { maxBytes, from }).catch(ignoreGone);',
    }],
    caughtBy: written('what a new archive waits for is freed when it is opened again, before it is archived'),
  },
  {
    name: 'a hold that is broken is broken for ever',
    file: 'archive/taking-over.ts',
    find: 'if (hold !== lowest) await hold.release();',
    replace: 'if (hold !== lowest && !hold.isBroken) await hold.release();',
    caughtBy: written('a log that kept too much for one archive can never have another'),
  },
  {
    name: 'an archive that has ended reads the log for ever',
    file: 'archive/shipper.ts',
    find: 'await this.#parts.following.entries.return?.();',
    replace: '',
    caughtBy: written('an archive that has ended keeps a segment of the log in use'),
  },
  {
    name: 'only the last entries of an archive and its log are compared',
    file: 'archive/taking-over.ts',
    find: 'if (kept) await assertSameEntries(last, log, at, firstId);',
    replace: '',
    caughtBy: cut('an archive goes on although entries before its last one, which is equal, have been replaced'),
  },
  {
    name: 'an opening that fails leaves a hold',
    file: 'archive/taking-over.ts',
    find: 'if (!kept) await hold.release().catch(() => undefined);',
    replace: '',
    caughtBy: cut('a log keeps entries for an archive that it could not take over'),
  },
];
