/** Kills a process that changes an engine, again and again, and compares what is left with what it had acknowledged. */
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { changeBy, openEngine, WRITERS, type EngineName } from './killed-engine.js';
import { runUntilKilled } from './killed-process.js';
import type { Random } from '../support/random.js';

const CHILD = fileURLToPath(new URL('./killed-engine-child.js', import.meta.url));

type Content = ReadonlyMap<string, string>;

/** What a process said before it ended. */
interface Report {
  /** How many changes of each writer were acknowledged. */
  readonly changes: number[];
  acknowledged: number;
  checkpoints: number;
}

export class KilledEngineRounds {
  acknowledged = 0;
  checkpoints = 0;
  readonly #engine: EngineName;
  readonly #directory: string;
  readonly #random: Random;
  #round = 0;
  #held: Content = new Map();

  constructor(engine: EngineName, directory: string, random: Random) {
    this.#engine = engine;
    this.#directory = directory;
    this.#random = random;
  }

  /** One process, from its start to its end by SIGKILL, and a look at what it left. Throws what is wrong. */
  async run(): Promise<void> {
    this.#round++;
    const report = await this.#runChild();
    this.acknowledged += report.acknowledged;
    this.checkpoints += report.checkpoints;
    const engine = await openEngine(this.#engine, this.#directory);
    try {
      this.#check(await engine.content(), report.changes);
    } finally {
      await engine.close();
    }
  }

  async #runChild(): Promise<Report> {
    const report: Report = { changes: Array.from({ length: WRITERS }, () => 0), acknowledged: 0, checkpoints: 0 };
    const isOver = this.#end(report);
    await runUntilKilled([CHILD, this.#engine, this.#directory, String(this.#round)], (line) => {
      hear(line, report);
      return isOver(line);
    });
    return report;
  }

  /** When the process is killed: at some line it says. What it does meanwhile is left to chance. */
  #end(report: Report): (line: string) => boolean {
    const random = this.#random;
    if (random.oneIn(4)) return () => true;
    const least = random.between(100, 800);
    // A segment is checkpointed as soon as the next one is begun.
    const last = random.pick(['acknowledged', 'segment', 'segment', 'checkpoint']);
    return (line) => report.acknowledged >= least && report.checkpoints > 0 && line.startsWith(last);
  }

  /** Each writer's keys must be as its acknowledged changes left them; the one change after these may be there too. */
  #check(content: Content, changes: readonly number[]): void {
    const held = new Map<string, string>();
    for (const [writer, count] of changes.entries()) {
      const acknowledged = this.#contentOf(writer, count);
      const actual = ownedBy(writer, content);
      const isExpected = isDeepStrictEqual(actual, acknowledged) ||
        isDeepStrictEqual(actual, this.#contentOf(writer, count + 1));
      if (!isExpected) {
        const message = `writer ${writer} had ${count} changes acknowledged, which make ${show(acknowledged)}`;
        throw new Error(`round ${this.#round}: ${message}, but there is ${show(actual)}`);
      }
      for (const [key, value] of actual) held.set(key, value);
    }
    if (held.size < content.size) throw new Error(`round ${this.#round}: keys of nobody in ${show(content)}`);
    this.#held = held;
  }

  /** What a writer's keys hold behind its first `count` changes of this round. */
  #contentOf(writer: number, count: number): Content {
    const content = ownedBy(writer, this.#held);
    for (let number = 1; number <= count; number++) {
      const { key, value } = changeBy(this.#round, writer, number);
      if (value === undefined) content.delete(key);
      else content.set(key, value);
    }
    return content;
  }
}

function ownedBy(writer: number, content: Content): Map<string, string> {
  return new Map([...content].filter(([key]) => key.startsWith(`${writer}-`)));
}

function hear(line: string, report: Report): void {
  const [what, writer, number] = line.split(' ');
  if (what === 'checkpoint') report.checkpoints++;
  if (what !== 'acknowledged') return;
  report.acknowledged++;
  report.changes[Number(writer)] = Number(number);
}

function show(content: Content): string {
  return JSON.stringify([...content].sort());
}
