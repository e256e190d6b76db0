import { DAMAGED, JSON_OPTION, type Arguments, type Command } from '../command.js';
import { FoundTopics } from '../found-topics.js';
import { noteDamage } from '../found-log.js';
import { count, print, printJson, size, table } from '../output.js';
import { readable } from '../report/chunk-text.js';
import type { GroupState, TopicState } from '../../topics/state.js';

export const topics: Command = {
  name: 'topics',
  summary: 'show the topics in a log, and the groups that consume them',
  details: 'In flight are messages that were handed out and are not acknowledged, as far as\n'
    + 'the log knows: of groups with maxAttempts. One that was refused, or whose\n'
    + 'consumer has ended, is among them.\n'
    + 'Exit status: 2 if the log is damaged.',
  options: { json: JSON_OPTION },
  async run(args: Arguments): Promise<number> {
    const found = await FoundTopics.open(args.directory);
    const { registry, log } = found;
    const shown = [...registry.topics()].map((topic) => describe(topic, found)).sort(byName);
    const { count: runs, bytes: runBytes } = registry.runs;
    const { damage } = log;
    await found.close();
    if (args.has('json')) {
      await printJson({ topics: shown, runs, runBytes, lastId: log.reader.lastId, damage });
    } else {
      for (const line of topicTable(shown)) await print(line);
      if (shown.length > 0) await print();
      const groups = shown.reduce((sum, topic) => sum + topic.groups.length, 0);
      const what = `${count(shown.length, 'topic')}, ${count(groups, 'group')}`;
      await print(`${what}; ${count(runs, 'run')}, ${size(runBytes)}`);
    }
    noteDamage(damage, args.has('json'));
    return damage.length > 0 ? DAMAGED : 0;
  },
};

type Shown = ReturnType<typeof describe>;

function describe(topic: TopicState, { registry }: FoundTopics) {
  const { messages, bytes } = registry.amountAfter(topic, topic.floor);
  const groups = topic.groups.map(describeGroup).sort(byName);
  return { name: topic.name, firstId: registry.firstId(topic), lastId: topic.lastId, messages, bytes, groups };
}

/** Leases are in the memory of the process that has given them; attempts are in the log where they are counted. */
function describeGroup({ name, cursor, settings, attempts, lagMessages, lagBytes }: GroupState) {
  const inFlight = settings.maxAttempts === 0 ? null : attempts?.above(cursor).ids.length ?? 0;
  return { name, acknowledgedId: cursor, lag: { messages: lagMessages, bytes: lagBytes }, inFlight };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

/** A row for each group, the topic in the first of its own. */
function topicTable(shown: readonly Shown[]): string[] {
  if (shown.length === 0) return [];
  const head = ['topic', '>first', '>last', '>messages', '>size', 'group', '>lag', '>in flight'];
  return table(head, shown.flatMap(({ name, firstId, lastId, messages, bytes, groups: [first, ...others] }) => {
    const topic = [readableName(name), firstId, lastId, messages, size(bytes)];
    return [
      [...topic, ...groupCells(first)],
      ...others.map((group) => [...topic.map(() => ''), ...groupCells(group)]),
    ];
  }));
}

function groupCells(group: Shown['groups'][number] | undefined): (string | number)[] {
  return group === undefined ? ['', '', ''] : [readableName(group.name), group.lag.messages, group.inFlight ?? '?'];
}

/** A name as it is, unless it has characters that a line should not have. */
function readableName(name: string): string {
  const shown = readable(Buffer.from(name));
  return shown === `"${name}"` && !/\s/.test(name) ? name : shown;
}
