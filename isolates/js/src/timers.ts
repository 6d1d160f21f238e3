/**
 * Timers: one binary heap ordered by due time and then by creation, over the host's monotonic clock. The loop asks
 * `nextTimer` how long it may sleep and calls `runTimers` when it wakes.
 */

import { monotonic } from './clock.ts';
import { currentFlow, currentRequestId, getContinuation, type Origin, setContinuation } from './continuation.ts';
import { limitHitAgain } from './log.ts';
import { NumberMap } from './number_map.ts';
import { floor, max, ReflectApply } from './primordials.ts';
import { reportException } from './report.ts';
import { requireArguments, toLong } from './webidl.ts';

class Timer {
  id: number;
  due: number;
  order: number;
  /** Milliseconds between runs, -1 for a single one. */
  interval: number;
  level: number;
  callback: unknown;
  args: unknown[] | null;
  continuation: unknown;
  /** The app's code set it; null for those of the platform's own, and for code that runs for no request. */
  origin: Origin | null = null;
  /** Position in the heap, -1 when it is not there. */
  at = -1;
  constructor(id: number, due: number, order: number, interval: number, callback: unknown, args: unknown[] | null) {
    this.id = id;
    this.due = due;
    this.order = order;
    this.interval = interval;
    this.level = level + 1;
    this.callback = callback;
    this.args = args;
    this.continuation = getContinuation();
  }
}

const MAX_DELAY = 0x7fffffff;
const NESTED_DELAY = 4; // HTML: a timer nested deeper than five levels waits at least this long
const NESTED_LEVEL = 5;
const MAX_TIMERS = 100_000;

const heap: Timer[] = [];
let size = 0;
const byId = new NumberMap<Timer>();
let lastId = 0;
let lastOrder = 0;
/** Nesting level of the timer that is running. */
let level = 0;
let onEarlier: () => void = () => {};

/** `changed` is called when the earliest timer may have become earlier. */
export function onTimerChange(changed: () => void): void {
  onEarlier = changed;
}

function before(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}

function up(at: number, timer: Timer): void {
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!before(timer, heap[parent])) break;
    heap[at] = heap[parent];
    heap[at].at = at;
    at = parent;
  }
  heap[at] = timer;
  timer.at = at;
}

function down(at: number, timer: Timer): void {
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && before(heap[child + 1], heap[child])) child++;
    if (!before(heap[child], timer)) break;
    heap[at] = heap[child];
    heap[at].at = at;
    at = child;
  }
  heap[at] = timer;
  timer.at = at;
}

function push(timer: Timer): void {
  up(size++, timer);
  if (timer.at === 0) onEarlier();
}

function remove(timer: Timer): void {
  const { at } = timer;
  if (at < 0) return;
  timer.at = -1;
  const last = heap[--size];
  heap.length = size;
  if (last === timer) return;
  if (at > 0 && before(last, heap[(at - 1) >> 1])) up(at, last);
  else down(at, last);
}

/** A timer that the app asked for. @throws RangeError when it has too many. */
function addBounded(callback: unknown, delay: number, repeat: boolean, args: unknown[] | null): Timer {
  if (size >= MAX_TIMERS) {
    const message = `More than ${MAX_TIMERS} timers are pending`;
    limitHitAgain('timers', `A timer was refused: ${message} (limit timers)`, currentRequestId());
    throw new RangeError(message);
  }
  return add(callback, delay, repeat, args);
}

function add(callback: unknown, delay: number, repeat: boolean, args: unknown[] | null): Timer {
  let wait = delay >= 1 && delay <= MAX_DELAY ? floor(delay) : delay > MAX_DELAY ? MAX_DELAY : 0;
  if (wait < NESTED_DELAY && level >= NESTED_LEVEL) wait = NESTED_DELAY;
  const timer = new Timer(++lastId, monotonic() + wait, ++lastOrder, repeat ? wait : -1, callback, args);
  byId.set(timer.id, timer);
  push(timer);
  return timer;
}

