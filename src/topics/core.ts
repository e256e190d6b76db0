import { ignoreRejection } from '../base/async.js';
import type { Environment } from '../base/environment.js';
import { Waiters } from '../base/waiters.js';
import { WalError, type ChunkData, type CommitOptions, type EntryId, type WriteAheadLog } from '../index.js';
import { Checkpoints } from './checkpoints.js';
import { Commits } from './commits.js';
import { Delivery, type DeliveryParts } from './delivery.js';
import { decodeMessage, encodeMarks, encodeMessage, encodeTopic } from './entry-format.js';
import { Marking, marksOf } from './marking.js';
import { whenFull, type ResolvedRetention } from './options.js';
import { RecentMessages } from './recent-messages.js';
import type { Registry } from './registry.js';
import { Retentions } from './retention.js';
import type { Slot } from './slots.js';
import type { GroupState, TopicObserver, TopicState } from './state.js';
import type { TopicFiles } from './topic-files.js';
import type { MessageSources } from './topic-reader.js';
import { TopicsError } from './topics-error.js';
import type { TopicsEvents } from './topics-events.js';

/** What is in memory of the latest messages, in bytes. */
const RECENT_BYTES = 16 * 1024 * 1024;

export interface CoreParts {
  readonly registry: Registry;
  readonly files: TopicFiles;
  readonly environment: Environment;
  readonly retain: ResolvedRetention;
  readonly keepSegments: number;
  report<Name extends keyof TopicsEvents>(this: void, name: Name, ...details: TopicsEvents[Name]): void;
}

/** The parts of open topics, and how they are joined. */
export class Core implements MessageSources {
  readonly registry: Registry;
  readonly log: WriteAheadLog;
  readonly recent = new RecentMessages(RECENT_BYTES);
  readonly commits: Commits;
  readonly checkpoints: Checkpoints;
  readonly retentions: Retentions;
  readonly report: CoreParts['report'];
  readonly #parts: CoreParts;
  readonly #delivery: DeliveryParts;
  readonly #lazyAcks: Marking;
  /** The numbers of topics that are being made, by name. */
  readonly #making = new Map<string, number>();
  /** Publishers that wait for room in a topic. */
  readonly #waiting = new Waiters<TopicState>();
  readonly #deliveries = new Set<Delivery>();
  /** Aborted when nothing more is to be done. */
  readonly #ending = new AbortController();
  #closed: Error | undefined;

