/**
 * Promises that are rejected while nobody listens (HTML, "unhandled promise rejections"): `unhandledrejection` at the
 * global scope in the turn after the microtasks have run, a log line unless that was cancelled, and `rejectionhandled`
 * if somebody listens later.
 *
 * The engine calls `promiseRejected` and `promiseHandled` in the midst of any code: they only take notes, and never run
 * code of the app.
 */

import { currentFlow, type Flow, setContinuation } from './continuation.ts';
import { eventState, PromiseRejectionEvent } from './events/event.ts';
import { dispatch, globalScope, hasListeners } from './events/event_target.ts';
import { inspectError } from './inspect.ts';
import { ERROR, log } from './log.ts';
import { SafeMap, SafeWeakMap } from './primordials.ts';
import { setMoreWork } from './ring/output.ts';

/** So many are kept of one turn; of those beyond only the number is told. */
const MAX_KEPT = 1000;

type AnyPromise = Promise<unknown>;

/** A promise, why it was rejected, and for which request the code ran that did so. */
interface Rejection {
  promise: AnyPromise;
  reason: unknown;
  flow: Flow | null;
}

/** Rejected since the last notification, and nobody has listened yet. */
const waiting = new SafeMap<AnyPromise, Rejection>();
/** Nobody listened when it was told; gone when the app has no way to listen any more. */
const outstanding = new SafeWeakMap<AnyPromise, Rejection>();
/** Somebody listened after it was told. */
let handledLate: Rejection[] = [];
/** Beyond `MAX_KEPT`. */
let uncounted = 0;

/** Whether `notifyRejections` has something to do. */
export let rejectionsWait = false;

function wake(): void {
  rejectionsWait = true;
  setMoreWork(true);
}

/** The engine: `promise` was rejected without a handler. */
export function promiseRejected(promise: AnyPromise, reason: unknown): void {
  if (waiting.size < MAX_KEPT) waiting.set(promise, { promise, reason, flow: currentFlow() });
  else uncounted++;
  wake();
}

/** The engine: a promise that was rejected without a handler has got one. */
export function promiseHandled(promise: AnyPromise): void {
  if (waiting.delete(promise)) return;
  const rejection = outstanding.get(promise);
  if (rejection === undefined) {
    if (uncounted > 0) uncounted--;
    return;
  }
  outstanding.delete(promise);
  if (handledLate.length === MAX_KEPT || !hasListeners(globalScope, 'rejectionhandled')) return;
  handledLate[handledLate.length] = rejection;
  wake();
}

/** Fires the events that are due and writes the log. Called by the loop once the microtasks have run. */
export function notifyRejections(): void {
  rejectionsWait = false;
  const unhandled: Rejection[] = [];
  waiting.forEach((rejection) => (unhandled[unhandled.length] = rejection));
  const handled = handledLate;
  handledLate = [];
  const more = uncounted;
  uncounted = 0;
  for (let i = 0; i < handled.length; i++) fire('rejectionhandled', handled[i], false);
  for (let i = 0; i < unhandled.length; i++) {
    const rejection = unhandled[i];
    const { promise } = rejection;
    // A listener of an earlier one may have begun to listen to this one.
    if (!waiting.has(promise)) continue;
    if (fire('unhandledrejection', rejection, true))
      log(ERROR, `Uncaught (in promise) ${inspectError(rejection.reason)}`);
    if (waiting.delete(promise)) outstanding.set(promise, rejection);
  }
  setContinuation(undefined);
  if (more > 0) log(ERROR, `${more} more promises were rejected without a handler, too many at once to tell each`, '');
}

/** Fires an event in the context of the code that rejected; returns false when it was cancelled. */
function fire(type: string, rejection: Rejection, cancelable: boolean): boolean {
  const { promise, reason } = rejection;
  setContinuation(rejection.flow ?? undefined);
  if (!hasListeners(globalScope, type)) return true;
  const event = new PromiseRejectionEvent(type, { promise, reason, cancelable });
  eventState(event).trusted = true;
  return dispatch(globalScope, event);
}
