/** Work that may outlive its response (`ctx.waitUntil`): counted for the host, and limited in time. */

import type { Origin } from './continuation.ts';
import { inspectError } from './inspect.ts';
import { ERROR, limitHit, log } from './log.ts';
import { Counter, setCounter } from './ring/output.ts';
import { abortCallsOf } from './subrequest.ts';
import { clearTimer, clearTimersOf, setInternalTimer } from './timers.ts';

/** How long it may go on after the response. */
const BACKGROUND_MS = 30_000;
/** The limit's name in the log and in metrics. */
const LIMIT = 'wait_until';

let total = 0;

/** Tells the host that there is more, or less, work that it does not know as a request. */
export function countBackground(change: number): void {
  total += change;
  setCounter(Counter.background, total);
}

/** Ends the work of a request, or of a run of a cron, that nobody waits for any more. What still runs comes to nothing. */
export function giveUp(origin: Origin): void {
  origin.givenUp = true;
  clearTimersOf(origin);
  abortCallsOf(origin);
}

/** The background work of one request. */
export class Background {
  readonly #origin: Origin;
  #pending = 0;
  #timer = 0;
  #held = false;
  /** The request was cut off: once this is done, so is all of it. */
  #cut = false;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** None of it is left. */
  get over(): boolean {
    return this.#pending === 0 && !this.#held;
  }

  add(promise: unknown): void {
    this.#pending++;
    countBackground(1);
    void this.#settle(promise);
  }

  /** The response ended: from now on the time is limited. */
  responseEnded(): void {
    if (this.#held) return;
    if (this.#pending > 0 && this.#timer === 0) this.#timer = setInternalTimer(() => this.#giveUp(), BACKGROUND_MS);
  }

  /** The request was cut off. What else it does ends now, or with the last of this work, which may need it. */
  cutOff(): void {
    if (this.#pending > 0) this.#cut = true;
    else giveUp(this.#origin);
  }

  /** A WebSocket took the place of the response: the time is limited once `letGo` tells that it is over. */
  hold(): void {
    this.#held = true;
  }

  letGo(): void {
    this.#held = false;
    this.responseEnded();
  }

  async #settle(promise: unknown): Promise<void> {
    try {
      await promise;
    } catch (error) {
      const { givenUp, requestId } = this.#origin;
      if (!givenUp) log(ERROR, `A promise given to waitUntil was rejected: ${inspectError(error)}`, requestId);
    }
    if (this.#pending === 0) return; // given up
    countBackground(-1);
    if (--this.#pending > 0) return;
    if (this.#cut) giveUp(this.#origin);
    if (this.#timer === 0) return;
    clearTimer(this.#timer);
    this.#timer = 0;
  }

  #giveUp(): void {
    countBackground(-this.#pending);
    this.#pending = 0;
    this.#timer = 0;
    const seconds = BACKGROUND_MS / 1000;
    const message = `Work given to waitUntil was ended: it was still pending ${seconds} s after the response`;
    limitHit(LIMIT, `${message} (limit wait_until)`, this.#origin.requestId);
    giveUp(this.#origin);
  }
}
