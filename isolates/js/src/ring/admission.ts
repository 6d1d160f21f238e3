/**
 * How many requests of the app run at once. Pure state: it decides, the server acts.
 *
 * A request over the cap waits in a queue as long as the cap, for `queueMs` at most; over that it is refused.
 */

export const START = 0;
export const WAIT = 1;
export const REFUSED = 2;

interface Waiting<T> {
  request: T;
  since: number;
}

export class Admission<T> {
  readonly #cap: number;
  readonly #queueMs: number;
  readonly #queue: Waiting<T>[] = [];
  #first = 0;
  #active = 0;

  constructor(cap: number, queueMs: number) {
    this.#cap = cap;
    this.#queueMs = queueMs;
  }

  get active(): number {
    return this.#active;
  }

  get queued(): number {
    return this.#queue.length - this.#first;
  }

  /** Decides about a request that arrived at `now`: START (it counts as active), WAIT (it was queued) or REFUSED. */
  admit(request: T, now: number): number {
    if (this.#active < this.#cap) {
      this.#active++;
      return START;
    }
    if (this.queued >= this.#cap) return REFUSED;
    this.#queue[this.#queue.length] = { request, since: now };
    return WAIT;
  }

  /** A request ended. Call `next` afterwards. */
  release(): void {
    this.#active--;
  }

  /** The request that may start now, counted as active, or null. */
  next(): T | null {
    if (this.#active >= this.#cap || this.queued === 0) return null;
    this.#active++;
    return this.#take();
  }

  /** The oldest request that has waited too long at `now`, taken out of the queue, or null. */
  expired(now: number): T | null {
    if (this.queued === 0 || this.#queue[this.#first].since + this.#queueMs > now) return null;
    return this.#take();
  }

  /** Takes a waiting request out; returns false when it does not wait. */
  withdraw(request: T): boolean {
    for (let i = this.#first; i < this.#queue.length; i++) {
      if (this.#queue[i].request !== request) continue;
      this.#queue.splice(i, 1);
      return true;
    }
    return false;
  }

  /** When the first waiting request expires, -1 when none waits. */
  get nextExpiry(): number {
    return this.queued === 0 ? -1 : this.#queue[this.#first].since + this.#queueMs;
  }

  #take(): T {
    const { request } = this.#queue[this.#first++];
    if (this.#first === this.#queue.length) {
      this.#queue.length = 0;
      this.#first = 0;
    } else if (this.#first >= 64) {
      this.#queue.splice(0, this.#first);
      this.#first = 0;
    }
    return request;
  }
}
