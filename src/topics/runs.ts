import type { EntryId } from '../index.js';
import type { Run } from './run.js';
import type { Slice } from './run-format.js';
import type { Amount } from './state.js';

/** The runs there are, by the ids in them. Those of one topic ascend from run to run. */
export class Runs implements Iterable<Run> {
  #runs: readonly Run[];

  constructor(runs: readonly Run[] = []) {
    this.#runs = runs;
  }

  [Symbol.iterator](): Iterator<Run> {
    return this.#runs[Symbol.iterator]();
  }

  get count(): number {
    return this.#runs.length;
  }

  get bytes(): number {
    return this.#runs.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  replace(runs: readonly Run[]): void {
    this.#runs = runs;
  }

  /** The first part of a run that has messages of `topic` above `id`. */
  firstAfter(topic: number, id: EntryId): { run: Run; slice: Slice } | undefined {
    for (const run of this.#runs) {
      if (run.lastId <= id) continue;
      const slice = run.find(topic);
      if (slice !== undefined && slice.lastId > id) return { run, slice };
    }
    return undefined;
  }

  /** What there is of `topic` above `id`: an estimate where that is in the middle of a run. */
  amountAfter(topic: number, id: EntryId): Amount {
    let [messages, bytes] = [0, 0];
    for (const run of this.#runs) {
      const slice = run.lastId > id ? run.find(topic) : undefined;
      if (slice === undefined || slice.lastId <= id) continue;
      const share = slice.firstId > id ? 1 : (slice.lastId - id) / (slice.lastId - slice.firstId + 1);
      messages += Math.ceil(slice.count * share);
      bytes += Math.round(slice.bytes * share);
    }
    return { messages, bytes };
  }
}
