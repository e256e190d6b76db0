import { unlessAborted } from '../base/abort.js';
import { Serial } from '../base/async.js';
import { asBuffer } from '../base/bytes.js';
import { TurnBudget } from '../base/turns.js';
import type { EntryId, SegmentReader, WriteAheadLog } from '../index.js';
import { Collected } from './collected.js';
import type { Commits } from './commits.js';
import { encodeFloor, topicOfMessage } from './entry-format.js';
import type { Registry } from './registry.js';
import type { Retentions } from './retention.js';
import type { Run, StoredMessage } from './run.js';
import type { RunPart, TopicFiles } from './topic-files.js';
import { encodeState } from './state-format.js';
import type { TopicState } from './state.js';

export interface CheckpointParts {
  readonly registry: Registry;
  readonly commits: Commits;
  readonly files: TopicFiles;
  readonly retentions: Retentions;
  readonly keepSegments: number;
  /** Messages of `topic` up to `id` are dropped by a limit, although they are not acknowledged. */
  readonly onDropped: (topic: TopicState, id: EntryId) => void;
}

/**
 * What becomes of full segments: what is still wanted in one is copied to a run, and all other state to the state file,
 * which says in one step what there is. Runs of which little is wanted are merged.
 */
export class Checkpoints {
  readonly #parts: CheckpointParts;
  /** What is decided by what groups want now must not run beside a group that begins to want something older. */
  readonly #serial = new Serial();
  #checkpointedId: EntryId;
  /** Ends the waiting of a segment that waits for more. */
  #wake: () => void = () => undefined;

  constructor(parts: CheckpointParts, checkpointedId: EntryId) {
    this.#parts = parts;
    this.#checkpointedId = checkpointedId;
  }

  /** Runs `change`, which may make a group want older messages, while none are being dropped. */
  exclusively<T>(change: () => Promise<T>): Promise<T> {
    return this.#serial.run(change);
  }

  /** Resolves when nothing is being checkpointed, merged or done exclusively. */
  idle(): Promise<void> {
    return this.#serial.idle();
  }

  /** The log has gone on to another segment. */
  onSegment(): void {
    this.#wake();
  }