  constructor(log: WriteAheadLog, parts: CoreParts, checkpointedId: EntryId, appliedId: EntryId) {
    const { registry, retain } = parts;
    this.#parts = parts;
    this.registry = registry;
    this.log = log;
    this.report = parts.report;
    this.commits = new Commits(log, registry, appliedId, () => this.#onApplied());
    this.retentions = new Retentions(registry, retain);
    this.checkpoints = new Checkpoints({
      ...parts,
      commits: this.commits,
      retentions: this.retentions,
      onDropped: (topic, id) => this.#onDropped(topic, id),
    }, checkpointedId);
    this.#lazyAcks = new Marking(this.commits, 'acks', { durable: false });
    this.#delivery = this.#deliveryParts();
    registry.onMessage = (id, bytes) => this.recent.add(id, bytes);
    log.on('segment', () => this.checkpoints.onSegment());
    log.on('failed', (error) => this.#end(error));
  }

  /** Why nothing can be done any more. */
  get closed(): Error | undefined {
    return this.#closed;
  }

  /** Publishes one message. */
  publish(
    name: string, data: ChunkData | readonly ChunkData[], key: string | undefined,
    retain: ResolvedRetention | undefined, options: CommitOptions | undefined,
  ): Promise<EntryId> {
    const topic = this.registry.topicNamed(name);
    if (topic !== undefined && !topic.isChanged) {
      return this.commits.append(encodeMessage(topic.number, Date.now(), data, key), options);
    }
    const { number, definition } = this.define(name, retain);
    const message = encodeMessage(number, Date.now(), data, key);
    return this.commits.appendBatch([...definition, message], options).then((ids) => ids[definition.length]);
  }

  /** The number of a topic, and the entry that has to come with the first that names it, as long as it is new. */
  define(name: string, retain: ResolvedRetention | undefined): { number: number; definition: Buffer[] } {
    const topic = this.registry.topicNamed(name);
    if (topic !== undefined) {
      if (!topic.isChanged) return { number: topic.number, definition: [] };
      return { number: topic.number, definition: [encodeTopic({ topic: topic.number, name, retain: topic.retain })] };
    }
    const number = this.#making.get(name) ?? this.registry.nextTopic++;
    this.#making.set(name, number);
    return { number, definition: [encodeTopic({ topic: number, name, retain })] };
  }

  /** Whether a publisher has to wait for room in a topic, or is rejected. */
  isFull(name: string): boolean {
    const topic = this.registry.topicNamed(name);
    return topic !== undefined && this.retentions.isFull(topic);
  }

  /** Waits until there is room in the topic, or rejects, as its rule says. */
  async room(name: string, signal?: AbortSignal): Promise<void> {
    const topic = this.registry.topicNamed(name);
    if (topic === undefined || !this.retentions.isFull(topic)) return;
    const retain = this.retentions.of(topic);
    if (whenFull(retain) === 'wait') return this.#waiting.wait(topic, signal);
    const message = `the topic ${JSON.stringify(name)} retains ${retain.bytes} bytes, and may not retain more`;
    throw new TopicsError('TOPICS_FULL', message, { topic: name });
  }

  /** What hands out the messages of a group. */
  delivery(group: GroupState): Delivery {
    const existing = group.observer as Delivery | undefined;
    if (existing !== undefined) return existing;
    const delivery = new Delivery(group, this.#delivery);
    if (this.#closed !== undefined) delivery.close(this.#closed);
    this.#deliveries.add(delivery);
    return delivery;
  }

  /** Whether `delivery` hands out messages of these topics. */
  hasDelivery(delivery: Delivery): boolean {
    return this.#deliveries.has(delivery);
  }

  observe(topic: TopicState, observer: TopicObserver): () => void {
    topic.observers ??= new Set();
    topic.observers.add(observer);
    return () => {
      topic.observers?.delete(observer);
      if (topic.observers?.size === 0) topic.observers = undefined;
    };
  }

  /** Takes nothing new, and brings to the disk what was accepted. */
  async close(): Promise<void> {
    this.#end(new WalError('WAL_CLOSED', 'the topics have been closed'));
    // What was acknowledged in this moment is being gathered.
    for (let i = 0; i < 4; i++) await Promise.resolve();
    // While the directory is owned.
    await this.checkpoints.idle();
    await this.log.shutdown();
    this.#parts.files.fail(new WalError('WAL_CLOSED', 'the topics have been closed'));
    for (const run of this.registry.runs) await run.close();
  }

  /** Merges runs as long as that is worth it, in the background. What cannot be merged now is looked at next time. */
  mergeRuns(): void {
    const merge = async (): Promise<void> => {
      while (!this.#ending.signal.aborted && await this.checkpoints.merge(this.#ending.signal));
    };
    ignoreRejection(merge());
  }

  #deliveryParts(): DeliveryParts {
    const acks = new Marking(this.commits, 'acks', { durable: true });
    return {
      registry: this.registry,
      log: this.log,
      recent: this.recent,
      environment: this.#parts.environment,
      acks: {
        add: (group, mark) => (group.settings.cursor === 'lazy' ? this.#lazyAcks : acks).add(group, mark),
      },
      attempts: new Marking(this.commits, 'attempts', { durable: false }),
      bury: (group, slot) => this.#bury(group, slot),
      onLeaseExpired: ({ name, topic }, { id, attempt }) => {
        this.report('leaseExpired', { topic: topic.name, group: name, id, attempt });
      },
    };
  }

  /** Moves a message to the dead letter topic, and acknowledges it, in one. */
  async #bury(group: GroupState, slot: Slot): Promise<void> {
    const { id, bytes, attempt } = slot;
    const { topic, name, settings } = group;
    const to = settings.deadLetter === '' ? `${topic.name}.dead` : settings.deadLetter;
    const { number, definition } = this.define(to, undefined);
    const { chunks, key } = decodeMessage(bytes);
    const message = encodeMessage(number, Date.now(), chunks, key);
    const acks = encodeMarks('acks', [marksOf(group, [slot], 'acks', () => bytes.length)]);
    const ids = await this.commits.appendBatch([...definition, message, acks], { durable: true });
    const deadLetterId = ids[definition.length];
    this.report('deadLetter', { topic: topic.name, group: name, id, attempts: attempt, deadLetter: to, deadLetterId });
  }

  /** What is lost to groups if messages of `topic` up to `id` are dropped; undefined if nothing is. */
  wantedUpTo(topic: TopicState, id: EntryId): TopicsEvents['dropped'][0] | undefined {
    const from = this.registry.firstId(topic);
    const groups = topic.groups.filter(({ cursor }) => cursor < id).map(({ name }) => name);
    return from === 0 || from > id || groups.length === 0 ? undefined : { topic: topic.name, from, to: id, groups };
  }

  #onDropped(topic: TopicState, id: EntryId): void {
    const groups = topic.groups.filter(({ cursor }) => cursor < id).map(({ name }) => name);
    this.report('dropped', { topic: topic.name, from: this.registry.firstId(topic), to: id, groups });
  }

  #onApplied(): void {
    if (this.#making.size > 0) {
      const isMade = (name: string): boolean => this.registry.topicNamed(name) !== undefined;
      for (const name of this.#making.keys()) if (isMade(name)) this.#making.delete(name);
    }
    if (this.#waiting.size > 0) this.#waiting.resolve((topic) => topic.isDeleted || !this.retentions.isFull(topic));
  }

  #end(error: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.#ending.abort(error);
    if ((error as WalError).code !== 'WAL_CLOSED') this.#parts.files.fail(error);
    this.#waiting.reject(error);
    for (const delivery of this.#deliveries) delivery.close(error);
    for (const topic of this.registry.topics()) {
      if (topic.observers !== undefined) for (const observer of topic.observers) observer.onDeleted();
    }
  }
}
