/**
 * Many durable streams in one log, each read by groups of consumers that remember where they are.
 *
 * In the examples `topics` has been opened with `await Topics.open('my-topics', options)`, and was empty.
 *
 * @module segmented-wal/topics
 */
export { Topics } from './topics.js';
export type { TopicsChange, TopicsStats } from './topics.js';
export { Topic } from './topic.js';
export type { PublishOptions, TopicReadOptions, TopicStats } from './topic.js';
export { Group } from './group.js';
export type { Lag, TakeOptions } from './group.js';
export { Message } from './message.js';
export type { GroupOptions, Outgoing, Retention, TopicsOptions } from './options.js';
export type { TopicsEvents } from './topics-events.js';
export { TopicsError } from './topics-error.js';
export type { TopicsErrorCode } from './topics-error.js';
