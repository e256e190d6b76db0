/** The identity of a log: a UUID that stays. */
import assert from 'node:assert/strict';
import { WriteAheadLog } from '../../src/index.js';
import type { CreateOptions } from '../../src/index.js';
import { decodeIdentity, encodeIdentity, IDENTITY_LENGTH, isUuid } from '../../src/format/identity-format.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import { fillSegment, forEachFileManager, inMemory, SMALL, until, type Storage } from '../tools/helpers.js';
import { KeepingManager } from '../tools/iterating.js';

const FILE = 'wal-identity';
const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';

function create(storage: Storage, options: CreateOptions = {}): Promise<WriteAheadLog> {
  const { fileManager, directory } = storage;
  return WriteAheadLog.create(directory, new KeepingManager(), { ...SMALL, fileManager, ...options });
}

async function identityOf(storage: Storage): Promise<string> {
  const log = await storage.open();
  const identity = await log.identity();
  await log.shutdown();
  return identity;
}

forEachFileManager('a log has another identity after a crash, a checkpoint, a truncation or a restart', async (storage) => {
  const log = await storage.open();
  assert.equal((await storage.files()).has(FILE), false, 'a log that was never asked pays nothing');
  const [identity, same] = await Promise.all([log.identity(), log.identity()]);
  assert.ok(isUuid(identity));
  assert.match(identity, /^.{14}4.{4}[89ab]/);
  assert.equal(same, identity);
  assert.equal(await identityOf(await storage.crash()), identity);
  await fillSegment(log);
  await log.checkpoint();
  await log.append('x');
  await log.truncateAfter(log.durableId - 1);
  assert.equal(await log.identity(), identity);
  await log.shutdown();
  assert.equal(await identityOf(storage), identity);
  assert.deepEqual([...(await storage.files()).keys()].filter((name) => name.startsWith(FILE)), [FILE]);
});

forEachFileManager('two logs have one identity', async (storage) => {
  const log = await storage.open();
  const other = await storage.crash();
  assert.notEqual(await log.identity(), await identityOf(other));
});

forEachFileManager('a reader makes an identity up, or does not see the one there is', async (storage) => {
  const log = await storage.open();
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  assert.equal(await reader.identity(), undefined);
  const identity = await log.identity();
  assert.equal(await reader.identity(), identity);
  await reader.close();
  await assert.rejects(reader.identity(), { code: 'WAL_CLOSED' });
});

forEachFileManager('a damaged identity becomes a new one', async (storage) => {
  const identity = await identityOf(storage);
  const bytes = await storage.get(FILE);
  assert.equal(bytes.length, IDENTITY_LENGTH);
  const damages = [
    ...Array.from(bytes, (_, i) => Buffer.from(bytes).fill(bytes[i] ^ 1, i, i + 1)),
    bytes.subarray(0, 45), bytes.subarray(0, 0), Buffer.concat([bytes, Buffer.from('\n')]),
    // Another case of a letter is no other bytes to a reader who does not look.
    Buffer.from(bytes.toString().toUpperCase()),
  ];
  for (const damaged of damages) {
    assert.equal(decodeIdentity(damaged), undefined);
    if (damaged.length === bytes.length && damaged !== damages[7]) continue;
    await storage.put(FILE, damaged);
    const log = await storage.open();
    await log.append('entries can be written all the same');
    await assert.rejects(log.identity(), { code: 'WAL_CORRUPT' });
    await assert.rejects(log.identity(), { code: 'WAL_CORRUPT' });
    const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
    await assert.rejects(reader.identity(), { code: 'WAL_CORRUPT' });
    await reader.close();
    await log.shutdown();
    assert.deepEqual(await storage.get(FILE), Buffer.from(damaged));
  }
  await storage.put(FILE, encodeIdentity(identity));
  assert.equal(await identityOf(storage), identity);
});

forEachFileManager('a log that continues another has an identity of its own', async (storage) => {
  const log = await create(storage, { nextId: 5, identity: UUID.toUpperCase() });
  assert.equal(await log.identity(), UUID);
  const copy = await storage.crash();
  assert.equal(await identityOf(copy), UUID);
  await log.shutdown();
  await assert.rejects(create(storage, { identity: UUID.replace('0', '1') }), { code: 'WAL_EXISTS' });
  assert.equal(await identityOf(storage), UUID);
});

forEachFileManager('a new log has the identity of one whose segments are gone, or whose creation was interrupted', async (storage) => {
  await (await create(storage, { identity: UUID })).shutdown();
  for (const name of (await storage.files()).keys()) if (name !== FILE) await storage.remove(name);
  const log = await storage.open();
  assert.equal((await storage.files()).has(FILE), false);
  assert.notEqual(await log.identity(), UUID);
});

inMemory('an identity is answered before it is durable, or made twice', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  const order: string[] = [];
  faulty.before = ({ operation, name }) => {
    if (!name.startsWith(FILE) && operation !== 'syncDirectory') return undefined;
    order.push(operation);
    return operation === 'syncDirectory' ? gate.pass() : undefined;
  };
  let answers = 0;
  const asking = [log.identity(), log.identity()];
  for (const answer of asking) void answer.then(() => answers++);
  await until(() => gate.arrivals === 1);
  assert.equal(answers, 0);
  gate.open();
  assert.equal(...(await Promise.all(asking)) as [string, string]);
  assert.deepEqual(order.filter((operation) => ['write', 'sync', 'rename', 'syncDirectory'].includes(operation)), [
    'write', 'sync', 'rename', 'syncDirectory',
  ]);
});

inMemory('an identity that could not be stored is not tried again, or a log that has failed answers', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  faulty.before = ({ operation, name }) => {
    if (operation === 'write' && name.startsWith(FILE)) throw systemError('ENOSPC');
  };
  await assert.rejects(log.identity(), { code: 'WAL_NO_SPACE' });
  await log.append('nothing else is concerned');
  faulty.before = () => undefined;
  const identity = await log.identity();
  faulty.before = ({ operation, name }) => {
    if (operation === 'read' && name === FILE) throw systemError('EIO');
  };
  assert.equal(await log.identity(), identity);
  await log.shutdown();
  await assert.rejects(log.identity(), { code: 'WAL_CLOSED' });
  const again = await storage.open();
  await assert.rejects(again.identity(), { code: 'WAL_IO' });
  faulty.before = () => undefined;
  assert.equal(await again.identity(), identity);
});

inMemory('a shutdown releases the directory while the identity is being stored', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name.startsWith(FILE) ? gate.pass() : undefined);
  const identity = log.identity();
  await until(() => gate.arrivals === 1);
  const closing = log.shutdown();
  await assert.rejects(base.open(), { code: 'WAL_LOCKED' });
  gate.open();
  await closing;
  assert.equal(await identityOf(base), await identity);
});
