/** Event, CustomEvent, ErrorEvent, MessageEvent and PromiseRejectionEvent (DOM §2, HTML). */

import { monotonicNow } from '../clock.ts';
import { ObjectDefineProperty, ObjectGetOwnPropertyDescriptor } from '../primordials.ts';
import { defineInterface, requireArguments, toDictionary, toDOMString } from '../webidl.ts';
import type { EventTarget } from './event_target.ts';

/** What dispatch keeps of an event. */
export interface EventState {
  type: string;
  target: EventTarget | null;
  currentTarget: EventTarget | null;
  phase: number;
  bubbles: boolean;
  cancelable: boolean;
  composed: boolean;
  canceled: boolean;
  dispatching: boolean;
  stopped: boolean;
  stoppedAtOnce: boolean;
  inPassiveListener: boolean;
  trusted: boolean;
  timeStamp: number;
}

export let eventState: (event: Event) => EventState;

export let isEvent: (value: object) => value is Event;

export class Event {
  #state: EventState;

  constructor(type: string, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "Failed to construct 'Event'");
    const name = toDOMString(type);
    const options = toDictionary(init, 'The event init');
    this.#state = {
      type: name,
      target: null,
      currentTarget: null,
      phase: 0,
      bubbles: !!options.bubbles,
      cancelable: !!options.cancelable,
      composed: !!options.composed,
      canceled: false,
      dispatching: false,
      stopped: false,
      stoppedAtOnce: false,
      inPassiveListener: false,
      trusted: false,
      timeStamp: monotonicNow(),
    };
    ObjectDefineProperty(this, 'isTrusted', { get: isTrustedGetter, enumerable: true });
  }

  static {
    eventState = (event) => event.#state;
    isEvent = (value): value is Event => #state in value;
  }

  get type(): string {
    return this.#state.type;
  }
  get target(): EventTarget | null {
    return this.#state.target;
  }
  get srcElement(): EventTarget | null {
    return this.#state.target;
  }
  get currentTarget(): EventTarget | null {
    return this.#state.currentTarget;
  }
  composedPath(): EventTarget[] {
    const current = this.#state.currentTarget;
    return current === null ? [] : [current];
  }
  get eventPhase(): number {
    return this.#state.phase;
  }
  stopPropagation(): void {
    this.#state.stopped = true;
  }
  get cancelBubble(): boolean {
    return this.#state.stopped;
  }
  set cancelBubble(value: boolean) {
    const state = this.#state;
    if (value) state.stopped = true;
  }
  stopImmediatePropagation(): void {
    this.#state.stopped = true;
    this.#state.stoppedAtOnce = true;
  }
  get bubbles(): boolean {
    return this.#state.bubbles;
  }
  get cancelable(): boolean {
    return this.#state.cancelable;
  }
  get returnValue(): boolean {
    return !this.#state.canceled;
  }
  set returnValue(value: boolean) {
    void this.#state;
    if (!value) this.preventDefault();
  }
  preventDefault(): void {
    if (this.#state.cancelable && !this.#state.inPassiveListener) this.#state.canceled = true;
  }
  get defaultPrevented(): boolean {
    return this.#state.canceled;
  }
  get composed(): boolean {
    return this.#state.composed;
  }
  get timeStamp(): number {
    return this.#state.timeStamp;
  }
  initEvent(type: string, bubbles = false, cancelable = false): void {
    requireArguments(arguments.length, 1, 'initEvent');
    const state = this.#state;
    if (state.dispatching) return;
    state.type = toDOMString(type);
    state.bubbles = !!bubbles;
    state.cancelable = !!cancelable;
    state.canceled = state.stopped = state.stoppedAtOnce = false;
    state.target = null;
  }
}

/** One for all events, by the standard's name. */
const isTrustedGetter = ObjectGetOwnPropertyDescriptor(
  {
    get isTrusted(): boolean {
      return eventState(this as unknown as Event).trusted;
    },
  },
  'isTrusted',
)!.get!;

