/** A small server that speaks as much of S3 as an archive needs, and answers as badly as it is told to. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** What becomes of a request: it fails with a status, or is carried out, or not, and never answered. */
export type Trouble = 403 | 404 | 409 | 500 | 503 | 'dropped before' | 'dropped after' | 'hangs' | 'html';

const CODES: Readonly<Record<number, string>> = {
  403: 'AccessDenied', 404: 'NoSuchBucket', 409: 'ConditionalRequestConflict', 500: 'InternalError', 503: 'SlowDown',
};

/** Objects in one bucket, in memory. */
export class S3Server {
  readonly objects = new Map<string, Buffer>();
  /** How many keys a listing has at most in one answer. */
  pageLength = 3;
  /** Whether ranges are ignored. */
  ignoresRanges = false;
  /** Whether it lists its keys in the order in which they were created. */
  isUnsorted = false;
  /** What becomes of the next request; undefined: what is asked for. */
  trouble: (method: string, key: string) => Trouble | undefined = () => undefined;
  requests = 0;
  readonly #bucket = 'bucket';
  readonly #server = http.createServer((request, response) => void this.#answer(request, response));

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  /** Without the bucket. */
  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get endpoint(): string {
    return `${this.origin}/${this.#bucket}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    this.requests++;
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const method = request.method ?? '';
    const url = new URL(request.url ?? '', this.origin);
    const key = decodeURIComponent(url.pathname).slice(this.#bucket.length + 2);
    const trouble = this.trouble(method, key);
    if (trouble === 'dropped before') request.socket.destroy();
    if (trouble === 'dropped before' || trouble === 'hangs') return;
    if (trouble === 'html') return void response.end('<html><body>A proxy.</body></html>');
    if (typeof trouble === 'number') return fail(response, trouble, CODES[trouble]);
    const carryOut = (): void => this.#carryOut(request, { method, key, query: url.searchParams, body: Buffer.concat(parts) }, response);
    if (trouble !== 'dropped after') return carryOut();
    response.end = () => response;
    carryOut();
    request.socket.destroy();
  }

  #carryOut(
    { headers }: http.IncomingMessage, asked: { method: string; key: string; query: URLSearchParams; body: Buffer },
    response: http.ServerResponse,
  ): void {
    const { method, key, query, body } = asked;
    if (method === 'PUT') {
      if (headers['if-none-match'] === '*' && this.objects.has(key)) return fail(response, 412, 'PreconditionFailed');
      this.objects.set(key, body);
      response.setHeader('etag', `"${createHash('md5').update(body).digest('hex')}"`).end();
    } else if (method === 'DELETE') {
      this.objects.delete(key);
      response.writeHead(204).end();
    } else if (method === 'POST' && query.has('delete')) {
      for (const [, deleted] of body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)) this.objects.delete(fromXml(deleted));
      response.end('<?xml version="1.0"?><DeleteResult></DeleteResult>');
    } else if (key === '') this.#list(query, response);
    else this.#get(key, this.ignoresRanges ? undefined : headers.range, response);
  }

  #get(key: string, range: string | undefined, response: http.ServerResponse): void {
    const object = this.objects.get(key);
    if (object === undefined) return fail(response, 404, 'NoSuchKey');
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    if (from === undefined) return void response.end(object);
    const end = Math.min(object.length, to === '' ? Infinity : Number(to) + 1);
    if (Number(from) >= end) return fail(response, 416, 'InvalidRange');
    response.writeHead(206, { 'content-range': `bytes ${from}-${end - 1}/${object.length}` });
    response.end(object.subarray(Number(from), end));
  }

  #list(query: URLSearchParams, response: http.ServerResponse): void {
    const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const isUrl = query.get('encoding-type') === 'url';
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(query.get('prefix') ?? '') && key > after);
    if (!this.isUnsorted) keys.sort();
    const page = keys.slice(0, this.pageLength);
    const isTruncated = page.length < keys.length;
    const encode = (key: string): string => (isUrl ? encodeURIComponent(key).replaceAll('%20', '+') : toXml(key));
    response.end([
      '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
      ...isUrl ? ['<EncodingType>url</EncodingType>'] : [],
      `<IsTruncated>${isTruncated}</IsTruncated>`,
      ...isTruncated ? [`<NextContinuationToken>${toXml(page[page.length - 1])}</NextContinuationToken>`] : [],
      ...page.map((key) => `<Contents><Key>${encode(key)}</Key><Size>1</Size></Contents>`),
      '</ListBucketResult>',
    ].join('\n'));
  }
}

function fail(response: http.ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>as told</Message></Error>`);
}

function toXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function fromXml(text: string): string {
  return text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
    .replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&apos;', '\'').replaceAll('&amp;', '&');
}
