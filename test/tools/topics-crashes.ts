/** Runs topics on a simulated disk, crashes them at every call, and compares what is found with the model. */
import { Topics, type Group, type Message } from '../../src/topics/index.js';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint } from '../support/crash-point.js';
import { Random } from '../support/random.js';
import { randomPowerLoss } from '../support/scenario.js';
import { HangError, Scheduler } from '../support/scheduler.js';
import { settingsFor } from '../support/settings.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { applies, faultAtCall, SimulatedFileManager } from '../support/simulated-file-manager.js';
import type { Call, Fault, SimulatedFileManagerOptions } from '../support/simulated-file-manager.js';
import { text as textOfBytes } from './helpers.js';
import { TopicsModel, type Acked, type Found, type Sent, type TopicsEvent } from './topics-model.js';

const DIRECTORY = '/topics';
/** The groups, each with the name of its topic in front. One counts its attempts durably. */
const GROUPS = ['a/g', 'in/plain', 'in/counted'];
const MAX_ATTEMPTS = 50;

export interface TopicsCrashReport {
  moments: number;
  states: number;
}

type ProcessOptions = Pick<SimulatedFileManagerOptions, 'onStep' | 'faultAt'>;

interface Moment {
  readonly what: string;
  readonly point: CrashPoint;
  readonly events: number;
}

/** One process that uses topics, and says what it does. */
class TopicsProcess {
  readonly events: TopicsEvent[];
  readonly scheduler: Scheduler;
  readonly files: SimulatedFileManager;
  readonly #seed: number;
  readonly #random: Random;
  readonly #groups = new Map<string, Group>();
  #topics: Topics | undefined;
  #sent = 0;

  constructor(
    disk: SimulatedDisk, seed: number, random: Random, events: readonly TopicsEvent[], options: ProcessOptions = {},
  ) {
    this.#seed = seed;
    this.#random = random;
    this.events = [...events];
    this.scheduler = new Scheduler(random.fork());
    const { durableWrites } = settingsFor(seed);
    this.files = new SimulatedFileManager(disk, {
      scheduler: this.scheduler, durableWrites, ...options,
    });
  }

