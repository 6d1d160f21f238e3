/**
 * A map from whole numbers to objects, for tables whose entries come and go: requests in flight, calls, timers.
 *
 * The language's own Map is a chain of tables: each time it makes room, the old table keeps what it held and refers to
 * the new one. Once one of them is in the old generation, the scavenger takes all that follow, and everything that was
 * ever in flight while a table was replaced, for alive until the next full collection: with fetch() a quarter of the
 * young generation was copied at every scavenge, which cost as much as half of the requests' own work.
 */

const LEAST_SLOTS = 16;
/** The golden ratio as a fraction of 2^32 (Knuth, multiplicative hashing): keys in sequence spread evenly. */
const SPREAD = 0x9e3779b1;

const { clz32, imul } = Math;

/** Open addressing with linear probing, never more than half full. Keys are integers up to 2^32. */
export class NumberMap<T extends object> {
  /** Filled in full: an element that is missing would be looked for in `Array.prototype`. */
  #keys: number[] = [];
  #values: (T | null)[] = [];
  #mask = 0;
  #shift = 0;
  #size = 0;

  constructor() {
    this.#allocate(LEAST_SLOTS);
  }

  get size(): number {
    return this.#size;
  }

  get(key: number): T | undefined {
    const at = this.#find(key);
    return at < 0 ? undefined : this.#values[at]!;
  }

  set(key: number, value: T): void {
    const at = this.#find(key);
    if (at >= 0) {
      this.#values[at] = value;
      return;
    }
    if (2 * (this.#size + 1) > this.#mask) this.#resize(2 * (this.#mask + 1));
    this.#size++;
    this.#insert(key, value);
  }

  /** Whether it was there. */
  delete(key: number): boolean {
    let hole = this.#find(key);
    if (hole < 0) return false;
    const keys = this.#keys;
    const values = this.#values;
    const mask = this.#mask;
    // Whatever is further from its own slot than the hole moves into that, so that no search ends there too early.
    for (let at = (hole + 1) & mask; values[at] !== null; at = (at + 1) & mask) {
      if (((at - this.#slot(keys[at])) & mask) < ((at - hole) & mask)) continue;
      keys[hole] = keys[at];
      values[hole] = values[at];
      hole = at;
    }
    values[hole] = null;
    this.#size--;
    if (mask >= 8 * LEAST_SLOTS && 16 * this.#size < mask) this.#resize((mask + 1) >> 2);
    return true;
  }

  /** All that is in it now, in no particular order. */
  values(): T[] {
    const all: T[] = [];
    for (let at = 0; at <= this.#mask; at++) {
      const value = this.#values[at];
      if (value !== null) all[all.length] = value;
    }
    return all;
  }

  #slot(key: number): number {
    return imul(key, SPREAD) >>> this.#shift;
  }

  /** Where `key` is, or -1. */
  #find(key: number): number {
    const keys = this.#keys;
    const values = this.#values;
    for (let at = this.#slot(key); values[at] !== null; at = (at + 1) & this.#mask) if (keys[at] === key) return at;
    return -1;
  }

  #insert(key: number, value: T): void {
    let at = this.#slot(key);
    while (this.#values[at] !== null) at = (at + 1) & this.#mask;
    this.#keys[at] = key;
    this.#values[at] = value;
  }

  #allocate(slots: number): void {
    const keys: number[] = [];
    const values: null[] = [];
    for (let at = 0; at < slots; at++) {
      keys[at] = 0;
      values[at] = null;
    }
    this.#keys = keys;
    this.#values = values;
    this.#mask = slots - 1;
    this.#shift = clz32(slots) + 1;
  }

  #resize(slots: number): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#allocate(slots);
    for (let at = 0; at < values.length; at++) {
      const value = values[at];
      if (value !== null) this.#insert(keys[at], value);
    }
  }
}
