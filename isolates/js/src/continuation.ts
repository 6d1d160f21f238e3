/**
 * The continuation: one value that V8 carries along every promise reaction, `await` and (through `timers.ts`) timer.
 * The platform keeps a `Flow` in it: which request the code runs for, and what AsyncLocalStorage holds.
 */

import type { SafeMap } from './primordials.ts';

/** What a request's log lines and subrequests need to know of it. */
export interface Origin {
  readonly requestId: string;
  /** Over which its answer goes; -1 without one. */
  readonly connection: number;
  /** How many subrequests were made for it. */
  subrequests: number;
  /**
   * It was answered, and none of what it gave to `waitUntil` is left. What still runs in its continuation may be a queue
   * that requests share, at work for others: that goes on in the continuation of whoever was in front.
   */
  readonly over: boolean;
  /** Nobody waits for its work any more: timers that it sets do not run, and its calls to fetch() never settle. */
  givenUp: boolean;
}

export type Stores = InstanceType<typeof SafeMap<object, unknown>>;

/** The value of the continuation; never changed once it is set. */
export interface Flow {
  readonly origin: Origin | null;
  readonly stores: Stores | null;
}

export interface ContinuationFunctions {
  getContinuation(): unknown;
  setContinuation(value: unknown): void;
}

let current: unknown;
export let getContinuation: () => unknown = () => current;
export let setContinuation: (value: unknown) => void = (value) => {
  current = value;
};

/** Called at boot. Without the engine's functions the flow is lost at the first `await`. */
export function useContinuation(native: Partial<ContinuationFunctions>): void {
  if (typeof native.getContinuation === 'function' && typeof native.setContinuation === 'function') {
    getContinuation = native.getContinuation;
    setContinuation = native.setContinuation;
  }
}

/** The flow the running code belongs to, if any. */
export function currentFlow(): Flow | null {
  return (getContinuation() as Flow | undefined) ?? null;
}

/** The connection over which the request came that the running code works for; -1 without one. */
export function currentConnection(): number {
  return currentFlow()?.origin?.connection ?? -1;
}

/** The id of the request that the running code works for, or the empty string. */
export function currentRequestId(): string {
  return currentFlow()?.origin?.requestId ?? '';
}
