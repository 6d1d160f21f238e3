/** WebSocket (WebSockets §3), as a client and as one end of a WebSocketPair. */

import { blobBytes, isBlob } from '../blob.ts';
import { DOMException } from '../dom_exception.ts';
import { utf8Length } from '../encoding/utf8.ts';
import { defineHandler, EventTarget } from '../events/event_target.ts';
import { openSocket } from '../fetch.ts';
import { isToken } from '../http/tokens.ts';
import { log, WARN } from '../log.ts';
import { SafeSet, sliceBytes, toLowerCase } from '../primordials.ts';
import { queueTask } from '../ring/tasks.ts';
import { parseToRecord } from '../url/url.ts';
import { serializeURL, serializeURLOrigin } from 'whatwg-url/state-machine';
import {
  bytesView,
  defineInterface,
  INTERNAL,
  isBufferSource,
  isObject,
  requireArguments,
  toDOMString,
  toClampedUnsignedShort,
  toUSVString,
} from '../webidl.ts';
import { CLOSED, CLOSING, CONNECTING, Core, OPEN, PairLink } from './core.ts';
import { ABNORMAL, type Message, Relay, Wire } from './wire.ts';

const MAX_REASON_BYTES = 123;

let coreOf: (socket: WebSocket) => Core;
let isWebSocket: (value: unknown) => value is WebSocket;

export class WebSocket extends EventTarget {
  #core: Core;