export class CustomEvent extends Event {
  #detail: unknown;
  constructor(type: string, init: unknown = undefined) {
    super(type, init);
    const detail = toDictionary(init, 'The event init').detail;
    this.#detail = detail === undefined ? null : detail;
  }
  get detail(): unknown {
    return this.#detail;
  }
  initCustomEvent(type: string, bubbles = false, cancelable = false, detail: unknown = null): void {
    requireArguments(arguments.length, 1, 'initCustomEvent');
    if (eventState(this).dispatching) return;
    this.initEvent(type, bubbles, cancelable);
    this.#detail = detail;
  }
}

export class ErrorEvent extends Event {
  #message: string;
  #filename: string;
  #lineno: number;
  #colno: number;
  #error: unknown;
  constructor(type: string, init: unknown = undefined) {
    super(type, init);
    const options = toDictionary(init, 'The event init');
    this.#message = options.message === undefined ? '' : toDOMString(options.message);
    this.#filename = options.filename === undefined ? '' : toDOMString(options.filename);
    this.#lineno = Number(options.lineno ?? 0) >>> 0;
    this.#colno = Number(options.colno ?? 0) >>> 0;
    this.#error = options.error;
  }
  get message(): string {
    return this.#message;
  }
  get filename(): string {
    return this.#filename;
  }
  get lineno(): number {
    return this.#lineno;
  }
  get colno(): number {
    return this.#colno;
  }
  get error(): unknown {
    return this.#error;
  }
}

export class MessageEvent extends Event {
  #data: unknown;
  #origin: string;
  #lastEventId: string;
  #source: unknown;
  #ports: readonly unknown[];
  constructor(type: string, init: unknown = undefined) {
    super(type, init);
    const options = toDictionary(init, 'The event init');
    this.#data = options.data === undefined ? null : options.data;
    this.#origin = options.origin === undefined ? '' : toDOMString(options.origin);
    this.#lastEventId = options.lastEventId === undefined ? '' : toDOMString(options.lastEventId);
    this.#source = options.source ?? null;
    this.#ports = Object.freeze([...((options.ports as Iterable<unknown>) ?? [])]);
  }
  get data(): unknown {
    return this.#data;
  }
  get origin(): string {
    return this.#origin;
  }
  get lastEventId(): string {
    return this.#lastEventId;
  }
  get source(): unknown {
    return this.#source;
  }
  get ports(): readonly unknown[] {
    return this.#ports;
  }
  initMessageEvent(
    type: string,
    bubbles = false,
    cancelable = false,
    data: unknown = null,
    origin = '',
    lastEventId = '',
    source: unknown = null,
    ports: Iterable<unknown> = [],
  ): void {
    requireArguments(arguments.length, 1, 'initMessageEvent');
    if (eventState(this).dispatching) return;
    this.initEvent(type, bubbles, cancelable);
    this.#data = data;
    this.#origin = toDOMString(origin);
    this.#lastEventId = toDOMString(lastEventId);
    this.#source = source;
    this.#ports = Object.freeze([...ports]);
  }
}

export class PromiseRejectionEvent extends Event {
  #promise: unknown;
  #reason: unknown;
  constructor(type: string, init: unknown) {
    requireArguments(arguments.length, 2, "Failed to construct 'PromiseRejectionEvent'");
    super(type, init);
    const options = toDictionary(init, 'The event init');
    if (!('promise' in options)) throw new TypeError('The member promise is required');
    this.#promise = options.promise;
    this.#reason = options.reason;
  }
  get promise(): unknown {
    return this.#promise;
  }
  get reason(): unknown {
    return this.#reason;
  }
}

defineInterface(Event, 'Event', { NONE: 0, CAPTURING_PHASE: 1, AT_TARGET: 2, BUBBLING_PHASE: 3 });
defineInterface(CustomEvent, 'CustomEvent');
defineInterface(ErrorEvent, 'ErrorEvent');
defineInterface(MessageEvent, 'MessageEvent');
defineInterface(PromiseRejectionEvent, 'PromiseRejectionEvent');
