/** EventTarget (DOM §2.7) without a tree: an event's path is its target alone. */

import { DOMException } from '../dom_exception.ts';
import { ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ReflectApply, SafeMap } from '../primordials.ts';
import { reportException } from '../report.ts';
import { defineInterface, isObject, requireArguments, toDOMString } from '../webidl.ts';
import { type AbortSignal, abortedReason, isAbortSignal, keepAlive, onAbort } from './abort.ts';
import { type Event, eventState, isEvent } from './event.ts';

type Callback = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };

interface Listener {
  callback: Callback;
  capture: boolean;
  once: boolean;
  passive: boolean;
  removed: boolean;
}

type Listeners = InstanceType<typeof SafeMap<string, Listener[]>>;

let listenersOf: (target: EventTarget) => Listeners | null;
let makeListeners: (target: EventTarget) => Listeners;

export class EventTarget {
  #listeners: Listeners | null = null;

  static {
    listenersOf = (target) => target.#listeners;
    makeListeners = (target) => (target.#listeners ??= new SafeMap<string, Listener[]>());
  }

  addEventListener(type: string, callback: Callback | null, options: unknown = undefined): void {
    const target = self(this);
    requireArguments(arguments.length, 2, 'addEventListener');
    const name = toDOMString(type);
    let capture = false;
    let once = false;
    let passive = false;
    let signal: AbortSignal | null = null;
    if (isObject(options)) {
      const given = options as Record<string, unknown>;
      capture = !!given.capture;
      once = !!given.once;
      passive = !!given.passive;
      if (given.signal !== undefined) {
        if (!isAbortSignal(given.signal)) throw new TypeError('The option signal is not an AbortSignal');
        signal = given.signal;
      }
    } else capture = !!options;
    if (callback !== null && callback !== undefined && !isObject(callback)) {
      throw new TypeError('The callback is not an object');
    }
    if (callback === null || callback === undefined) return;
    if (signal !== null && abortedReason(signal) !== undefined) return;
    const map = makeListeners(target);
    let list = map.get(name);
    if (list === undefined) map.set(name, (list = []));
    for (let i = 0; i < list.length; i++) {
      if (list[i].callback === callback && list[i].capture === capture) return;
    }
    const listener: Listener = { callback, capture, once, passive, removed: false };
    list[list.length] = listener;
    if (isAbortSignal(target)) keepAlive(target);
    if (signal !== null) onAbort(signal, () => removeListener(target, name, listener));
  }

  removeEventListener(type: string, callback: Callback | null, options: unknown = undefined): void {
    const target = self(this);
    requireArguments(arguments.length, 2, 'removeEventListener');
    const capture = isObject(options) ? !!(options as Record<string, unknown>).capture : !!options;
    const name = toDOMString(type);
    const list = listenersOf(target)?.get(name);
    if (list === undefined) return;
    for (let i = 0; i < list.length; i++) {
      if (list[i].callback === callback && list[i].capture === capture) {
        removeListener(target, name, list[i]);
        return;
      }
    }
  }

  dispatchEvent(event: Event): boolean {
    const target = self(this);
    requireArguments(arguments.length, 1, 'dispatchEvent');
    if (!isObject(event) || !isEvent(event)) throw new TypeError('The argument is not an Event');
    const state = eventState(event);
    if (state.dispatching) throw new DOMException('The event is already being dispatched', 'InvalidStateError');
    state.trusted = false;
    return dispatch(target, event);
  }
}

/** A global function called without a receiver means the global scope. */
function self(value: EventTarget | undefined): EventTarget {
  if (value === undefined || value === null || (value as unknown) === globalThis) return globalScope;
  listenersOf(value); // throws a TypeError for what is no EventTarget
  return value;
}

/** The event target behind `globalThis.addEventListener` and friends. */
export const globalScope: EventTarget = new EventTarget();

function removeListener(target: EventTarget, type: string, listener: Listener): void {
  listener.removed = true;
  const map = listenersOf(target)!;
  const list = map.get(type);
  if (list === undefined) return;
  // A new list: a dispatch that is under way goes on over the old one.
  map.set(
    type,
    list.filter((other) => other !== listener),
  );
}

/** Whether anybody listens for `type`. */
export function hasListeners(target: EventTarget, type: string): boolean {
  const list = listenersOf(target)?.get(type);
  return list !== undefined && list.length > 0;
}

/** Fires `event` at `target`; returns false when it was cancelled. An exception of a listener is reported. */
export function dispatch(target: EventTarget, event: Event): boolean {
  const state = eventState(event);
  state.dispatching = true;
  const shown = (target === globalScope ? globalThis : target) as EventTarget;
  state.target = shown;
  state.currentTarget = shown;
  state.phase = 2;
  const list = state.stopped ? undefined : listenersOf(target)?.get(state.type);
  if (list !== undefined) {
    const count = list.length;
    for (let i = 0; i < count; i++) {
      const listener = list[i];
      if (listener.removed) continue;
      if (listener.once) removeListener(target, state.type, listener);
      state.inPassiveListener = listener.passive;
      try {
        const { callback } = listener;
        if (typeof callback === 'function') ReflectApply(callback, shown, [event]);
        else {
          const method = callback.handleEvent;
          if (typeof method !== 'function') throw new TypeError('handleEvent is not a function');
          ReflectApply(method, callback, [event]);
        }
      } catch (error) {
        reportException(error);
      }
      state.inPassiveListener = false;
      if (state.stoppedAtOnce) break;
    }
  }
  state.dispatching = state.stopped = state.stoppedAtOnce = false;
  state.phase = 0;
  state.currentTarget = null;
  return !state.canceled;
}

type HandlerFunction = (this: unknown, ...args: unknown[]) => unknown;

function runHandler(callback: HandlerFunction, target: unknown, event: Event): void {
  if (ReflectApply(callback, target, [event]) === false) event.preventDefault();
}

/**
 * Defines the event handler attribute `on<type>` (HTML: event handlers) on a prototype. `run` calls a handler and
 * cancels the event if it says so.
 */
export function defineHandler(
  prototype: EventTarget,
  type: string,
  onSet?: (target: EventTarget) => void,
  run = runHandler,
): void {
  const handlers = new WeakMap<object, { callback: unknown; listener: (this: unknown, event: Event) => void }>();
  const name = `on${type}`;
  const accessors = {
    get [name](): unknown {
      return handlers.get(self(this as unknown as EventTarget))?.callback ?? null;
    },
    set [name](value: unknown) {
      const target = self(this as unknown as EventTarget);
      const callback = isObject(value) ? value : null;
      const known = handlers.get(target);
      if (known !== undefined) {
        if (callback === null) {
          target.removeEventListener(type, known.listener);
          handlers.delete(target);
        } else known.callback = callback;
      } else if (callback !== null) {
        const entry = {
          callback: callback as unknown,
          listener(this: unknown, event: Event) {
            const current = entry.callback;
            if (typeof current !== 'function') return;
            run(current as HandlerFunction, this, event);
          },
        };
        handlers.set(target, entry);
        target.addEventListener(type, entry.listener);
        onSet?.(target);
      }
    },
  };
  ObjectDefineProperty(prototype, name, ObjectGetOwnPropertyDescriptor(accessors, name)!);
}

defineInterface(EventTarget, 'EventTarget');
