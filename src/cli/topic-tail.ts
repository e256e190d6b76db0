import type { EntryId } from '../index.js';
import { DAMAGED, InputError } from './command.js';
import { changes } from './changes.js';
import { noteDamage } from './found-log.js';
import { FoundTopics, isOvertaken } from './found-topics.js';
import { noteRemark } from './output.js';
import type { Style } from './report/entry-lines.js';
import { printMessage } from './report/message-lines.js';

/** What to print of a topic. */
interface TopicTail {
  readonly directory: string;
  readonly topic: string;
  /** How many messages, of those there are. */
  readonly lines: number;
  readonly isFollowing: boolean;
  readonly style: Style;
}

/** Prints the last messages of a topic, and those that are added. Returns the exit status. */
export async function tailTopic(tail: TopicTail): Promise<number> {
  const messages = new TopicMessages(tail, await FoundTopics.open(tail.directory));
  try {
    return await messages.print();
  } finally {
    await messages.close();
  }
}

/** The messages of a topic, of which some may go to a run, or for good, before they are read. */
class TopicMessages {
  readonly #tail: TopicTail;
  #found: FoundTopics;
  /** Entries up to here have been printed, or passed. */
  #last: EntryId = 0;
  /** What has been said of damage. */
  readonly #noted = new Set<string>();

  constructor(tail: TopicTail, found: FoundTopics) {
    this.#tail = tail;
    this.#found = found;
  }

  async print(): Promise<number> {
    const { topic, isFollowing, directory } = this.#tail;
    if (this.#found.registry.topicNamed(topic) === undefined && !isFollowing) {
      throw new InputError(`${directory} has no topic ${JSON.stringify(topic)}`);
    }
    this.#last = await this.#beforeFirst();
    await this.#printNew();
    if (isFollowing) for await (const _ of changes(directory)) await this.#printNew();
    return this.#noted.size > 0 ? DAMAGED : 0;
  }

  async close(): Promise<void> {
    await this.#found.close();
  }

  /** The id before the first message to be printed. */
  async #beforeFirst(): Promise<EntryId> {
    const { topic: name, lines } = this.#tail;
    const { registry, log } = this.#found;
    const topic = registry.topicNamed(name);
    if (lines === 0 || topic === undefined) return log.reader.lastId;
    const ids: EntryId[] = [];
    let [from, left] = [topic.floor, registry.amountAfter(topic, topic.floor).messages];
    for (const run of registry.runs) {
      const slice = run.find(topic.number);
      if (slice === undefined || left - slice.count < lines) break;
      // None of these is among the last.
      [from, left] = [Math.max(from, slice.lastId), left - slice.count];
    }
    await this.#untilRead(async () => {
      ids.length = 0;
      await this.#found.forEachMessage(name, from, ({ id }) => {
        if (ids.push(id) >= 2 * lines + 1000) ids.splice(0, ids.length - lines);
      });
    });
    return (ids.slice(-lines)[0] ?? 1) - 1;
  }

  /** Prints the messages that have not been printed. */
  async #printNew(): Promise<void> {
    const { topic, style } = this.#tail;
    await this.#untilRead(async () => {
      await this.#found.refresh();
      const last = await this.#found.forEachMessage(topic, this.#last, async (message) => {
        await printMessage(message, topic, style);
        this.#last = message.id;
      });
      this.#last = last;
    });
    const damage = this.#found.log.damage.filter(({ message }) => !this.#noted.has(message));
    noteDamage(damage, style.json);
    for (const { message } of damage) this.#noted.add(message);
  }

  /** Tries `read` again, with what there is then, as long as messages go while they are read. */
  async #untilRead(read: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await read();
      } catch (error) {
        if (!isOvertaken(error)) throw error;
      }
      await this.#found.close();
      this.#found = await FoundTopics.open(this.#tail.directory);
      const { checkpointedId } = this.#found;
      if (this.#last >= checkpointedId) continue;
      const range = `${this.#last + 1} to ${checkpointedId}`;
      noteRemark(this.#tail.style.json, `of messages ${range} those that no group wants any more may be missing`);
    }
  }
}