  constructor(url: string, protocols: unknown = undefined, token: unknown = undefined) {
    requireArguments(arguments.length, 1, "Failed to construct 'WebSocket'");
    super();
    this.#core = new Core(this);
    if (token === INTERNAL) return;
    connect(this.#core, toUSVString(url), protocolList(protocols));
  }

  static {
    coreOf = (socket) => socket.#core;
    isWebSocket = (value): value is WebSocket => isObject(value) && #core in value;
  }

  get url(): string {
    return this.#core.url;
  }
  get readyState(): number {
    return this.#core.state;
  }
  get bufferedAmount(): number {
    const core = this.#core;
    return core.discarded + (core.far?.buffered ?? 0);
  }
  get extensions(): string {
    return this.#core.extensions;
  }
  get protocol(): string {
    return this.#core.protocol;
  }
  get binaryType(): string {
    return this.#core.binaryType;
  }
  set binaryType(value: string) {
    const core = this.#core;
    const type = toDOMString(value);
    if (type === 'blob' || type === 'arraybuffer') core.binaryType = type;
  }

  /** Begins to dispatch events; for WebSockets of a pair and of `fetch`. */
  accept(): void {
    const core = this.#core;
    if (core.standard || core.state !== CONNECTING) throw new TypeError('The WebSocket is accepted already');
    if (core.given) throw new TypeError('The WebSocket was given to a response');
    core.start();
  }

  send(data: unknown): void {
    const core = this.#core;
    requireArguments(arguments.length, 1, 'WebSocket.send');
    const message = toMessage(data);
    if (core.state === CONNECTING) {
      if (core.standard) throw new DOMException('The WebSocket is not open yet', 'InvalidStateError');
      throw new TypeError('accept() has to be called before send()');
    }
    if (core.state !== OPEN) core.discarded += typeof message === 'string' ? utf8Length(message) : message.length;
    else core.far!.send(message, null);
  }

  close(code: unknown = undefined, reason: unknown = undefined): void {
    const core = this.#core;
    const over = core.state === CLOSING || core.state === CLOSED;
    // The usual `close(event.code, event.reason)` in answer to a close event must not fail.
    if (over && !core.standard) return;
    const number = code === undefined ? 0 : toClampedUnsignedShort(code);
    const text = reason === undefined ? '' : toUSVString(reason);
    if (code !== undefined && !mayClose(number, core.standard)) {
      throw new DOMException(`The close code ${number} cannot be sent`, 'InvalidAccessError');
    }
    if (utf8Length(text) > MAX_REASON_BYTES) {
      throw new DOMException(`The reason is longer than ${MAX_REASON_BYTES} bytes`, 'SyntaxError');
    }
    if (over) return;
    const wasConnecting = core.state === CONNECTING;
    if (wasConnecting && !core.standard) throw new TypeError('accept() has to be called before close()');
    core.state = CLOSING;
    if (wasConnecting) queueTask(() => core.failed());
    // A reason goes along with a code only.
    else core.far!.close(number === 0 && text !== '' ? 1000 : number, text);
  }
}

/** The codes that an app may send: the standard lets a client send few, a server needs the others too. */
function mayClose(code: number, standard: boolean): boolean {
  if (code === 1000 || (code >= 3000 && code <= 4999)) return true;
  return !standard && code > 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== ABNORMAL;
}

function toMessage(data: unknown): Message {
  if (typeof data === 'string') return data;
  if (isBufferSource(data)) return sliceBytes(bytesView(data));
  if (isBlob(data)) return sliceBytes(blobBytes(data));
  return toUSVString(data);
}

function protocolList(value: unknown): string[] {
  const list: string[] = [];
  if (value !== undefined) {
    if (isObject(value)) for (const item of value as Iterable<unknown>) list[list.length] = toUSVString(item);
    else list[0] = toUSVString(value);
  }
  const seen = new SafeSet<string>();
  for (let i = 0; i < list.length; i++) {
    const lower = toLowerCase(list[i]);
    if (!isToken(list[i]) || seen.has(lower)) {
      throw new DOMException(`The subprotocol ${list[i]} is not a token, or is there twice`, 'SyntaxError');
    }
    seen.add(lower);
  }
  return list;
}

/** The constructor's steps after its arguments were converted. */
function connect(core: Core, url: string, protocols: string[]): void {
  const record = parseToRecord(url);
  if (record === null) throw new DOMException(`Invalid URL: ${url}`, 'SyntaxError');
  if (record.scheme === 'http') record.scheme = 'ws';
  else if (record.scheme === 'https') record.scheme = 'wss';
  if (record.scheme !== 'ws' && record.scheme !== 'wss') {
    throw new DOMException(`The URL's scheme must be ws or wss, not ${record.scheme}`, 'SyntaxError');
  }
  if (record.fragment !== null) throw new DOMException('The URL has a fragment', 'SyntaxError');
  core.standard = true;
  core.binaryType = 'blob';
  core.url = serializeURL(record);
  core.origin = serializeURLOrigin(record);
  core.bind();
  record.scheme = record.scheme === 'ws' ? 'http' : 'https';
  openSocket(
    serializeURL(record),
    protocols,
    (wire, protocol) => {
      if (core.state !== CONNECTING) wire.abort('closed before it was open');
      else if (protocols.length > 0 && protocol === '') {
        wire.abort('no subprotocol');
        queueTask(() => core.failed());
      } else core.open(wire, protocol);
    },
    (reason) => {
      log(WARN, `The WebSocket to ${core.url} could not be opened: ${reason}`);
      queueTask(() => core.failed());
    },
  );
}

/** The WebSocket of a response to a request with `Upgrade: websocket`, to be accepted. */
export function socketOver(wire: Wire, protocol: string): WebSocket {
  const socket = new WebSocket('', undefined, INTERNAL);
  const core = coreOf(socket);
  core.protocol = protocol;
  core.far = wire;
  wire.near = core;
  return socket;
}

/** Whether `value` is a WebSocket that can be given to a response. @throws TypeError when not. */
export function checkSocket(value: unknown): asserts value is WebSocket {
  if (!isWebSocket(value)) throw new TypeError('The webSocket of a response with status 101 must be a WebSocket');
  const core = coreOf(value);
  if (core.standard || core.far === null) throw new TypeError('Only a WebSocket of a pair or of fetch can be returned');
  if (core.given) throw new TypeError('The WebSocket was already given to a response');
  if (core.state !== CONNECTING) throw new TypeError('A WebSocket on which accept() was called cannot be returned');
}

/** The client went away before its request was answered with this: whoever keeps the other end hears of it. */
export function dropSocket(value: unknown): void {
  if (!isWebSocket(value)) return;
  const { far, peer, given } = coreOf(value);
  if (given) return;
  if (peer !== null) peer.ended(ABNORMAL, '');
  else if (far instanceof Wire) far.abort('the client is gone');
}

/** Joins a WebSocket that `checkSocket` let pass with the client of the request that was answered with it. */
export function giveSocket(socket: WebSocket, wire: Wire): void {
  const core = coreOf(socket);
  const far = core.far!;
  const { peer } = core;
  if (peer === null) {
    // It is another wire's, of a fetch: the app passes a WebSocket on.
    const inner = far as Wire;
    inner.near = new Relay(inner, wire);
    wire.near = new Relay(wire, inner);
    core.handOver(inner.near);
    return;
  }
  core.handOver(new Relay(far, wire));
  // The other end talks to the wire itself from now on.
  peer.far = wire;
  wire.near = peer;
}

/** Two WebSockets, each the other's other side: one to keep and one to give to a response. */
export class WebSocketPair {
  readonly 0: WebSocket;
  readonly 1: WebSocket;
  constructor() {
    this[0] = new WebSocket('', undefined, INTERNAL);
    this[1] = new WebSocket('', undefined, INTERNAL);
    const first = coreOf(this[0]);
    const second = coreOf(this[1]);
    first.peer = second;
    second.peer = first;
    first.far = new PairLink(first, second);
    second.far = new PairLink(second, first);
  }
}

for (const type of ['open', 'message', 'error', 'close']) defineHandler(WebSocket.prototype, type);
defineInterface(WebSocket, 'WebSocket', { CONNECTING, OPEN, CLOSING, CLOSED });
defineInterface(WebSocketPair, 'WebSocketPair');
