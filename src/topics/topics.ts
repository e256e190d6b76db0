import { EventEmitter } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertInternal } from '../base/assert.js';
import { show } from '../base/bytes.js';
import { systemEnvironment, type Environment } from '../base/environment.js';
import { NodeFileManager, WriteAheadLog } from '../index.js';
import type { CommitOptions, EntryId, WalError, WalOptions, WalStats } from '../index.js';
import { Core } from './core.js';
import { BegunAcks } from './begun-acks.js';
import { Delivery } from './delivery.js';
import { encodeMarks, encodeMessage } from './entry-format.js';
import { TopicsManager, VERSION_INFO } from './manager.js';
import { Message } from './message.js';
import { assertData, assertKey, assertKnown, assertName, integer } from './options.js';
import { isSameRetention, resolveRetention } from './options.js';
import type { Outgoing, ResolvedRetention, Retention, TopicsOptions } from './options.js';
import { Registry } from './registry.js';
import { TopicFiles } from './topic-files.js';
import type { TopicsEvents } from './topics-events.js';
import { Topic } from './topic.js';

/**
 * What becomes durable as one.
 *
 * @example
 * await topics.topic('orders').publish('order 1');
 * const [order] = await (await topics.topic('orders').group('billing')).take({ max: 1 });
 * const change: TopicsChange = { publish: [{ topic: 'bills', data: 'bill 1' }], ack: [order] };
 * console.log((await topics.commit(change)).length); // 1
 */
export interface TopicsChange {
  /** Messages to be published. */
  readonly publish?: readonly Outgoing[];
  /** Messages that were handed out, to be acknowledged. */
  readonly ack?: readonly Message[];
}

/**
 * Where topics stand.
 *
 * @example
 * await topics.topic('orders').publish('order 1');
 * const stats: TopicsStats = topics.stats();
 * console.log(stats.topics, stats.groups, stats.log.commits > 0); // 1 0 true
 */
export interface TopicsStats {
  /** How many topics there are. */
  readonly topics: number;
  /** How many groups there are. */
  readonly groups: number;
  /** The files with messages that are not in the log any more. */
  readonly runs: number;
  /** The length of those messages. */
  readonly runBytes: number;
  /** The log's own. */
  readonly log: WalStats;
}

const DEFAULT_KEEP_SEGMENTS = 4;

/**
 * Many durable streams in one log, each read by groups of consumers that remember where they are. All of them share one
 * flush. When `publish` has resolved, its message is handed out to every group of its topic, at least once, until it is
 * acknowledged.
 *
 * @example
 * const mine = await Topics.open('mine', options);
 * const group = await mine.topic('orders').group('billing');
 * await mine.topic('orders').publish('order 1');
 * const [order] = await group.take({ max: 1 });
 * await mine.commit({ publish: [{ topic: 'bills', data: 'bill 1' }], ack: [order] }); // both or none
 * console.log([...mine.names()].join(), group.lag.messages, mine.stats().groups); // orders,bills 0 1
 * await mine.close();
 */
export class Topics extends EventEmitter<TopicsEvents> implements AsyncDisposable {
  /** The log that everything is in. To be looked at: what else is appended to it makes it no log of topics any more. */
  readonly log: WriteAheadLog;
  readonly #core: Core;
  #closing: Promise<void> | undefined;

  private constructor(core: Core) {
    super();
    assertInternal(core instanceof Core, 'Topics', 'Topics.open()');
    this.#core = core;
    this.log = core.log;
  }

  /**
   * Opens the topics in `directory`, a path or a `file:` URL, or creates them. Rejects as `WriteAheadLog.recover` does.
   */
  static open(directory: string | URL, options: TopicsOptions = {}): Promise<Topics> {
    return Topics.openWith(systemEnvironment, directory, options);
  }

  /** @internal `open` with the clock of `environment`. */
  static async openWith(
    environment: Environment, directory: string | URL, options: TopicsOptions,
  ): Promise<Topics> {
    const { retain, keepSegments, walOptions, fileManager } = resolveOptions(options);
    const files = new TopicFiles(pathOf(directory), fileManager);
    const registry = new Registry();
    const manager = new TopicsManager(files, registry);
    const all = { ...walOptions, versionInfo: VERSION_INFO, fileManager: files.forLog() };
    let log: WriteAheadLog | undefined;
    let topics: Topics | undefined;
    try {
      log = await WriteAheadLog.recoverWith(environment, directory, manager, all);
      const { runs, checkpointedId, appliedId } = manager.stored;
      await files.removeLeftovers(runs);
      const report: Core['report'] = (name, ...details) => {
        queueMicrotask(() => void (topics as EventEmitter | undefined)?.emit(name, ...details));
      };
      const parts = { registry, files, environment, retain, keepSegments, report };
      const core = new Core(log, parts, checkpointedId, Math.max(appliedId, manager.lastId));
      topics = new Topics(core);
      manager.opened(core);
      return topics;
    } catch (error) {
      await manager.failed(error);
      await log?.shutdown();
      // What the state or an entry is at fault with is not hidden behind the fact that the log was told.
      throw (error as WalError).code === 'WAL_LOG_MANAGER_FAILED' ? (error as WalError).cause : error;
    }
  }

