import type { EntryId } from 'segmented-wal';
import { Topics, type Group, type Message, type TopicsOptions } from 'segmented-wal/topics';

/** Money that comes to an account, or goes. */
export interface Movement {
  readonly account: string;
  readonly amount: number;
}

/** A movement that another system is told of. */
export interface Notice extends Movement {
  /** The same however often it is sent: by this, its receiver knows what it has had. */
  readonly id: EntryId;
}

/** Tells another system. It has taken the notice when this resolves; if it rejects, the notice is sent again. */
export type Send = (notice: Notice) => Promise<void>;

const MOVEMENTS = 'movements';
const OUTBOX = 'outbox';

/**
 * Accounts, and an outbox for what another system is to be told of them. A change and its notice are one commit: there
 * is no change that the other system never hears of, and no notice of a change that never was. Notices are sent in
 * order, each until it has been taken. After a crash one may be sent again, with the same id.
 */
export class Accounts implements AsyncDisposable {
  readonly #topics: Topics;
  readonly #outbox: Group;
  readonly #retryMs: number;
  readonly #balances = new Map<string, number>();

  private constructor(topics: Topics, outbox: Group, retryMs: number) {
    this.#topics = topics;
    this.#outbox = outbox;
    this.#retryMs = retryMs;
  }

  /**
   * Opens the accounts in `directory`, which is created if need be. A notice that was not taken is sent again after
   * `retryMs`. Rejects as `Topics.open` does.
   */
  static async open(directory: string, options: TopicsOptions & { retryMs?: number } = {}): Promise<Accounts> {
    const { retryMs = 1000, ...topicsOptions } = options;
    const topics = await Topics.open(directory, topicsOptions);
    try {
      const accounts = new Accounts(topics, await topics.topic(OUTBOX).group('relay', { order: 'strict' }), retryMs);
      await accounts.#load();
      return accounts;
    } catch (error) {
      await topics.close();
      throw error;
    }
  }

  /** How many notices have not been taken. */
  get unsent(): number {
    return this.#outbox.lag.messages;
  }

  balance(account: string): number {
    return this.#balances.get(account) ?? 0;
  }

  /** Resolves when the movement and its notice are durable. */
  async move({ account, amount }: Movement): Promise<void> {
    const data = JSON.stringify({ account, amount });
    await this.#topics.commit({ publish: [{ topic: MOVEMENTS, data }, { topic: OUTBOX, data }] });
    this.#apply({ account, amount });
  }

  /** Sends notices, one after the other, until the accounts are closed or `signal` is aborted. */
  async relay(send: Send, signal?: AbortSignal): Promise<void> {
    for await (const message of this.#outbox.messages(signal === undefined ? {} : { signal })) {
      try {
        await send({ ...parse(message), id: message.id });
      } catch {
        await message.nack({ delayMs: this.#retryMs });
        continue;
      }
      await message.ack();
    }
  }

  close(): Promise<void> {
    return this.#topics.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** No group consumes the movements, so they stay. */
  async #load(): Promise<void> {
    if (![...this.#topics.names(MOVEMENTS)].includes(MOVEMENTS)) return;
    for await (const message of this.#topics.topic(MOVEMENTS).read()) this.#apply(parse(message));
  }

  #apply({ account, amount }: Movement): void {
    this.#balances.set(account, this.balance(account) + amount);
  }
}

function parse({ chunks: [data] }: Message): Movement {
  return JSON.parse(Buffer.from(data).toString()) as Movement;
}