  get topics(): Topics {
    if (this.#topics === undefined) throw new Error('not open');
    return this.#topics;
  }

  settled<T>(promise: Promise<T>, what: string): Promise<T> {
    return this.scheduler.settled(promise, what);
  }

  async open(): Promise<void> {
    const { options } = settingsFor(this.#seed);
    const all = { ...options, fileManager: this.files, keepSegments: this.#seed % 3 === 2 ? 1 : 0 };
    this.#topics = await this.settled(Topics.open(DIRECTORY, all), 'open');
    for (const name of GROUPS) {
      const [topic, group] = name.split('/');
      const counted = group === 'counted' ? { maxAttempts: MAX_ATTEMPTS } : {};
      this.#groups.set(name, await this.settled(this.topics.topic(topic).group(group, counted), `group ${name}`));
    }
  }

  /** Everything there is, which stays: groups are handed all they want, and acknowledge nothing. */
  async look(): Promise<Found> {
    const topics = new Map<string, { id: number; text: string }[]>();
    for (const name of this.topics.names()) {
      const messages: { id: number; text: string }[] = [];
      topics.set(name, messages);
      const read = async (): Promise<void> => {
        for await (const message of this.topics.topic(name).read()) messages.push({ id: message.id, text: textOf(message) });
      };
      await this.settled(read(), `reading ${name}`);
    }
    const groups = new Map<string, Map<string, number>>();
    for (const [name, group] of this.#groups) {
      const handed = new Map<string, number>();
      groups.set(name, handed);
      while (group.lag.inFlight < group.lag.messages) {
        for (const message of await this.#take(name, 100)) {
          if (handed.has(textOf(message))) throw new Error(`${name} is handed ${textOf(message)} twice`);
          handed.set(textOf(message), message.attempt);
        }
      }
    }
    return { topics, groups };
  }

  /** Some of everything, much of it at once. */
  async step(number: number): Promise<void> {
    const sending = [this.publish('a'), this.publish('b'), this.publish('in')];
    if (number % 3 === 1) sending.push(this.commit(['b', 'audit', 'b'], undefined));
    await this.settled(this.#together(sending), `publishing in step ${number}`);
    const acks: Promise<unknown>[] = [];
    const begin = (ack: Promise<unknown>): void => {
      // It may be rejected before all are begun.
      ack.catch(() => undefined);
      acks.push(ack);
    };
    for (const message of await this.#take('a/g', 2)) {
      if (this.#random.oneIn(4)) begin(message.nack());
      else begin(this.ack('a/g', message));
    }
    for (const name of ['in/plain', 'in/counted']) {
      const [message] = await this.#take(name, 1);
      if (message === undefined) continue;
      if (this.#random.oneIn(5)) begin(message.nack());
      else if (this.#random.oneIn(3)) begin(this.ack(name, message));
      else begin(this.commit(['out', 'audit'], { name, message }));
    }
    await this.settled(this.#together(acks), `acknowledging in step ${number}`);
  }

  /** Waits for all of them, also if one is rejected. */
  async #together(promises: readonly Promise<unknown>[]): Promise<void> {
    const rejected = (await Promise.allSettled(promises)).find(({ status }) => status === 'rejected');
    if (rejected !== undefined) throw (rejected as PromiseRejectedResult).reason;
  }

  async publish(topic: string): Promise<void> {
    const texts = [this.#next(topic)];
    this.events.push({ what: 'publish', texts });
    const id = await this.topics.topic(topic).publish(texts[0].text);
    this.events.push({ what: 'published', texts, ids: [id] });
  }

  async commit(topics: readonly string[], from: { name: string; message: Message } | undefined): Promise<void> {
    const texts = topics.map((topic) => this.#next(topic));
    const ack = from && { group: from.name, text: textOf(from.message) };
    this.events.push({ what: 'publish', texts, ...(ack && { ack }) });
    const publish = texts.map(({ topic, text }) => ({ topic, data: text }));
    const ids = await this.topics.commit({ publish, ack: from === undefined ? [] : [from.message] });
    this.events.push({ what: 'published', texts, ids, ...(ack && { ack }) });
  }

  async ack(group: string, message: Message): Promise<void> {
    const ack: Acked = { group, text: textOf(message) };
    this.events.push({ what: 'ack', ack });
    await message.ack();
    this.events.push({ what: 'acked', ack });
  }

  async #take(name: string, max: number): Promise<readonly Message[]> {
    const group = this.#groups.get(name);
    if (group === undefined || group.lag.messages === group.lag.inFlight) return [];
    const taken = group.take({ max }).then((messages) => {
      for (const message of messages) {
        this.events.push({ what: 'handed out', group: name, text: textOf(message), attempt: message.attempt });
      }
      return messages;
    });
    return this.settled(taken, `taking from ${name}`);
  }

  #next(topic: string): Sent {
    this.#sent++;
    const text = `${topic} ${this.#seed} ${this.events.length} ${this.#sent} `;
    return { topic, text: text.padEnd(40 + this.#random.below(160), '.') };
  }
}

function textOf({ chunks }: Message): string {
  return chunks.map(textOfBytes).join();
}

/** Crashes a run of `steps` at every call, as far as `limit` choices at each go. Throws for what must not be. */
export async function crashTopics(seed: number, steps: number, limit: number): Promise<TopicsCrashReport> {
  const moments: Moment[] = [];
  const disk = new SimulatedDisk(settingsFor(seed).traits);
  const random = new Random(seed);
  const remember = (what: string): void => void moments.push({ what, point: disk.crashPoint(), events: process.events.length });
  const onStep = ({ kind, path }: Call): void => remember(`${kind} ${path}`);
  const process = new TopicsProcess(disk, seed, random, [], { onStep });
  await process.open();
  for (let i = 0; i < steps; i++) {
    await process.step(i);
    remember(`step ${i} had resolved`);
  }
  await process.scheduler.idle();
  process.files.kill();
  const report = { moments: moments.length, states: 0 };
  const seen = new Set<string>();
  for (const [i, moment] of moments.entries()) {
    try {
      report.states += await crashAt(moment, process.events.slice(0, moment.events), seed, random, seen, limit);
    } catch (error) {
      throw new Error(`seed ${seed}, crash at moment ${i} (${moment.what}): ${(error as Error).message}`, { cause: error });
    }
  }
  return report;
}

async function crashAt(
  { point }: Moment, events: readonly TopicsEvent[], seed: number, random: Random, seen: Set<string>, limit: number,
): Promise<number> {
  const disks = someCrashChoices(point, random, limit).map((fates) => (
    { disk: point.powerLoss(fates, random.next()), isProcessDeath: false }
  ));
  disks.push({ disk: point.processDeath(() => random.oneIn(2)), isProcessDeath: true });
  let states = 0;
  for (const { disk, isProcessDeath } of disks) {
    const key = `${events.length} ${isProcessDeath} ${disk.fingerprint()}`;
    if (seen.has(key)) continue;
    seen.add(key);
    await openTwice(disk, isProcessDeath, events, seed, random);
    states += 2;
  }
  return states;
}

/** Opens what a crash left, looks, goes on, crashes again, and looks again. */
async function openTwice(
  disk: SimulatedDisk, isProcessDeath: boolean, events: readonly TopicsEvent[], seed: number, random: Random,
): Promise<void> {
  const first = new TopicsProcess(disk, seed, random, events);
  await first.open();
  const model = new TopicsModel(events);
  const found = await first.look();
  model.check(found, isProcessDeath);
  first.events.push(...model.certain(found));
  await first.settled(Promise.all([first.publish('a'), first.publish('in'), first.commit(['b', 'out'], undefined)]), 'going on');
  void first.publish('b').catch(() => undefined);
  const point = disk.crashPoint();
  const isSecondDeath = random.oneIn(3);
  const after = isSecondDeath ? point.processDeath(() => random.oneIn(2)) : randomPowerLoss(point, random);
  first.files.kill();
  const second = new TopicsProcess(after, seed, random, first.events);
  await second.open();
  new TopicsModel(first.events).check(await second.look(), isSecondDeath);
  second.files.kill();
}


/** Makes one call after the other fail, as far as `isWanted`, and looks at what a crash then leaves. */
export async function faultTopics(
  seed: number, steps: number, isWanted: (run: number) => boolean,
): Promise<{ runs: number; refused: number }> {
  const calls: Call[] = [];
  await runWithFaults(seed, steps, { onStep: (call) => void (calls[call.index] ??= call) });
  const report = { runs: 0, refused: 0 };
  let run = 0;
  for (const call of calls) {
    for (const fault of ['EIO', 'ENOSPC', 'short'] as const) {
      for (const isPersistent of [false, true]) {
        if (!applies(fault, call.kind) || !isWanted(run++)) continue;
        try {
          report.refused += await tryFault(seed, steps, call, fault, isPersistent);
          report.runs++;
        } catch (error) {
          const what = `${fault}${isPersistent ? ' from' : ' at'} call ${call.index} (${call.kind} ${call.path})`;
          throw new Error(`seed ${seed}, ${what}: ${(error as Error).message}`, { cause: error });
        }
      }
    }
  }
  return report;
}

/** Returns how often something was refused. */
async function tryFault(
  seed: number, steps: number, { index }: Call, fault: Fault, isPersistent: boolean,
): Promise<number> {
  const { process, refused } = await runWithFaults(seed, steps, { faultAt: faultAtCall(index, fault, isPersistent) });
  const random = new Random(seed + index);
  const point = process.files.disk.crashPoint();
  for (const disk of [randomPowerLoss(point, random), point.processDeath(() => random.oneIn(2))]) {
    const next = new TopicsProcess(disk, seed, random, process.events);
    await next.open();
    // What an error left undone need not be counted.
    new TopicsModel(process.events).check(await next.look(), false);
    next.files.kill();
  }
  return refused;
}

/** A run in which whatever is refused is left undone. */
async function runWithFaults(
  seed: number, steps: number, options: ProcessOptions,
): Promise<{ process: TopicsProcess; refused: number }> {
  const process = new TopicsProcess(new SimulatedDisk(settingsFor(seed).traits), seed, new Random(seed), [], options);
  let refused = 0;
  const carryOut = async (what: () => Promise<void>): Promise<boolean> => {
    try {
      await what();
      return true;
    } catch (error) {
      if (error instanceof HangError) throw error;
      refused++;
      return false;
    }
  };
  if (await carryOut(() => process.open())) {
    for (let i = 0; i < steps; i++) await carryOut(() => process.step(i));
  }
  await process.scheduler.idle();
  if (process.files.breaches.length > 0) throw new Error(process.files.breaches.join('; '));
  process.files.kill();
  return { process, refused };
}
