/** The stores that come with the archive, against one suite, and against servers that answer badly. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import * as sdk from '@aws-sdk/client-s3';
import { AwsClient } from 'aws4fetch';
import { directoryStore } from '../../src/archive/directory-store.js';
import { fetchStore } from '../../src/archive/fetch-store.js';
import type { ObjectStore } from '../../src/archive/object-store.js';
import { s3Store } from '../../src/archive/s3-store.js';
import { MemoryFileManager, NodeFileManager } from '../../src/index.js';
import { objectStoreSuite } from '../support/object-store-suite.js';
import { withTemporaryDirectory } from '../tools/helpers.js';
import { S3Server, type Trouble } from '../tools/s3-server.js';

const KEYS = { accessKeyId: 'AK', secretAccessKey: 'SK', region: 'default' };
const signal = AbortSignal.timeout(60_000);

function fetchStoreOf(server: S3Server): ObjectStore {
  const client = new AwsClient({ ...KEYS, service: 's3', retries: 0 });
  return fetchStore((url, init) => client.fetch(url, init), server.endpoint);
}

function s3StoreOf(server: S3Server): ObjectStore {
  const { region, ...credentials } = KEYS;
  const client = new sdk.S3Client({ endpoint: server.origin, region, credentials, forcePathStyle: true, maxAttempts: 1 });
  return s3Store(client, sdk, 'bucket');
}

for (const { name, run } of objectStoreSuite) {
  test(`directoryStore in memory: ${name}`, () => run(directoryStore('/objects', new MemoryFileManager()), 'suite'));
  test(`directoryStore on a disk: ${name}`, () => withTemporaryDirectory(async (directory) => {
    await run(directoryStore(path.join(directory, 'objects'), new NodeFileManager()), 'suite');
  }));
}

test('a directory store replaces objects through a FileManager that cannot link', () => {
  const files = Object.assign(new MemoryFileManager(), { link: undefined });
  assert.throws(() => directoryStore('/objects', files), /no method link/);
});

test('a file that is none of its own is listed by a directory store', () => withTemporaryDirectory(async (directory) => {
  const files = new NodeFileManager();
  const store = directoryStore(directory, files);
  await store.create('a/key', Buffer.from('x'), { signal });
  for (const name of ['a+key~0123456789abcdef', '%zz', '%61', '.hidden']) {
    await (await files.open(path.join(directory, name), { access: 'create' })).close();
  }
  const keys: string[] = [];
  for await (const key of store.list('', { signal })) keys.push(key);
  assert.deepEqual(keys, ['a/key']);
  // What a dead process has left of an object that another has created is removed when there is something to delete.
  await store.delete(['a/other'], { signal });
  assert.deepEqual((await files.list(directory)).filter((name) => name.includes('~')), []);
}));

for (const [name, storeOf] of [['fetchStore', fetchStoreOf], ['s3Store', s3StoreOf]] as const) {
  describe(name, () => {
    const server = new S3Server();
    let store: ObjectStore;

    before(async () => {
      await server.start();
      store = storeOf(server);
    });
    beforeEach(() => {
      server.trouble = () => undefined;
      server.ignoresRanges = server.isUnsorted = false;
      server.objects.clear();
    });
    after(() => server.stop());

    for (const { name: what, run } of objectStoreSuite) test(what, () => run(store, 'suite'));

    test('a range that a server ignores gives other bytes', async () => {
      server.ignoresRanges = true;
      await store.create('key', Buffer.from('0123456789'), { signal });
      assert.equal(String(Buffer.from(await store.get('key', { signal, from: 3, to: 7 }) ?? [])), '3456');
    });

    for (const trouble of [403, 409, 500, 503, 'dropped before', 'dropped after', 'html'] satisfies Trouble[]) {
      test(`an answer is taken for another: ${trouble}`, async () => {
        await store.create('key', Buffer.from('x'), { signal });
        server.trouble = () => trouble;
        // A proxy that answers 200 to everything has said that it stored the object: that cannot be told.
        if (trouble !== 'html') await assert.rejects(store.create('other', Buffer.from('x'), { signal }));
        if (trouble !== 'html') await assert.rejects(store.get('key', { signal }));
        if (trouble !== 'html') await assert.rejects(store.delete(['key'], { signal }));
        await assert.rejects(async () => {
          for await (const _ of store.list('', { signal })) assert.fail('a key was listed');
        });
        server.trouble = () => undefined;
        if (trouble === 'dropped after') {
          assert.equal(await store.create('other', Buffer.from('x'), { signal }), 'exists');
        }
      });
    }

    test('a bucket that is missing is taken for a missing object', async () => {
      server.trouble = () => 404;
      await assert.rejects(store.get('key', { signal }));
      await assert.rejects(store.create('key', Buffer.from('x'), { signal }));
    });

    test('a request that hangs outlives its signal', async () => {
      server.trouble = () => 'hangs';
      const aborter = new AbortController();
      const requests = [
        store.create('key', Buffer.from('x'), aborter), store.get('key', aborter), store.delete(['key'], aborter),
        store.list('', aborter)[Symbol.asyncIterator]().next(),
      ];
      aborter.abort(new Error('it took too long'));
      for (const { status } of await Promise.allSettled(requests)) assert.equal(status, 'rejected');
    });

    test('a listing without an order is followed', async () => {
      for (const key of ['b', 'a', 'c']) await store.create(key, Buffer.from(key), { signal });
      server.isUnsorted = true;
      await assert.rejects(async () => {
        for await (const _ of store.list('', { signal })) continue;
      }, /ascending order/);
    });
  });
}

test('a store is made with what cannot be one', () => {
  assert.throws(() => fetchStore(undefined as never, 'https://store.example/bucket'), TypeError);
  assert.throws(() => fetchStore(fetch, 'bucket'), TypeError);
  assert.throws(() => s3Store({} as never, sdk, 'bucket'), TypeError);
  assert.throws(() => s3Store(new sdk.S3Client({ region: 'default' }), {} as never, 'bucket'), TypeError);
});

test('an answer of a store is taken for another one', async () => {
  const answering = (status: number, code: string): ObjectStore => {
    const answer = (): Response => new Response(`<Error><Code>${code}</Code></Error>`, { status });
    return fetchStore(async () => answer(), 'https://store.example/bucket');
  };
  const body = Buffer.from('x');
  assert.equal(await answering(412, 'PreconditionFailed').create('key', body, { signal }), 'exists');
  assert.equal(await answering(404, 'NoSuchKey').get('key', { signal }), undefined);
  for (const [status, code] of [[409, 'ConditionalRequestConflict'], [404, 'NoSuchBucket'], [503, 'SlowDown'], [202, '']] as const) {
    await assert.rejects(answering(status, code).create('key', body, { signal }), new RegExp(`${status}`));
    await assert.rejects(answering(status, code).get('key', { signal }), new RegExp(`${status}`));
    await assert.rejects(answering(status, code).delete(['key'], { signal }), new RegExp(`${status}`));
  }
});

test('a key that a URL cannot express becomes another', async () => {
  const store = fetchStore(() => assert.fail('it was sent'), 'https://store.example/bucket');
  await assert.rejects(store.get('a/../b', { signal }), RangeError);
});
