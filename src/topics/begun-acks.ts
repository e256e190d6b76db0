import type { Delivery } from './delivery.js';
import type { Marks } from './entry-format.js';
import { marksOf } from './marking.js';
import type { Message } from './message.js';
import type { Slot } from './slots.js';

/** Acknowledgements that are written with something else, in one entry for all groups. There may be very many. */
export class BegunAcks {
  readonly #slots = new Map<Delivery, Slot[]>();

  get isEmpty(): boolean {
    return this.#slots.size === 0;
  }

  /** Begins that of a message that `delivery` has handed out; throws if it cannot be acknowledged. */
  begin(delivery: Delivery, message: Message): void {
    const slot = delivery.beginAck(message);
    const slots = this.#slots.get(delivery);
    if (slots === undefined) this.#slots.set(delivery, [slot]);
    else slots.push(slot);
  }

  /** What is to be written. */
  marks(): Marks[] {
    return [...this.#slots].map(([{ group }, slots]) => marksOf(group, slots, 'acks', sizeOf));
  }

  /** To be called when they are written, or will not be. */
  end(isWritten: boolean): void {
    for (const [delivery, slots] of this.#slots) delivery.endAcks(slots, isWritten);
  }
}

function sizeOf({ bytes }: Slot): number {
  return bytes.length;
}
