import { show } from '../base/bytes.js';
import { keysInOrder } from './keys-in-order.js';
import type { ObjectStore } from './object-store.js';

/** How many objects one request deletes at most. */
const DELETIONS_AT_ONCE = 1000;

/**
 * `S3Client` of @aws-sdk/client-s3.
 *
 * @example
 * import { S3Client } from '@aws-sdk/client-s3';
 *
 * const client: S3ClientLike = new S3Client({ region: 'eu-central-1' });
 * console.log(typeof client.send); // function
 */
export interface S3ClientLike {
  /** Sends a command. */
  // The SDK's own type has an overload for each command, which no structural type can match.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  send(command: any, options?: any): Promise<any>;
}

/**
 * The commands of @aws-sdk/client-s3 that are needed: pass the module.
 *
 * @example
 * import * as sdk from '@aws-sdk/client-s3';
 *
 * const commands: S3Commands = sdk;
 * console.log(typeof commands.PutObjectCommand); // function
 */
export interface S3Commands {
  /** Creates an object. */
  readonly PutObjectCommand: new (input: never) => object;
  /** Reads an object. */
  readonly GetObjectCommand: new (input: never) => object;
  /** Lists objects. */
  readonly ListObjectsV2Command: new (input: never) => object;
  /** Deletes objects. */
  readonly DeleteObjectsCommand: new (input: never) => object;
}

const COMMANDS: readonly (keyof S3Commands)[] = [
  'PutObjectCommand', 'GetObjectCommand', 'ListObjectsV2Command', 'DeleteObjectsCommand',
];

interface Listed {
  readonly Contents?: readonly { readonly Key?: string }[];
  readonly IsTruncated?: boolean;
  readonly NextContinuationToken?: string;
}

interface S3Error {
  readonly name?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/**
 * A bucket, through @aws-sdk/client-s3: its client, and the module, which has the commands.
 *
 * @example
 * import * as sdk from '@aws-sdk/client-s3';
 *
 * const store = s3Store(new sdk.S3Client({ region: 'eu-central-1' }), sdk, 'my-bucket');
 * console.log(typeof store.create); // function
 */
export function s3Store(client: S3ClientLike, commands: S3Commands, bucket: string): ObjectStore {
  if (typeof client?.send !== 'function') throw new TypeError(`client must be an S3Client, not ${show(client)}`);
  for (const name of COMMANDS) {
    const isThere = typeof commands?.[name] === 'function';
    if (!isThere) throw new TypeError(`commands must have ${name}: pass the module of the SDK`);
  }
  if (typeof bucket !== 'string' || bucket === '') throw new TypeError(`bucket must be a name, not ${show(bucket)}`);
  return new S3Store(client, commands, bucket);
}

type Options = Parameters<ObjectStore['get']>[1];

class S3Store implements ObjectStore {
  readonly #client: S3ClientLike;
  readonly #commands: S3Commands;
  readonly #bucket: string;

  constructor(client: S3ClientLike, commands: S3Commands, bucket: string) {
    this.#client = client;
    this.#commands = commands;
    this.#bucket = bucket;
  }

  async create(key: string, body: Uint8Array, { signal }: Options): Promise<'created' | 'exists'> {
    try {
      await this.#send('PutObjectCommand', { Key: key, Body: body, IfNoneMatch: '*' }, signal);
      return 'created';
    } catch (error) {
      if (statusOf(error) === 412) return 'exists';
      throw error;
    }
  }

  async get(key: string, { signal, from = 0, to }: Options): Promise<Uint8Array | undefined> {
    if (to !== undefined && to <= from) return (await this.get(key, { signal, from, to: from + 1 }))?.subarray(0, 0);
    const isRange = from > 0 || to !== undefined;
    const range = isRange ? { Range: `bytes=${from}-${to === undefined ? '' : to - 1}` } : {};
    try {
      const answer = await this.#send('GetObjectCommand', { Key: key, ...range }, signal) as {
        Body: { transformToByteArray(): Promise<Uint8Array> }; ContentRange?: string;
      };
      const bytes = await answer.Body.transformToByteArray();
      // A store may ignore the range.
      return isRange && answer.ContentRange === undefined ? bytes.subarray(from, to) : bytes;
    } catch (error) {
      if ((error as S3Error).name === 'NoSuchKey') return undefined;
      if (statusOf(error) === 416) return new Uint8Array();
      throw error;
    }
  }

  list(prefix: string, { after = '', signal }: Options & { after?: string }): AsyncGenerator<string> {
    return keysInOrder(this.#listPages(prefix, after, signal), after);
  }

  async delete(keys: readonly string[], { signal }: Options): Promise<void> {
    for (let at = 0; at < keys.length; at += DELETIONS_AT_ONCE) {
      const objects = keys.slice(at, at + DELETIONS_AT_ONCE).map((key) => ({ Key: key }));
      const input = { Delete: { Objects: objects, Quiet: true } };
      const { Errors: errors = [] } = await this.#send('DeleteObjectsCommand', input, signal) as {
        Errors?: readonly { Key?: string; Code?: string; Message?: string }[];
      };
      const failed = errors.find(({ Code }) => Code !== 'NoSuchKey');
      if (failed !== undefined) throw new Error(`deleting ${failed.Key}: ${failed.Code} ${failed.Message}`);
    }
  }

  async *#listPages(prefix: string, after: string, signal: AbortSignal): AsyncGenerator<string> {
    for (let token: string | undefined, isFirst = true; isFirst || token !== undefined; isFirst = false) {
      const start = after === '' ? {} : { StartAfter: after };
      const input = { Prefix: prefix, ...start, ...token !== undefined && { ContinuationToken: token } };
      const page = await this.#send('ListObjectsV2Command', input, signal) as Listed;
      const { Contents: objects = [], IsTruncated: isTruncated, NextContinuationToken: next } = page;
      // The client takes any page, such as a proxy's, for a listing without objects.
      if (isTruncated === undefined) throw new Error('the answer to a listing is no list of objects');
      if (isTruncated && next === undefined) throw new Error('a listing is cut off, and does not say how to continue');
      for (const { Key: key } of objects) if (key !== undefined) yield key;
      token = next;
    }
  }

  async #send(name: keyof S3Commands, input: object, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    const Command = this.#commands[name] as unknown as new (input: object) => object;
    return this.#client.send(new Command({ Bucket: this.#bucket, ...input }), { abortSignal: signal });
  }
}

function statusOf(error: unknown): number | undefined {
  return (error as S3Error | undefined)?.$metadata?.httpStatusCode;
}