  async checkpoint(lastId: EntryId, entries: SegmentReader, log: WriteAheadLog, signal: AbortSignal): Promise<void> {
    await this.#untilWorthIt(entries.segment.segmentId, log, signal);
    await this.#parts.commits.whenApplied(lastId, signal);
    await this.#serial.run(async () => {
      if (lastId > this.#checkpointedId) await this.#checkpoint(lastId, entries, signal);
    });
  }

  /** Merges what is worth it. Resolves with whether anything was. */
  merge(signal: AbortSignal): Promise<boolean> {
    return this.#serial.run(() => this.#merge(signal));
  }

  /** Waits while no more segments are closed than may be kept. */
  async #untilWorthIt(segmentId: number, log: WriteAheadLog, signal: AbortSignal): Promise<void> {
    const isClosed = (segment: { segmentId: number; state: string }): boolean => {
      return segment.segmentId >= segmentId && segment.state === 'closed';
    };
    while (log.stats().segments.filter(isClosed).length <= this.#parts.keepSegments) {
      signal.throwIfAborted();
      await unlessAborted(new Promise<void>((resolve) => (this.#wake = resolve)), signal);
    }
  }

  async #checkpoint(lastId: EntryId, entries: SegmentReader, signal: AbortSignal): Promise<void> {
    const { registry, files, retentions } = this.#parts;
    const collected = await this.#collect(entries);
    const expired = await this.#expire(collected);
    signal.throwIfAborted();
    const topics = collected.sorted();
    const parts = function* (): Generator<RunPart> {
      for (const { topic, messages } of topics) {
        const floor = expired.get(topic) ?? 0;
        const isWanted = ({ id }: StoredMessage): boolean => id > floor && retentions.isWanted(topic, id);
        yield { topic: topic.number, messages: messages.filter(isWanted) };
      }
    };
    const run = await files.writeRun(parts());
    await this.#replace(run === undefined ? [...registry.runs] : [...registry.runs, run], lastId, run);
    // All in one turn: a message must not be counted twice, nor not at all.
    for (const part of topics) registry.moveToRuns(part);
    registry.live.drop(entries.segment.segmentId);
  }

  /** Reads the messages of a segment. Topics that have ended meanwhile are left out. */
  async #collect(entries: SegmentReader): Promise<Collected> {
    const { registry, retentions } = this.#parts;
    const collected = new Collected();
    const turn = new TurnBudget();
    for await (const entry of entries) {
      const [chunk] = entry.chunksInMemory() ?? await entry.readAllChunks();
      const bytes = asBuffer(chunk);
      if (turn.spend(bytes.length)) await turn.nextTurn();
      const topic = registry.topicNumbered(topicOfMessage(bytes));
      if (topic === undefined) continue;
      // Where limits count, those count that are not wanted any more.
      collected.add(topic, entry.id, bytes, retentions.isLimited(topic) || retentions.isWanted(topic, entry.id));
    }
    return collected;
  }

  /** Drops what the limits of the topics do not allow any more. Returns up to which id, for each topic. */
  async #expire(collected: Collected): Promise<ReadonlyMap<TopicState, EntryId>> {
    const { registry, retentions, commits, onDropped } = this.#parts;
    const expired = new Map<TopicState, EntryId>();
    const now = Date.now();
    const turn = new TurnBudget();
    for (const topic of registry.topics()) {
      if (turn.spend(0)) await turn.nextTurn();
      if (!retentions.isLimited(topic)) continue;
      const id = retentions.expiredId(topic, collected.of(topic), now);
      if (id <= topic.floor) continue;
      expired.set(topic, id);
      if (topic.groups.length === 0 || topic.groups.some(({ cursor }) => cursor < id)) onDropped(topic, id);
      // If this is lost the rule says the same again.
      commits.append(encodeFloor(topic.number, id), { durable: false }).catch(() => undefined);
    }
    return expired;
  }

  /** Makes `runs`, of which one may be new, what there is, as far as anything in them is wanted. */
  async #replace(runs: readonly Run[], checkpointedId: EntryId, added: Run | undefined): Promise<void> {
    const { registry, commits, files } = this.#parts;
    const kept: Run[] = [];
    for (const run of runs) if ((await this.#wantedBytes(run)) > 0) kept.push(run);
    const stored = { checkpointedId, appliedId: commits.appliedId, runs: kept.map(({ number }) => number) };
    try {
      await files.prepareState(await encodeState(registry, stored, () => commits.appliedId));
    } catch (error) {
      if (added !== undefined) await files.removeRun(added);
      throw error;
    }
    await files.replaceState();
    const previous = [...registry.runs, ...runs];
    registry.runs.replace(kept);
    this.#checkpointedId = checkpointedId;
    for (const run of new Set(previous)) if (!kept.includes(run)) void files.removeRun(run);
  }

  async #wantedBytes(run: Run): Promise<number> {
    const turn = new TurnBudget();
    let wanted = 0;
    for (let i = 0; i < run.topics; i++) {
      wanted += this.#parts.retentions.wantedBytes(run.sliceAt(i));
      if (turn.spend(0)) await turn.nextTurn();
    }
    return wanted;
  }

  async #merge(signal: AbortSignal): Promise<boolean> {
    const { registry } = this.#parts;
    const runs = [...registry.runs];
    const weighed: { run: Run; wanted: number }[] = [];
    for (const run of runs) weighed.push({ run, wanted: await this.#wantedBytes(run) });
    const chosen = choose(weighed);
    if (chosen.length === 0) return false;
    signal.throwIfAborted();
    const merged = await this.#parts.files.writeRun(this.#wantedParts(chosen, signal));
    const at = runs.indexOf(chosen[0]);
    runs.splice(at, chosen.length, ...(merged === undefined ? [] : [merged]));
    await this.#replace(runs, this.#checkpointedId, merged);
    return true;
  }

  /** The wanted messages of runs, which follow one another, by topic. */
  async *#wantedParts(runs: readonly Run[], signal: AbortSignal): AsyncGenerator<{
    topic: number; messages: AsyncIterable<StoredMessage>;
  }> {
    const numbers = new Set<number>();
    for (const run of runs) for (let i = 0; i < run.topics; i++) numbers.add(run.sliceAt(i).topic);
    for (const number of [...numbers].sort((a, b) => a - b)) {
      signal.throwIfAborted();
      const topic = this.#parts.registry.topicNumbered(number);
      if (topic !== undefined) yield { topic: number, messages: this.#wantedOf(topic, runs) };
    }
  }

  async *#wantedOf(topic: TopicState, runs: readonly Run[]): AsyncGenerator<StoredMessage> {
    for (const run of runs) {
      const slice = run.find(topic.number);
      if (slice === undefined) continue;
      for (let at = slice.offset; at < slice.offset + slice.bytes;) {
        const { messages, end } = await run.read(slice, at, 256 * 1024);
        for (const message of messages) if (this.#parts.retentions.isWanted(topic, message.id)) yield message;
        at = end;
      }
    }
  }
}

/** Runs that together have no more wanted than this are made one. */
const SMALL_BYTES = 16 * 1024 * 1024;

/**
 * The runs to be merged, which follow one another: one of which less than half is wanted, with small ones beside it; or
 * four small ones. None if there are none.
 */
function choose(runs: readonly { readonly run: Run; readonly wanted: number }[]): Run[] {
  const isWasteful = ({ run, wanted }: { run: Run; wanted: number }): boolean => {
    return run.isReindexed || wanted * 2 < run.bytes;
  };
  for (let first = 0; first < runs.length; first++) {
    let [end, sum] = [first, 0];
    const isChosen = ({ run, wanted }: { run: Run; wanted: number }): boolean => {
      // A message in it cannot be copied.
      return !run.isDamaged && (end === first || sum + wanted <= SMALL_BYTES);
    };
    while (end < runs.length && isChosen(runs[end])) sum += runs[end++].wanted;
    const chosen = runs.slice(first, end);
    if (chosen.length === 0) continue;
    if (isWasteful(chosen[0]) || (chosen.length > 1 && chosen.some(isWasteful)) || chosen.length >= 4) {
      return chosen.map(({ run }) => run);
    }
  }
  return [];
}
