/** What both machines of the failover know. */
import { directoryStore, fetchStore, type ObjectStore } from '../src/archive/index.js';
import type { LogManager, WalOptions } from '../src/index.js';

/** Where the archive is in the store. */
export const PREFIX = 'failover';

export const LOG_OPTIONS: WalOptions = { preallocateBytes: 1024 * 1024 };

/** Keeps every order in the log. */
export const keepAll: LogManager = {
  recover: () => undefined,
  checkpointTo: (_lastId, _entries, _log, signal) => new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  }),
};

/** A directory, or the bucket of `s3://BUCKET` at AWS_ENDPOINT_URL. */
export async function storeOf(name: string): Promise<ObjectStore> {
  if (!name.startsWith('s3://')) return directoryStore(name);
  const { AwsClient } = await import('aws4fetch');
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, AWS_REGION } = process.env;
  const keys = { accessKeyId: AWS_ACCESS_KEY_ID ?? '', secretAccessKey: AWS_SECRET_ACCESS_KEY ?? '' };
  const client = new AwsClient({ ...keys, service: 's3', region: AWS_REGION ?? 'us-east-1', retries: 0 });
  return fetchStore((url, init) => client.fetch(url, init), `${AWS_ENDPOINT_URL}/${name.slice('s3://'.length)}`);
}
