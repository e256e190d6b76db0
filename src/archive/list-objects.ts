/** What the answer to one ListObjectsV2 request says. */
interface ListedObjects {
  readonly keys: readonly string[];
  /** What the next request continues with; undefined after the last. */
  readonly next: string | undefined;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: '\'' };

/**
 * Reads the answer to a ListObjectsV2 request that asked for `encoding-type=url`. Throws for anything else, such as
 * the page of a proxy: it must not be taken for a store without objects.
 */
export function parseListedObjects(xml: string): ListedObjects {
  const result = /<ListBucketResult[\s>]([^]*)<\/ListBucketResult>\s*$/.exec(xml)?.[1];
  const isTruncated = textOf(result ?? '', 'IsTruncated');
  if (result === undefined || isTruncated === undefined) {
    throw new Error(`the answer to a listing is no list of objects: ${xml.slice(0, 200)}`);
  }
  const isEncoded = textOf(result, 'EncodingType') === 'url';
  const keys = [...result.matchAll(/<Contents>([^]*?)<\/Contents>/g)].map(([, object]) => {
    const key = textOf(object, 'Key');
    if (key === undefined) throw new Error(`a listed object has no key: ${object.slice(0, 200)}`);
    return isEncoded ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
  });
  const next = isTruncated === 'true' ? textOf(result, 'NextContinuationToken') : undefined;
  const isContinued = isTruncated !== 'true' || next !== undefined;
  if (!isContinued) throw new Error('a listing is cut off, and does not say how to continue');
  return { keys, next };
}

/** The text of the first element of this name, which has no attributes and no elements in it. */
export function textOf(xml: string, element: string): string | undefined {
  const text = new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml)?.[1];
  return text?.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name: string) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(parseInt(hex as string, 16));
    return ENTITIES[name] ?? whole;
  });
}
