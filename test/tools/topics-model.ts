/**
 * What topics must hold after a crash, from what was begun and what had resolved: the reference for the crash tests of
 * topics. Messages are known by their texts, each of which is published once.
 */
import assert from 'node:assert/strict';

/** Something that a process has begun, or that has resolved. */
export type TopicsEvent =
  | { readonly what: 'publish'; readonly texts: readonly Sent[]; readonly ack?: Acked }
  | { readonly what: 'published'; readonly texts: readonly Sent[]; readonly ids: readonly number[]; readonly ack?: Acked }
  | { readonly what: 'ack' | 'acked'; readonly ack: Acked }
  | { readonly what: 'handed out'; readonly group: string; readonly text: string; readonly attempt: number };

export interface Sent {
  readonly topic: string;
  readonly text: string;
}

export interface Acked {
  readonly group: string;
  readonly text: string;
}

/** What a process found: the messages of each topic, and what each group was handed, with the attempt. */
export interface Found {
  readonly topics: ReadonlyMap<string, readonly { readonly id: number; readonly text: string }[]>;
  readonly groups: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

/** A group of `GROUPS` has the name of its topic in front. */
export function topicOf(group: string): string {
  return group.split('/')[0];
}

/** The facts that follow from events. */
export class TopicsModel {
  /** Texts by what is known of them; those that were begun may be there or not. */
  readonly begun = new Map<string, Sent>();
  readonly published = new Map<string, number>();
  readonly ackBegun = new Set<string>();
  readonly acked = new Set<string>();
  readonly handedOut = new Map<string, number>();
  /** What is one with what: texts that are published and acknowledged together. */
  readonly units: { readonly texts: readonly Sent[]; readonly ack: Acked | undefined }[] = [];

  constructor(events: readonly TopicsEvent[]) {
    for (const event of events) this.#add(event);
  }

  /** Throws if a process that was opened after a crash could not have found this. */
  check({ topics, groups }: Found, isProcessDeath: boolean): void {
    const present = new Map([...topics].map(([name, messages]) => [name, new Set(messages.map(({ text }) => text))]));
    for (const [name, messages] of topics) this.#checkTopic(name, messages);
    for (const [text, { topic }] of this.begun) {
      const isKept = [...groups.keys()].every((group) => topicOf(group) !== topic);
      if (this.published.has(text) && isKept) assert.ok(present.get(topic)?.has(text), `${text} was published, and is lost`);
    }
    for (const [group, handed] of groups) this.#checkGroup(group, handed, isProcessDeath);
    for (const { texts, ack } of this.units) this.#checkUnit(texts, ack, present, groups);
  }

  /** What is certain now that it has been looked at, for the next process. */
  certain({ topics, groups }: Found): TopicsEvent[] {
    const events: TopicsEvent[] = [];
    for (const [topic, messages] of topics) {
      for (const { id, text } of messages) events.push({ what: 'published', texts: [{ topic, text }], ids: [id] });
    }
    for (const [group, handed] of groups) {
      for (const [text, sent] of this.begun) {
        if (sent.topic !== topicOf(group)) continue;
        const isThere = handed.has(text);
        if (!isThere && this.ackBegun.has(key(group, text))) events.push({ what: 'acked', ack: { group, text } });
        else if (isThere) events.push({ what: 'published', texts: [sent], ids: [this.published.get(text) ?? 0] });
      }
    }
    return events;
  }

  #add(event: TopicsEvent): void {
    switch (event.what) {
      case 'publish':
        for (const sent of event.texts) this.begun.set(sent.text, sent);
        if (event.ack !== undefined) this.ackBegun.add(key(event.ack.group, event.ack.text));
        if (event.texts.length > 1 || event.ack !== undefined) this.units.push({ texts: event.texts, ack: event.ack });
        return;
      case 'published':
        event.texts.forEach((sent, i) => {
          this.begun.set(sent.text, sent);
          this.published.set(sent.text, event.ids[i]);
        });
        if (event.ack !== undefined) this.acked.add(key(event.ack.group, event.ack.text));
        return;
      case 'ack':
        this.ackBegun.add(key(event.ack.group, event.ack.text));
        return;
      case 'acked':
        this.ackBegun.add(key(event.ack.group, event.ack.text));
        this.acked.add(key(event.ack.group, event.ack.text));
        return;
      case 'handed out':
        this.handedOut.set(key(event.group, event.text), event.attempt);
    }
  }

  #checkTopic(name: string, messages: readonly { readonly id: number; readonly text: string }[]): void {
    let last = 0;
    for (const { id, text } of messages) {
      assert.equal(this.begun.get(text)?.topic, name, `${name} holds ${JSON.stringify(text)}, which was not published there`);
      assert.ok(id > last, `message ${id} of ${name} comes after ${last}`);
      last = id;
      const known = this.published.get(text) ?? 0;
      assert.ok(known === 0 || known === id, `${text} had the id ${known}, and has ${id}`);
    }
  }

  #checkGroup(group: string, handed: ReadonlyMap<string, number>, isProcessDeath: boolean): void {
    for (const [text, { topic }] of this.begun) {
      if (topic !== topicOf(group)) continue;
      const name = key(group, text);
      if (handed.has(text)) {
        assert.ok(!this.acked.has(name), `${name} was acknowledged, and is handed out again`);
      } else {
        const mustBe = this.published.has(text) || this.handedOut.has(name);
        assert.ok(!mustBe || this.ackBegun.has(name), `${name} is not handed out, although it was not acknowledged`);
      }
      const attempt = handed.get(text);
      if (attempt === undefined || !isProcessDeath || !group.endsWith('counted')) continue;
      const before = this.handedOut.get(name) ?? 0;
      assert.ok(attempt > before, `${name} was handed out ${before} times, and now counts ${attempt}`);
    }
    for (const text of handed.keys()) assert.ok(this.begun.has(text), `${group} is handed ${text}, which was not published`);
  }

  #checkUnit(
    texts: readonly Sent[], ack: Acked | undefined, present: ReadonlyMap<string, ReadonlySet<string>>,
    groups: Found['groups'],
  ): void {
    // Of a topic with groups a message may be gone.
    const lasting = texts.filter(({ topic }) => ![...groups.keys()].some((group) => topicOf(group) === topic));
    const are = lasting.map(({ topic, text }) => present.get(topic)?.has(text) === true);
    if (ack !== undefined) are.push(groups.get(ack.group)?.has(ack.text) === false);
    assert.ok(are.every((is) => is === are[0]), `a part of ${JSON.stringify({ texts, ack })} has happened: ${are.join()}`);
  }
}

function key(group: string, text: string): string {
  return `${group}: ${text}`;
}
