/** MessageChannel and MessagePort (HTML §9.4) within one isolate. */

import { DOMException } from './dom_exception.ts';
import { type Event, eventState, MessageEvent } from './events/event.ts';
import { defineHandler, dispatch, EventTarget } from './events/event_target.ts';
import { cloneWithTransfer, transferList } from './clone/structured_clone.ts';
import { setBoundedTimer } from './timers.ts';
import { defineInterface, INTERNAL, isObject, requireArguments } from './webidl.ts';

/** One end of a channel; moves from port object to port object when that is transferred. */
class End {
  port: MessagePort | null = null;
  other: End | null = null;
  started = false;
  queue: { data: unknown; ports: MessagePort[] }[] = [];

  deliver(): void {
    setBoundedTimer(() => {
      const { port } = this;
      if (port === null || !this.started) return;
      const message = this.queue.shift();
      if (message === undefined) return;
      const event: Event = new MessageEvent('message', { data: message.data, ports: message.ports });
      eventState(event).trusted = true;
      dispatch(port, event);
    }, 0);
  }

  start(): void {
    if (this.started) return;
    this.started = true;
    for (let i = 0; i < this.queue.length; i++) this.deliver();
  }
}

let endOf: (port: MessagePort) => End | null;
let setEnd: (port: MessagePort, end: End | null) => void;
export let isMessagePort: (value: unknown) => value is MessagePort;

export class MessagePort extends EventTarget {
  #end: End | null = null;

  constructor(token?: unknown) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    super();
  }

  static {
    endOf = (port) => port.#end;
    setEnd = (port, end) => {
      port.#end = end;
      if (end !== null) end.port = port;
    };
    isMessagePort = (value): value is MessagePort => isObject(value) && #end in value;
  }

  postMessage(message: unknown, options?: unknown): void {
    requireArguments(arguments.length, 1, 'MessagePort.postMessage');
    const transfer = transferList(options);
    if (transfer.includes(this)) throw new DOMException('A port cannot transfer itself', 'DataCloneError');
    const { value, ports } = cloneWithTransfer(message, transfer);
    const other = this.#end?.other;
    if (other === null || other === undefined) return;
    other.queue.push({ data: value, ports });
    if (other.started) other.deliver();
  }

  start(): void {
    this.#end?.start();
  }

  close(): void {
    const end = this.#end;
    this.#end = null;
    if (end === null) return;
    end.port = null;
    if (end.other !== null) end.other.other = null;
    end.other = null;
  }
}

/** A new port object that takes over what `port` was. */
export function movePort(port: MessagePort): MessagePort {
  const end = endOf(port);
  setEnd(port, null);
  const moved = new MessagePort(INTERNAL);
  if (end !== null) {
    end.started = false;
    setEnd(moved, end);
  }
  return moved;
}

export function isDetachedPort(port: MessagePort): boolean {
  return endOf(port) === null;
}

export class MessageChannel {
  #first = new MessagePort(INTERNAL);
  #second = new MessagePort(INTERNAL);

  constructor() {
    const first = new End();
    const second = new End();
    first.other = second;
    second.other = first;
    setEnd(this.#first, first);
    setEnd(this.#second, second);
  }

  get port1(): MessagePort {
    return this.#first;
  }

  get port2(): MessagePort {
    return this.#second;
  }
}

defineHandler(MessagePort.prototype, 'message', (port) => (port as MessagePort).start());
defineHandler(MessagePort.prototype, 'messageerror');
defineInterface(MessagePort, 'MessagePort');
defineInterface(MessageChannel, 'MessageChannel');
