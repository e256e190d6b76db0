/** Defines tests of `@markwylde/liferaft` as tests of node:test, with the Raft log of the examples for its log. */
import Module, { createRequire } from 'node:module';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { Assumption } from './assume.js';
import { LiferaftLog } from './liferaft-log.js';

type Load = (request: string, ...others: unknown[]) => unknown;
type MochaBody = (this: object, next?: (error?: Error) => void) => unknown;

/** What its tests require. The log under test has no adapter, and nothing is printed. */
const REPLACED = new Map<string, unknown>([
  ['../log', LiferaftLog],
  ['assume', (value: unknown) => new Assumption(value)],
  ['memdown', undefined],
  ['diagnostics', () => () => undefined],
  ['rimraf', {}],
  ['mkdirp', {}],
]);

/** Defines the tests in these files, which are named without folder and ending. */
export function defineLiferaftTests(files: readonly string[]): void {
  const it = (name: string, body: MochaBody): unknown => test(name, () => carryOut(body));
  it.skip = (): void => undefined;
  Object.assign(globalThis, {
    describe, it,
    beforeEach: (body: MochaBody) => beforeEach(() => carryOut(body)),
    afterEach: (body: MochaBody) => afterEach(() => carryOut(body)),
  });
  const module = Module as unknown as { _load: Load };
  const load = module._load;
  module._load = (request, ...others) => {
    return REPLACED.has(request) ? REPLACED.get(request) : load.call(module, request, ...others);
  };
  const require = createRequire(import.meta.url);
  for (const file of files) require(`@markwylde/liferaft/test/${file}.js`);
  after(() => Promise.all(LiferaftLog.all.map((log) => log.end())));
}

/** A body with a parameter is over when it has called that, as in mocha. */
async function carryOut(body: MochaBody): Promise<void> {
  if (body.length === 0) {
    await body.call({});
    return;
  }
  await new Promise<void>((resolve, reject) => {
    body.call({}, (error) => (error === undefined ? resolve() : reject(error)));
  });
}
