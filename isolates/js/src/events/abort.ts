/** AbortController and AbortSignal (DOM §3). */

import { DOMException } from '../dom_exception.ts';
import { SafeSet } from '../primordials.ts';
import { setBoundedTimer } from '../timers.ts';
import { defineInterface, INTERNAL, isObject, requireArguments, toEnforcedInteger } from '../webidl.ts';
import { Event, eventState } from './event.ts';
import { defineHandler, dispatch, EventTarget, hasListeners } from './event_target.ts';

type Algorithm = (reason: unknown) => void;

class SignalState {
  aborted = false;
  reason: unknown = undefined;
  /** Run before the event is fired; set by the platform's own users of the signal. */
  algorithms: InstanceType<typeof SafeSet<Algorithm>> | null = null;
  /** Signals made by `any` out of this one. A long-lived signal must not keep every one of them alive… */
  dependents: Dependents | null = null;
  /** … but those that somebody waits for, who may hold nothing else. */
  awaited: InstanceType<typeof SafeSet<AbortSignal>> | null = null;
  /** For a signal made by `any`: what it depends on, never itself a dependent one. */
  sources: AbortSignal[] | null = null;
}

/** A set of weak references that drops dead ones now and then. */
class Dependents {
  #references: WeakRef<AbortSignal>[] = [];
  #sweepAt = 32;

  add(signal: AbortSignal): void {
    if (this.#references.length >= this.#sweepAt) {
      this.#references = this.#references.filter((reference) => reference.deref() !== undefined);
      this.#sweepAt = 2 * this.#references.length + 32;
    }
    this.#references.push(new WeakRef(signal));
  }

  list(): AbortSignal[] {
    return this.#references.map((reference) => reference.deref()).filter((signal) => signal !== undefined);
  }
}

let stateOf: (signal: AbortSignal) => SignalState;
export let isAbortSignal: (value: unknown) => value is AbortSignal;

export class AbortSignal extends EventTarget {
  #state: SignalState;

  constructor(token: unknown = undefined) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    super();
    this.#state = new SignalState();
  }

  static {
    stateOf = (signal) => signal.#state;
    isAbortSignal = (value): value is AbortSignal => isObject(value) && #state in value;
  }

  static abort(reason: unknown = undefined): AbortSignal {
    const signal = newSignal();
    const state = stateOf(signal);
    state.aborted = true;
    state.reason = reason === undefined ? abortError() : reason;
    return signal;
  }

  static timeout(milliseconds: number): AbortSignal {
    requireArguments(arguments.length, 1, 'AbortSignal.timeout');
    const delay = toEnforcedInteger(milliseconds, Number.MAX_SAFE_INTEGER);
    const signal = newSignal();
    setBoundedTimer(() => abortSignal(signal, new DOMException('The operation timed out', 'TimeoutError')), delay);
    return signal;
  }

  static any(signals: Iterable<AbortSignal>): AbortSignal {
    requireArguments(arguments.length, 1, 'AbortSignal.any');
    const list = [...signals];
    for (const signal of list) {
      if (!isAbortSignal(signal)) throw new TypeError('AbortSignal.any: a member is not an AbortSignal');
    }
    return anySignal(list);
  }

  get aborted(): boolean {
    return this.#state.aborted;
  }

  get reason(): unknown {
    return this.#state.reason;
  }

  throwIfAborted(): void {
    if (this.#state.aborted) throw this.#state.reason;
  }
}

function abortError(): DOMException {
  return new DOMException('This operation was aborted', 'AbortError');
}

export function newSignal(): AbortSignal {
  return new AbortSignal(INTERNAL);
}

export function anySignal(signals: AbortSignal[]): AbortSignal {
  const result = newSignal();
  const state = stateOf(result);
  for (const signal of signals) {
    const source = stateOf(signal);
    if (!source.aborted) continue;
    state.aborted = true;
    state.reason = source.reason;
    return result;
  }
  state.sources = [];
  for (const signal of signals) {
    const roots = stateOf(signal).sources ?? [signal];
    for (const root of roots) {
      if (state.sources.includes(root)) continue;
      state.sources.push(root);
      (stateOf(root).dependents ??= new Dependents()).add(result);
    }
  }
  return result;
}

/** Signal abort (DOM §3.2): all states change before any listener runs. */
export function abortSignal(signal: AbortSignal, reason?: unknown): void {
  const state = stateOf(signal);
  if (state.aborted) return;
  state.aborted = true;
  state.reason = reason === undefined ? abortError() : reason;
  const affected: AbortSignal[] = [];
  for (const dependent of state.dependents?.list() ?? []) {
    const other = stateOf(dependent);
    if (other.aborted) continue;
    other.aborted = true;
    other.reason = state.reason;
    affected.push(dependent);
  }
  runAbortSteps(signal);
  for (const dependent of affected) runAbortSteps(dependent);
  state.dependents = null;
  state.awaited = null;
}

/** Somebody waits for the signal: while what it depends on lives, so does it. */
export function keepAlive(signal: AbortSignal): void {
  const { sources, aborted } = stateOf(signal);
  if (sources === null || aborted) return;
  for (const source of sources) (stateOf(source).awaited ??= new SafeSet<AbortSignal>()).add(signal);
}

/** The platform no longer waits for the signal. */
function letGo(signal: AbortSignal): void {
  const { sources, algorithms } = stateOf(signal);
  if (sources === null || (algorithms !== null && algorithms.size > 0) || hasListeners(signal, 'abort')) return;
  for (const source of sources) stateOf(source).awaited?.delete(signal);
}

function runAbortSteps(signal: AbortSignal): void {
  const state = stateOf(signal);
  const algorithms = state.algorithms;
  state.algorithms = null;
  algorithms?.forEach((algorithm) => algorithm(state.reason));
  const event = new Event('abort');
  eventState(event).trusted = true;
  dispatch(signal, event);
}

/** The abort reason, or undefined while not aborted. */
export function abortedReason(signal: AbortSignal): unknown {
  const state = stateOf(signal);
  return state.aborted ? state.reason : undefined;
}

/** Runs `algorithm` on abort, before the event; returns a function that takes it back. */
export function onAbort(signal: AbortSignal, algorithm: Algorithm): () => void {
  const state = stateOf(signal);
  if (state.aborted) return () => {};
  (state.algorithms ??= new SafeSet<Algorithm>()).add(algorithm);
  keepAlive(signal);
  return () => {
    state.algorithms?.delete(algorithm);
    letGo(signal);
  };
}

export class AbortController {
  #signal: AbortSignal = newSignal();

  get signal(): AbortSignal {
    return this.#signal;
  }

  abort(reason: unknown = undefined): void {
    abortSignal(this.#signal, reason);
  }
}

defineHandler(AbortSignal.prototype, 'abort');
defineInterface(AbortSignal, 'AbortSignal');
defineInterface(AbortController, 'AbortController');
