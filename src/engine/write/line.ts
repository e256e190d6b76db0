/** From how many served items on their room in the array is freed. */
const TRIM_FROM = 1024;

/** First come, first served; an item can leave the line at any place. Each step takes constant time on average. */
export class Line<Item extends object> {
  #items: (Item | undefined)[] = [];
  /** The items before this index have been served. */
  #head = 0;
  /** Items that have left but still stand in the array. */
  readonly #left = new Set<Item>();

  get size(): number {
    return this.#items.length - this.#head - this.#left.size;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  /** The item whose turn it is. */
  get first(): Item | undefined {
    if (this.#left.size > 0) this.#skipLeft();
    return this.#items[this.#head];
  }

  /** Removes the first item. */
  shift(): void {
    // Its data can be collected even if the array is kept.
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) this.#items = [];
    else if (this.#head < TRIM_FROM || this.#head * 2 < this.#items.length) return;
    else this.#items.splice(0, this.#head);
    this.#head = 0;
  }

  /** Removes an item wherever it stands. */
  remove(item: Item): void {
    this.#left.add(item);
    if (this.#left.size > this.size) this.#keep(this.#remaining());
  }

  /** Removes all items, and returns them in their order. */
  clear(): Item[] {
    const items = this.#remaining();
    this.#keep([]);
    return items;
  }

  #remaining(): Item[] {
    return this.#items.slice(this.#head).filter((item) => item !== undefined && !this.#left.has(item)) as Item[];
  }

  #keep(items: Item[]): void {
    this.#items = items;
    this.#head = 0;
    this.#left.clear();
  }

  #skipLeft(): void {
    for (let item = this.#items[this.#head]; item !== undefined && this.#left.delete(item);) {
      this.shift();
      item = this.#items[this.#head];
    }
  }
}
