import { stat } from 'node:fs/promises';
import { directoryStore, fetchStore, type ObjectStore } from '../archive/index.js';
import { InputError, UsageError, type Command, type Arguments } from './command.js';

/** Where an archive is. */
export interface FoundStore {
  readonly store: ObjectStore;
  readonly prefix: string;
}

export const STORE_OPTIONS: Command['options'] = {
  store: { type: 'string', value: 'STORE', help: 'a directory, or s3://BUCKET/PREFIX' },
  prefix: { type: 'string', value: 'PREFIX', help: 'the archive in a directory; default: the only one there' },
};

export const STORE_DETAILS = 'An S3 store takes its keys from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and\n'
  + 'AWS_SESSION_TOKEN, and its place from AWS_REGION, or from AWS_ENDPOINT_URL_S3 or\n'
  + 'AWS_ENDPOINT_URL. It needs the package aws4fetch.';

/** The store that the options name. With `isNew`, there need not be an archive in it. */
export async function findStore(args: Arguments, isNew = false): Promise<FoundStore> {
  const name = args.required('store');
  const prefix = args.text('prefix');
  if (name.startsWith('s3://')) return findBucket(name, prefix);
  if (!isNew) await assertDirectory(name);
  const store = directoryStore(name);
  return { store, prefix: prefix ?? await onlyPrefix(store, name) };
}

async function findBucket(url: string, prefix: string | undefined): Promise<FoundStore> {
  const [, bucket, rest] = /^s3:\/\/([^/]+)\/?(.*?)\/?$/.exec(url) ?? [];
  if (bucket === undefined) throw new UsageError(`${url} names no bucket: s3://BUCKET/PREFIX does`);
  if (rest === '' && prefix === undefined) throw new UsageError(`${url} has no prefix: s3://BUCKET/PREFIX has one`);
  if (rest !== '' && prefix !== undefined) throw new UsageError('the prefix of a bucket is a part of --store');
  return { store: await bucketStore(bucket), prefix: prefix ?? rest };
}

async function bucketStore(bucket: string): Promise<ObjectStore> {
  const { env } = process;
  const accessKeyId = needed('AWS_ACCESS_KEY_ID');
  const secretAccessKey = needed('AWS_SECRET_ACCESS_KEY');
  const region = env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? 'us-east-1';
  const session = env.AWS_SESSION_TOKEN === undefined ? {} : { sessionToken: env.AWS_SESSION_TOKEN };
  const { AwsClient } = await import('aws4fetch').catch((cause: unknown) => {
    throw new UsageError('an S3 store needs the package aws4fetch: npm install aws4fetch', { cause });
  });
  // Requests are sent again by those who know what an answer that was lost means.
  const client = new AwsClient({ accessKeyId, secretAccessKey, ...session, region, service: 's3', retries: 0 });
  const endpoint = env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL;
  const url = endpoint === undefined ? `https://${bucket}.s3.${region}.amazonaws.com`
    : `${endpoint.replace(/\/+$/, '')}/${bucket}`;
  return fetchStore((request, init) => client.fetch(request, init), url);
}

function needed(name: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== '') return value;
  throw new UsageError(`${name} is not set: an S3 store takes its keys from it`);
}

async function assertDirectory(name: string): Promise<void> {
  const stats = await stat(name).catch((error: Error) => {
    throw new InputError(`${name} cannot be read: ${error.message}`);
  });
  if (!stats.isDirectory()) throw new InputError(`${name} is not a directory`);
}

/** The archive in a directory, if there is one only. */
async function onlyPrefix(store: ObjectStore, directory: string): Promise<string> {
  const prefixes = new Set<string>();
  for await (const key of store.list('', new AbortController())) {
    const [, prefix] = /^(.+)\/log\/\d{16}$/.exec(key) ?? [];
    if (prefix !== undefined) prefixes.add(prefix);
  }
  const [prefix, ...others] = prefixes;
  if (prefix === undefined) throw new InputError(`${directory} holds no archive; --prefix names a new one`);
  if (others.length === 0) return prefix;
  throw new UsageError(`${directory} holds archives: choose --prefix ${[...prefixes].join(' or ')}`);
}
