/** Kills a process that writes to a log, again and again, and compares what is left with what it was told. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { WriteAheadLog, type Entry } from '../../src/index.js';
import { authorOf, keyOf, OPTIONS, persist } from './kill-entries.js';
import type { Random } from '../support/random.js';

const CHILD = fileURLToPath(new URL('./kill-child.js', import.meta.url));

/** What a process said before it ended. */
interface Report {
  readonly shown: Map<number, string>;
  readonly acknowledged: Map<number, string>;
  readonly rolledBack: Set<number>;
  checkpoints: number;
  /** Undefined if it was killed before its log was open. */
  nextId: number | undefined;
}

/** One log, the processes that write to it, and what the log owes them. */
export class KillRounds {
  acknowledged = 0;
  checkpoints = 0;
  killedWhileOpening = 0;
  readonly #directory: string;
  readonly #snapshot: string;
  readonly #random: Random;
  #round = 0;
  /** Entries acknowledged or shown and not yet handed over, by id. */
  readonly #owed = new Map<number, string>();
  readonly #handedOver = new Map<number, string>();
  #snapshotLength = 0;
  #highestId = 0;

  /** Uses `directory` for the log and for what is checkpointed from it. */
  constructor(directory: string, random: Random) {
    this.#directory = path.join(directory, 'log');
    this.#snapshot = path.join(directory, 'checkpointed');
    this.#random = random;
    fs.writeFileSync(this.#snapshot, '');
  }

  /** One process, from its start to its end by SIGKILL, and a look at what it left. Throws what is wrong. */
  async run(): Promise<void> {
    this.#round++;
    const highestId = this.#highestId;
    const report = await this.#runChild();
    this.#readSnapshot();
    if (report.nextId !== undefined && report.nextId <= highestId) {
      this.#fail(`id ${report.nextId} was to be given out again: ${highestId} had been acknowledged or shown`);
    }
    this.#note(report);
    await this.#reopen(report);
    this.#readSnapshot();
  }

  async #runChild(): Promise<Report> {
    const report: Report = {
      shown: new Map(), acknowledged: new Map(), rolledBack: new Set(), checkpoints: 0, nextId: undefined,
    };
    const isOver = this.#end(report);
    const args = [CHILD, this.#directory, this.#snapshot, String(this.#round)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const closed = once(child, 'close');
    // The last line may be cut off: it was not said.
    let rest = '';
    createInterface({ input: child.stdout }).on('line', (line) => {
      hear(line, report);
      rest = line;
      if (isOver()) child.kill('SIGKILL');
    });
    const [code, signal] = (await closed) as [number | null, string | null];
    if (signal !== 'SIGKILL') throw new Error(`round ${this.#round}: the writer ended by itself, ${code}, behind "${rest}": ${errors}`);
    return report;
  }

  /** When the process is killed: at some line it says. What it does meanwhile is left to chance. */
  #end(report: Report): () => boolean {
    const random = this.#random;
    const [least, checkpoints] = [random.below(1000), random.between(1, 6)];
    switch (random.below(6)) {
      case 0: return () => report.shown.size > least % 50 || report.nextId !== undefined;
      case 1: case 2: return () => report.checkpoints >= checkpoints;
      default: return () => report.acknowledged.size > least;
    }
  }

  #note(report: Report): void {
    this.acknowledged += report.acknowledged.size;
    this.checkpoints += report.checkpoints;
    if (report.nextId === undefined) this.killedWhileOpening++;
    for (const [id, author] of [...report.shown, ...report.acknowledged]) this.#owe(id, author);
  }

  async #reopen(report: Report): Promise<void> {
    const found = new Map<number, string>();
    const log = await WriteAheadLog.recover(this.#directory, {
      recover: async (entry: Entry) => {
        const last = [...found.keys()].at(-1) ?? 0;
        if (entry.id <= last) this.#fail(`entry ${entry.id} was recovered behind ${last}`);
        found.set(entry.id, keyOf(authorOf(await entry.readAllChunks())));
      },
      checkpointTo: (_lastId, segment) => persist(this.#snapshot, segment),
    }, OPTIONS);
    await log.shutdown();
    for (const [id, author] of this.#owed) {
      if (!found.has(id)) this.#fail(`entry ${id} (${author}) is missing, although it was acknowledged or shown`);
    }
    this.#checkUnacknowledged(found, report);
    for (const [id, author] of found) this.#owe(id, author);
  }

  /** What nobody was told of is each writer's next entry, and leaves no gap. */
  #checkUnacknowledged(found: ReadonlyMap<number, string>, report: Report): void {
    const numbers = new Map<number, number>();
    for (const author of report.acknowledged.values()) {
      const [, writer, number] = author.split(' ').map(Number);
      numbers.set(writer, Math.max(number, numbers.get(writer) ?? 0));
    }
    for (const [id, author] of found) {
      if (this.#owed.has(id) || this.#handedOver.has(id)) continue;
      const [round, writer, number] = author.split(' ').map(Number);
      const isNext = round === this.#round && number === (numbers.get(writer) ?? 0) + 1;
      if (!isNext) this.#fail(`entry ${id} (${author}) was recovered, but its writer was not at that point`);
    }
    if (report.nextId === undefined) return;
    const isKnown = (id: number): boolean => found.has(id) || this.#handedOver.has(id) || report.rolledBack.has(id);
    for (let id = Math.max(0, ...found.keys()); id >= report.nextId; id--) {
      if (!isKnown(id)) this.#fail(`entry ${id} is missing, although one behind it was recovered`);
    }
  }

  /** Takes note of what has been handed over since the last time. */
  #readSnapshot(): void {
    const text = fs.readFileSync(this.#snapshot, 'latin1').slice(this.#snapshotLength);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    this.#snapshotLength += whole.length;
    // The owner of the log forgets what it was killed in the middle of.
    fs.truncateSync(this.#snapshot, this.#snapshotLength);
    for (const line of whole.split('\n').slice(0, -1)) {
      const [id, author] = parse(line);
      this.#owe(id, author);
      this.#owed.delete(id);
      this.#handedOver.set(id, author);
    }
  }

  #owe(id: number, author: string): void {
    const known = this.#owed.get(id) ?? this.#handedOver.get(id);
    if (known !== undefined && known !== author) this.#fail(`entry ${id} was ${known}, and is ${author} now`);
    if (!this.#handedOver.has(id)) this.#owed.set(id, author);
    this.#highestId = Math.max(this.#highestId, id);
  }

  #fail(message: string): never {
    throw new Error(`round ${this.#round}: ${message}`);
  }
}

function hear(line: string, report: Report): void {
  const [what, id] = line.split(' ', 2);
  const rest = line.slice(what.length + 1);
  if (what === 'shown') report.shown.set(...parse(rest));
  else if (what === 'acknowledged') report.acknowledged.set(...parse(rest));
  else if (what === 'rolling-back') report.rolledBack.add(Number(id));
  else if (what === 'checkpointing') report.checkpoints++;
  else if (what === 'opened') report.nextId = Number(id);
  else throw new Error(`a line that says nothing: ${line}`);
}

function parse(line: string): [id: number, author: string] {
  const match = /^(\d+) (\d+ \d+ \d+)$/.exec(line);
  if (match === null) throw new Error(`not an entry's line: ${line}`);
  return [Number(match[1]), match[2]];
}
