import assert from 'node:assert/strict';
import type { ObjectStore } from '../../src/archive/object-store.js';

/**
 * One case of the contract of `ObjectStore`. Its name says what goes wrong where it fails.
 *
 * @example
 * const store = directoryStore('/objects', new MemoryFileManager());
 * for (const { run } of objectStoreSuite) await run(store, 'a-prefix-of-its-own');
 */
export interface ObjectStoreCase {
  /** What the case checks, for the name of a test. */
  readonly name: string;
  /**
   * Rejects if `store` breaks the contract. All cases may be given the same `prefix`: each works below it in a place of
   * its own, where there must be no objects from an earlier run.
   */
  readonly run: (store: ObjectStore, prefix: string) => Promise<void>;
}

type Run = (store: ObjectStore, prefix: string) => Promise<void>;

/** Longer than a request takes. */
const TIMEOUT_MS = 60_000;
const RACERS = 8;

const options = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(TIMEOUT_MS) });

async function read(store: ObjectStore, key: string, range: { from?: number; to?: number } = {}): Promise<string | undefined> {
  const bytes = await store.get(key, { ...options(), ...range });
  assert.ok(bytes === undefined || bytes instanceof Uint8Array, 'an object is a Uint8Array');
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1');
}

async function list(store: ObjectStore, prefix: string, after?: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.list(prefix, { ...options(), ...after !== undefined && { after } })) keys.push(key);
  return keys;
}

const cases: Record<string, Run> = {
  'an object is not what was stored': async (store, prefix) => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) % 256));
    assert.equal(await store.create(`${prefix}/large`, bytes, options()), 'created');
    assert.equal(await read(store, `${prefix}/large`), bytes.toString('latin1'));
    assert.equal(await store.create(`${prefix}/empty`, new Uint8Array(), options()), 'created');
    assert.equal(await read(store, `${prefix}/empty`), '');
  },

  'a part of an object is another': async (store, prefix) => {
    await store.create(`${prefix}/object`, Buffer.from('0123456789'), options());
    const ranges: [number | undefined, number | undefined][] = [
      [0, 1], [3, 7], [9, 10], [undefined, 4], [6, undefined], [0, 10], [8, 100], [4, 4],
    ];
    for (const [from, to] of ranges) {
      const range = { ...from !== undefined && { from }, ...to !== undefined && { to } };
      assert.equal(await read(store, `${prefix}/object`, range), '0123456789'.slice(from, to), `from ${from} to ${to}`);
    }
    assert.equal(await read(store, `${prefix}/object`, { from: 20, to: 30 }), '', 'after its end');
  },

  'what is not there is something else than undefined': async (store, prefix) => {
    assert.equal(await read(store, `${prefix}/missing`), undefined);
    assert.equal(await read(store, `${prefix}/missing`, { from: 1, to: 2 }), undefined);
    assert.deepEqual(await list(store, `${prefix}/`), []);
  },

  'an object replaces another with its key': async (store, prefix) => {
    assert.equal(await store.create(`${prefix}/object`, Buffer.from('first'), options()), 'created');
    for (const body of ['second', 'first', '']) {
      assert.equal(await store.create(`${prefix}/object`, Buffer.from(body), options()), 'exists');
    }
    assert.equal(await read(store, `${prefix}/object`), 'first');
  },

  'two that create an object at once are both told so, or neither': async (store, prefix) => {
    for (let round = 0; round < 4; round++) {
      const key = `${prefix}/${round}`;
      const racers = Array.from({ length: RACERS }, (_, i) => `racer ${i} `.repeat(1 + i * 100));
      const answers = await Promise.all(racers.map((body) => store.create(key, Buffer.from(body), options())));
      assert.deepEqual(answers.filter((answer) => answer === 'created'), ['created']);
      assert.equal(await read(store, key), racers[answers.indexOf('created')]);
    }
  },

  'a listing is not in order, or has other keys': async (store, prefix) => {
    const names = ['a', 'a/b', 'a/b/c', 'ab', 'b', '0', '00', '1', '10', '2', 'A', 'a-', 'a.'];
    await Promise.all(names.map((name) => store.create(`${prefix}/${name}`, Buffer.from(name), options())));
    const keys = names.map((name) => `${prefix}/${name}`).sort();
    assert.deepEqual(await list(store, `${prefix}/`), keys);
    assert.deepEqual(await list(store, `${prefix}/a`), keys.filter((key) => key.startsWith(`${prefix}/a`)));
    for (const after of [...keys, `${prefix}/1zzz`]) {
      assert.deepEqual(await list(store, `${prefix}/`, after), keys.filter((key) => key > after), `after ${after}`);
    }
  },

  'a key becomes another': async (store, prefix) => {
    const names = ['a b', 'a+b', 'a%2Fb', 'a/b', 'a&b=c?d#e', '-_.!~*\'()', '.hidden', '<tag>', 'a"b', '$,:;@'];
    for (const name of names) assert.equal(await store.create(`${prefix}/${name}`, Buffer.from(name), options()), 'created');
    for (const name of names) assert.equal(await read(store, `${prefix}/${name}`), name);
    assert.deepEqual(await list(store, `${prefix}/`), names.map((name) => `${prefix}/${name}`).sort());
    await store.delete(names.map((name) => `${prefix}/${name}`), options());
    assert.deepEqual(await list(store, `${prefix}/`), []);
  },

  'an object that is deleted stays, or takes others with it': async (store, prefix) => {
    const keys = Array.from({ length: 40 }, (_, i) => `${prefix}/${String(i).padStart(2, '0')}`);
    await Promise.all(keys.map((key) => store.create(key, Buffer.from(key), options())));
    await store.delete([...keys.slice(0, 30), `${prefix}/missing`], options());
    assert.deepEqual(await list(store, `${prefix}/`), keys.slice(30));
    assert.equal(await read(store, keys[0]), undefined);
    assert.equal(await store.create(keys[0], Buffer.from('again'), options()), 'created');
    assert.equal(await read(store, keys[0]), 'again');
    await store.delete([], options());
    assert.equal((await list(store, `${prefix}/`)).length, 11);
  },

  'an aborted request is carried out': async (store, prefix) => {
    const reason = new Error('no longer needed');
    const aborted = { signal: AbortSignal.abort(reason) };
    await store.create(`${prefix}/object`, Buffer.from('kept'), options());
    await assert.rejects(store.create(`${prefix}/other`, Buffer.from('x'), aborted), (error) => error === reason);
    await assert.rejects(store.get(`${prefix}/object`, aborted), (error) => error === reason);
    await assert.rejects(store.delete([`${prefix}/object`], aborted), (error) => error === reason);
    await assert.rejects(async () => {
      for await (const _ of store.list(`${prefix}/`, aborted)) assert.fail('a key was listed');
    }, (error) => error === reason);
    assert.deepEqual(await list(store, `${prefix}/`), [`${prefix}/object`]);
  },
};

/**
 * What every implementation of `ObjectStore` must pass.
 *
 * @example
 * const store = directoryStore('/objects', new MemoryFileManager());
 * for (const { run } of objectStoreSuite) await run(store, 'suite');
 * console.log(objectStoreSuite[0].name); // an object is not what was stored
 */
export const objectStoreSuite: readonly ObjectStoreCase[] = Object.entries(cases).map(([name, run], index) => {
  return { name, run: (store, prefix) => run(store, `${prefix}/case-${index}`) };
});
