/** PerformanceObserver (Performance Timeline standard). */

import { ObjectFreeze, ReflectApply } from '../primordials.ts';
import { DOMException } from '../dom_exception.ts';
import { reportException } from '../report.ts';
import { setInternalTimer } from '../timers.ts';
import { defineInterface, INTERNAL, isObject, requireArguments, toDictionary, toDOMString } from '../webidl.ts';
import type { PerformanceEntry } from './entries.ts';
import { filterEntries, findEntries, onTimelineEntry } from './timeline.ts';

const SUPPORTED: readonly string[] = ObjectFreeze(['mark', 'measure']);

type Callback = (list: PerformanceObserverEntryList, observer: PerformanceObserver, options: object) => unknown;

export class PerformanceObserverEntryList {
  #entries: PerformanceEntry[];

  constructor(token: unknown = undefined, entries: PerformanceEntry[] = []) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    this.#entries = entries;
  }

  getEntries(): PerformanceEntry[] {
    return filterEntries(this.#entries);
  }

  getEntriesByType(type: string): PerformanceEntry[] {
    requireArguments(arguments.length, 1, 'PerformanceObserverEntryList.getEntriesByType');
    return filterEntries(this.#entries, undefined, toDOMString(type));
  }

  getEntriesByName(name: string, type: unknown = undefined): PerformanceEntry[] {
    requireArguments(arguments.length, 1, 'PerformanceObserverEntryList.getEntriesByName');
    return filterEntries(this.#entries, toDOMString(name), type === undefined ? undefined : toDOMString(type));
  }
}

/** What an observer waits for, and what it has not been told yet. */
class Registration {
  readonly observer: PerformanceObserver;
  readonly callback: Callback;
  types: string[] = [];
  /** Set by the first `observe`: one call with entryTypes, or any number with one type each. */
  single: boolean | null = null;
  waiting: PerformanceEntry[] = [];

  constructor(observer: PerformanceObserver, callback: Callback) {
    this.observer = observer;
    this.callback = callback;
  }
}

let registered: Registration[] = [];
let queued = false;

function queueDelivery(): void {
  if (queued) return;
  queued = true;
  setInternalTimer(deliver, 0);
}

function deliver(): void {
  queued = false;
  const list = registered;
  for (let i = 0; i < list.length; i++) {
    const { callback, observer, waiting } = list[i];
    if (waiting.length === 0) continue;
    list[i].waiting = [];
    try {
      const entries = new PerformanceObserverEntryList(INTERNAL, waiting);
      ReflectApply(callback, observer, [entries, observer, { droppedEntriesCount: 0 }]);
    } catch (error) {
      reportException(error);
    }
  }
}

onTimelineEntry((entry) => {
  for (let i = 0; i < registered.length; i++) {
    if (!registered[i].types.includes(entry.entryType)) continue;
    registered[i].waiting.push(entry);
    queueDelivery();
  }
});

export class PerformanceObserver {
  #registration: Registration;

  constructor(callback: Callback) {
    requireArguments(arguments.length, 1, "Failed to construct 'PerformanceObserver'");
    if (typeof callback !== 'function') throw new TypeError('The callback is not a function');
    this.#registration = new Registration(this, callback);
  }

  static get supportedEntryTypes(): readonly string[] {
    return SUPPORTED;
  }

  observe(options: unknown = undefined): void {
    const registration = this.#registration;
    const { buffered, entryTypes, type } = toDictionary(options, 'The options');
    if ((entryTypes === undefined) === (type === undefined)) {
      throw new TypeError('The options must name either entryTypes or type');
    }
    const single = type !== undefined;
    if (entryTypes !== undefined && buffered !== undefined) {
      throw new TypeError('The option buffered goes with type, not with entryTypes');
    }
    if (entryTypes !== undefined && !isObject(entryTypes))
      throw new TypeError('The option entryTypes is not a sequence');
    if (registration.single !== null && registration.single !== single) {
      throw new DOMException('An observer cannot use both entryTypes and type', 'InvalidModificationError');
    }
    const wanted = single ? [toDOMString(type)] : [...(entryTypes as Iterable<unknown>)].map(toDOMString);
    const types = wanted.filter((name) => SUPPORTED.includes(name));
    if (types.length === 0) return;
    registration.single = single;
    registration.types = single ? [...new Set([...registration.types, ...types])] : types;
    if (!registered.includes(registration)) registered = [...registered, registration];
    if (single && buffered) {
      registration.waiting.push(...findEntries(undefined, types[0]));
      queueDelivery();
    }
  }

  disconnect(): void {
    const registration = this.#registration;
    registered = registered.filter((other) => other !== registration);
    registration.types = [];
    registration.waiting = [];
    registration.single = null;
  }

  takeRecords(): PerformanceEntry[] {
    const registration = this.#registration;
    const { waiting } = registration;
    registration.waiting = [];
    return filterEntries(waiting);
  }
}

defineInterface(PerformanceObserverEntryList, 'PerformanceObserverEntryList');
defineInterface(PerformanceObserver, 'PerformanceObserver');
