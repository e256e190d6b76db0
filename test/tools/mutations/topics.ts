import { named, type Mutation, type NamedTest } from './mutation.js';

function crash(seed: number): NamedTest {
  return named('crash/topics-crashes', `topics lose, make up or repeat something when they crash (seed ${seed})`);
}

/** What topics promise and do not keep. */
export const TOPICS: readonly Mutation[] = [
  {
    name: 'a message is handed out before it is durable',
    file: 'topics/commits.ts',
    find: 'this.#waitForDurable(committed[committed.length - 1].id); break;',
    replace: '',
    caughtBy: named('unit/topics', 'a message is handed out before it is durable (node)'),
  },
  {
    name: 'an acknowledgement is written apart from what is committed with it',
    file: 'topics/topics.ts',
    find: 'await this.#core.commits.appendBatch(entries, options)',
    replace: '[...await this.#core.commits.appendBatch(entries.slice(0, -1), options), ' +
      '...await this.#core.commits.appendBatch(entries.slice(-1), options)]',
    caughtBy: crash(0),
  },
  {
    name: 'a group passes messages whose acknowledgement is not durable',
    file: 'topics/delivery.ts',
    find: 'async ack(message) { const slot = this.beginAck(message);',
    replace: 'async ack(message) { const slot = this.beginAck(message); this.group.passTo(slot.id);',
    caughtBy: crash(0),
  },
  {
    name: 'a run is not synced before the state names it',
    file: 'topics/topic-files.ts',
    find: 'this.#assertMayWrite); await this.#file.sync();',
    replace: 'this.#assertMayWrite);',
    caughtBy: crash(0),
  },
  {
    name: 'the name of a run is not synced before the state names it',
    file: 'topics/topic-files.ts',
    find: 'await this.#syncDirectory(); return new Run(',
    replace: 'return new Run(',
    caughtBy: crash(2),
  },
  {
    name: 'the state is not synced before it takes the place of the old one',
    file: 'topics/topic-files.ts',
    find: 'await file.sync(); }, \'create\');',
    replace: '}, \'create\');',
    caughtBy: crash(0),
  },
  {
    name: 'messages that the state has counted are counted again when they are recovered',
    file: 'topics/state-format.ts',
    find: 'group.countedTo = appliedId + reader.number();',
    replace: 'reader.number();',
    caughtBy: crash(0),
  },
  {
    name: 'a message is handed out before its attempt is counted',
    file: 'topics/delivery.ts',
    find: 'if (!isCounted) return this.#lease(taker, taken);',
    replace: 'return this.#lease(taker, taken);',
    caughtBy: named('unit/topics-delivery', 'a message that kills its process is handed out without end (memory)'),
  },
  {
    name: 'a late acknowledgement is taken for that of the present consumer',
    file: 'topics/delivery.ts',
    find: "if (state === 'leased' && attempt === message.attempt)",
    replace: "if (state === 'leased')",
    caughtBy: named('unit/topics-delivery', 'a message whose consumer is gone stays with it for ever'),
  },
  {
    name: 'an acknowledgement says where a group was before it moved',
    file: 'topics/marking.ts',
    find: "kind === 'acks' && group.moving === 0 ?",
    replace: "kind === 'acks' ?",
    caughtBy: named(
      'unit/topics-delivery', 'a group that goes back while something is acknowledged stands before it again after a restart',
    ),
  },
  {
    name: 'a message goes as soon as one of two groups has acknowledged it',
    file: 'topics/retention.ts',
    find: 'return topic.groups.some((group) => group.wants(id));',
    replace: 'return topic.groups.every((group) => group.wants(id));',
    caughtBy: named('unit/topics', 'two groups of a topic take messages from one another (memory)'),
  },
  {
    name: 'a group is made while messages that it wants are going',
    file: 'topics/checkpoints.ts',
    find: 'exclusively(change) { return this.#serial.run(change); }',
    replace: 'exclusively(change) { return change(); }',
    caughtBy: named('unit/topics-delivery', 'a group that is made during a checkpoint is promised messages that are just going'),
  },
];