  /**
   * The topic `name`. No I/O: the first message makes it, or the first group. `retain` is its rule from now on, if
   * given. A TypeError or RangeError for a name that is empty, longer than 255 bytes or not well-formed.
   */
  topic(name: string, retain?: Retention): Topic {
    assertName('topic', name);
    const resolved = retain === undefined ? undefined : resolveRetention(retain);
    const existing = this.#core.registry.topicNamed(name);
    if (existing !== undefined && resolved !== undefined && !isSameRetention(existing.retain, resolved)) {
      existing.retain = resolved;
      existing.isChanged = true;
    }
    return new Topic(this.#core, name, resolved);
  }

  /**
   * Publishes messages and acknowledges others as one: after a crash all of it has happened or nothing. Resolves with
   * the ids of what was published when it is durable. Rejects as `publish` and `Message.ack` do; then none of it was
   * done.
   */
  async commit(change: TopicsChange, options?: CommitOptions): Promise<readonly EntryId[]> {
    assertKnown(change, ['publish', 'ack']);
    const { publish = [], ack = [] } = change;
    for (const outgoing of publish) assertOutgoing(outgoing);
    for (const { topic } of publish) await this.#core.room(topic);
    const acks = this.#beginAcks(ack);
    try {
      const { entries, published } = this.#entriesOf(publish, acks);
      const ids = entries.length === 0 ? [] : await this.#core.commits.appendBatch(entries, options);
      acks.end(true);
      return published.map((index) => ids[index]);
    } catch (error) {
      acks.end(false);
      throw error;
    }
  }

  /** The names of the topics there are, in no particular order. */
  *names(prefix = ''): IterableIterator<string> {
    if (typeof prefix !== 'string') throw new TypeError(`prefix must be a string, not ${show(prefix)}`);
    for (const { name } of this.#core.registry.topics()) if (name.startsWith(prefix)) yield name;
  }

  /** Where the topics stand now. */
  stats(): TopicsStats {
    const { registry, log } = this.#core;
    return {
      topics: registry.topicCount,
      groups: registry.groupCount,
      runs: registry.runs.count,
      runBytes: registry.runs.bytes,
      log: log.stats(),
    };
  }

  /**
   * Ends everything: consumers that wait are told, and what was accepted is brought to the disk. Messages that were
   * handed out and not acknowledged are handed out again after the next opening. Never rejects. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#core.close();
    return this.#closing;
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #beginAcks(messages: readonly Message[]): BegunAcks {
    const acks = new BegunAcks();
    try {
      for (const message of messages) {
        if (!(message instanceof Message)) throw new TypeError(`ack must have messages, not ${show(message)}`);
        const { lessor } = message;
        if (!(lessor instanceof Delivery)) throw new TypeError('a message that was only read has no lease');
        if (!this.#core.hasDelivery(lessor)) {
          throw new TypeError(`message ${message.id} was handed out by other topics`);
        }
        acks.begin(lessor, message);
      }
      return acks;
    } catch (error) {
      acks.end(false);
      throw error;
    }
  }

  /** The entries of a commit, and which of them are the messages. */
  #entriesOf(publish: readonly Outgoing[], acks: BegunAcks): { entries: Buffer[]; published: number[] } {
    const definitions: Buffer[] = [];
    const defined = new Map<string, number>();
    const messages = publish.map(({ topic, data, key }) => {
      let number = defined.get(topic);
      if (number === undefined) {
        const made = this.#core.define(topic, undefined);
        definitions.push(...made.definition);
        number = made.number;
        defined.set(topic, number);
      }
      return encodeMessage(number, Date.now(), data, key);
    });
    const entries = [...definitions, ...messages];
    if (!acks.isEmpty) entries.push(encodeMarks('acks', acks.marks()));
    return { entries, published: messages.map((_message, i) => definitions.length + i) };
  }
}

function assertOutgoing(outgoing: Outgoing): void {
  assertKnown(outgoing, ['topic', 'data', 'key']);
  assertName('topic', outgoing.topic);
  assertData(outgoing.data);
  assertKey(outgoing.key);
}

interface ResolvedOptions {
  readonly retain: ResolvedRetention;
  readonly keepSegments: number;
  readonly walOptions: WalOptions;
  readonly fileManager: NonNullable<WalOptions['fileManager']>;
}

function resolveOptions(options: TopicsOptions): ResolvedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options must be an object, not ${show(options)}`);
  }
  if ('versionInfo' in options) throw new TypeError('there is no option "versionInfo"');
  const { retain, keepSegments, ...walOptions } = options;
  return {
    retain: resolveRetention(retain === undefined ? {} : retain),
    keepSegments: keepSegments === undefined ? DEFAULT_KEEP_SEGMENTS : integer('keepSegments', keepSegments, 0, 1000),
    walOptions,
    fileManager: options.fileManager ?? new NodeFileManager(),
  };
}

function pathOf(directory: string | URL): string {
  if (directory instanceof URL) return fileURLToPath(directory);
  return typeof directory === 'string' ? path.resolve(directory) : '';
}