/** A timer that the app's code set, for the request that it runs for. @throws RangeError when there are too many. */
function addOwn(callback: unknown, delay: number, repeat: boolean, args: unknown[]): number {
  const origin = currentFlow()?.origin ?? null;
  if (origin !== null && origin.givenUp) return ++lastId;
  const timer = addBounded(callback, delay, repeat, args.length > 0 ? args : null);
  timer.origin = origin;
  return timer.id;
}

/**
 * A timer of the platform's own: not clearable by app code except through the id. It is to be had however many the app
 * has set, since what depends on it, such as the end of a request's slot, must happen.
 */
export function setInternalTimer(callback: () => void, delay: number): number {
  return add(callback, delay, false, null).id;
}

/** A timer of the platform's own that the app can ask for any number of times. @throws RangeError when there are too many. */
export function setBoundedTimer(callback: () => void, delay: number): number {
  return addBounded(callback, delay, false, null).id;
}

export function clearTimer(id: number): void {
  const timer = byId.get(id);
  if (timer === undefined) return;
  byId.delete(id);
  remove(timer);
}

/** Forgets what the app's code has set for a request. */
export function clearTimersOf(origin: Origin): void {
  const timers = byId.values();
  for (let i = 0; i < timers.length; i++) if (timers[i].origin === origin) clearTimer(timers[i].id);
}

export function setTimeout(callback: unknown, delay: unknown = 0, ...args: unknown[]): number {
  requireArguments(arguments.length, 1, 'setTimeout');
  return addOwn(callable(callback), toLong(delay), false, args);
}

export function setInterval(callback: unknown, delay: unknown = 0, ...args: unknown[]): number {
  requireArguments(arguments.length, 1, 'setInterval');
  return addOwn(callable(callback), toLong(delay), true, args);
}

export function clearTimeout(id?: unknown): void {
  if (id !== undefined && id !== null) clearTimer(Number(id));
}

export function clearInterval(id?: unknown): void {
  clearTimeout(id);
}

/** Node's setImmediate: after what is ready now, before any timer of later turns. */
export function setImmediate(callback: unknown, ...args: unknown[]): number {
  return addOwn(callable(callback), 0, false, args);
}

function callable(callback: unknown): unknown {
  if (typeof callback === 'function') return callback;
  throw new TypeError('The callback is not a function: strings are not evaluated here');
}

/** When the earliest timer is due, as a monotonic time; -1 when there is none. */
export function nextTimer(): number {
  return size === 0 ? -1 : heap[0].due;
}

/** Whether a timer is due at `now`, a monotonic time. */
export function timerDue(now: number): boolean {
  return size > 0 && heap[0].due <= now;
}

/**
 * Runs the earliest timer if it is due at `now` and was set before `lastAllowed` (see `timerMark`). Returns false when there
 * was none. Microtasks must run before the next one: the caller sees to it.
 */
export function runTimer(now: number, lastAllowed: number): boolean {
  if (size === 0 || heap[0].due > now || heap[0].order > lastAllowed) return false;
  const timer = heap[0];
  remove(timer);
  if (timer.interval < 0) byId.delete(timer.id);
  level = timer.level;
  setContinuation(timer.continuation);
  try {
    ReflectApply(timer.callback as () => void, globalThis, timer.args ?? []);
  } catch (error) {
    reportException(error);
  }
  setContinuation(undefined);
  level = 0;
  if (timer.interval >= 0 && byId.get(timer.id) === timer && timer.at < 0) {
    timer.level++;
    const wait = timer.level > NESTED_LEVEL ? max(timer.interval, NESTED_DELAY) : timer.interval;
    timer.due = monotonic() + wait;
    timer.order = ++lastOrder;
    push(timer);
  }
  return true;
}

/** The order number of the newest timer: timers set while others run wait for the next turn. */
export function timerMark(): number {
  return lastOrder;
}
