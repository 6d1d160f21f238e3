/** What is behind a WebSocket object: its state, the events it gets, and the link between the two ends of a pair. */

import { newBlob } from '../blob.ts';
import { getContinuation, setContinuation } from '../continuation.ts';
import { DOMException } from '../dom_exception.ts';
import { CloseEvent } from '../events/close_event.ts';
import { Event, eventState, MessageEvent } from '../events/event.ts';
import { dispatch, type EventTarget } from '../events/event_target.ts';
import { runMicrotasks } from '../native.ts';
import { typedArrayBuffer } from '../primordials.ts';
import { turnNumber } from '../ring/input.ts';
import { queueTask } from '../ring/tasks.ts';
import { ABNORMAL, type Far, MAX_BUFFERED_BYTES, type Message, type Near, type Wire } from './wire.ts';

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSING = 2;
export const CLOSED = 3;

const NO_STATUS = 1005;

/** The turn in which a message was dispatched last: before another one in the same turn microtasks have to run. */
let lastTurn = -1;

interface End {
  code: number;
  reason: string;
  /** The other end of a pair hears of it when this one does. */
  echo: (() => void) | null;
}

/** What a WebSocket object is about: it takes messages for it, and knows where those that it sends go. */
export class Core implements Near {
  readonly socket: EventTarget;
  state = CONNECTING;
  far: Far | null = null;
  /** The other end of a pair. */
  peer: Core | null = null;
  /** Given to a response: it belongs to the platform now. */
  given = false;
  accepting = false;
  url = '';
  origin = '';
  protocol = '';
  extensions = '';
  binaryType = 'arraybuffer';
  /** Made by the constructor of the standard, whose rules are stricter in places. */
  standard = false;
  /** Bytes given to `send` after the end; they count as buffered for ever. */
  discarded = 0;
  #continuation: unknown = undefined;
  #waiting: { message: Message; cost: number }[] = [];
  #waitingBytes = 0;
  #end: End | null = null;

  constructor(socket: EventTarget) {
    this.socket = socket;
  }

  /** Events run in the present continuation from now on. */
  bind(): void {
    this.#continuation = getContinuation();
  }

  /** Begins to dispatch what comes; what has come already, in a task. */
  start(): void {
    this.bind();
    this.state = OPEN;
    if (this.#waiting.length === 0 && this.#end === null) this.accepting = true;
    else queueTask(() => this.#catchUp());
  }

  /** The connection of a client was made. */
  open(wire: Wire, protocol: string): void {
    this.protocol = protocol;
    this.far = wire;
    wire.near = this;
    this.state = OPEN;
    this.accepting = true;
    this.#fire(new Event('open'));
    lastTurn = turnNumber();
  }

  /** The connection of a client could not be made. */
  failed(): void {
    this.#finish(ABNORMAL, '');
  }

  message(message: Message, cost: number): void {
    if (this.accepting) {
      this.#dispatchMessage(message, cost);
      return;
    }
    this.#waiting[this.#waiting.length] = { message, cost };
    this.#waitingBytes += message.length;
    if (this.#waitingBytes <= MAX_BUFFERED_BYTES) return;
    this.#waiting = [];
    throw new DOMException('Too much was sent before the other end was accepted', 'QuotaExceededError');
  }

  ended(code: number, reason: string, echo: (() => void) | null = null): void {
    if (!this.accepting) this.#end = { code, reason, echo };
    else {
      this.#finish(code, reason);
      echo?.();
    }
  }

  /** Hands what has been gathered over to `near`; nothing comes here any more. */
  handOver(near: Near): void {
    this.given = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let i = 0; i < waiting.length; i++) near.message(waiting[i].message, waiting[i].cost);
    if (this.#end !== null) near.ended(this.#end.code, this.#end.reason);
  }

  #catchUp(): void {
    for (let i = 0; i < this.#waiting.length; i++) {
      this.#dispatchMessage(this.#waiting[i].message, this.#waiting[i].cost);
    }
    this.#waiting = [];
    this.accepting = true;
    if (this.#end !== null) this.ended(this.#end.code, this.#end.reason, this.#end.echo);
  }

  #fire(event: Event): void {
    const before = getContinuation();
    setContinuation(this.#continuation);
    eventState(event).trusted = true;
    dispatch(this.socket, event);
    setContinuation(before);
  }

  /** Each event is a task of its own: microtasks of the one before in this turn run first. */
  #separate(): void {
    const turn = turnNumber();
    if (turn === lastTurn) runMicrotasks();
    lastTurn = turn;
  }

  #dispatchMessage(message: Message, cost: number): void {
    this.far?.consumed(cost);
    this.#separate();
    if (this.state !== OPEN) return;
    const data =
      typeof message === 'string'
        ? message
        : this.binaryType === 'blob'
          ? newBlob(message, '')
          : typedArrayBuffer(message);
    this.#fire(new MessageEvent('message', { data, origin: this.origin }));
  }

  #finish(code: number, reason: string): void {
    if (this.state === CLOSED) return;
    this.#separate();
    this.state = CLOSED;
    if (code === ABNORMAL) this.#fire(new Event('error'));
    this.#fire(new CloseEvent('close', { wasClean: code !== ABNORMAL, code, reason }));
  }
}

/** Messages to the other end of a pair within the isolate. */
export class PairLink implements Far {
  readonly #own: Core;
  readonly #other: Core;
  #closed = false;
  buffered = 0;

  constructor(own: Core, other: Core) {
    this.#own = own;
    this.#other = other;
  }

  send(message: Message, taken: (() => void) | null): void {
    if (!this.#other.accepting) {
      // It only gathers them, perhaps to hand them over.
      this.#other.message(message, 0);
      taken?.();
      return;
    }
    const size = message.length;
    if (this.buffered + size > MAX_BUFFERED_BYTES) {
      throw new DOMException('The other end is too far behind', 'QuotaExceededError');
    }
    this.buffered += size;
    queueTask(() => {
      this.buffered -= size;
      this.#other.message(message, 0);
      taken?.();
    });
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    const seen = code === 0 ? NO_STATUS : code;
    const end = () => this.#other.ended(seen, reason, () => this.#own.ended(seen, reason));
    if (this.#other.accepting) queueTask(end);
    else end();
  }

  consumed(): void {}
}
