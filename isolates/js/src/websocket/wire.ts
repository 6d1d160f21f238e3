/**
 * A WebSocket's stream on the ring (`isolates/wire.py`): messages in and out in frames, with flow control. What is
 * beyond the ring, an edge worker or the egress process, speaks the protocol to the network.
 */

import { utf8Decode, utf8Encode, utf8Length } from '../encoding/utf8.ts';
import { limitHit } from '../log.ts';
import { NumberMap } from '../number_map.ts';
import { max, min, SafeMap, setBytes, sliceBytes } from '../primordials.ts';
import { readBytes, readTextOrBytes, readUint32 } from '../ring/input.ts';
import {
  BINARY,
  CANCEL,
  CLOSE,
  Counter,
  FRAME_HEADER_BYTES,
  MESSAGE,
  MORE,
  sendCancel,
  sendFramePart,
  sendHeadAndText,
  sendText,
  sendWindow,
  setCounter,
  SOCKET_PIECE_BYTES,
  SOCKET_WINDOW_BYTES,
  TEXT,
  WINDOW,
} from '../ring/output.ts';

/** A message: text, or bytes that belong to whoever has it. */
export type Message = string | Uint8Array<ArrayBuffer>;

export const ABNORMAL = 1006;
const NO_STATUS = 1005;
const TOO_BIG = 1009;
const TRY_LATER = 1013;

/** Where a WebSocket's messages go. */
export interface Far {
  /** `taken`, if given, is called once the message is on its way. */
  send(message: Message, taken: (() => void) | null): void;
  /** Begins the closing handshake, after the messages sent so far; `code` 0 is none. */
  close(code: number, reason: string): void;
  /** Frames of `cost` bytes were dealt with: as many more may come. */
  consumed(cost: number): void;
  /** Bytes of messages that are not on their way yet. */
  readonly buffered: number;
}

/** What takes the messages that come. Exactly one `ended` is the last call. */
export interface Near {
  /** Whether messages are dealt with as they come. */
  readonly accepting: boolean;
  message(message: Message, cost: number): void;
  ended(code: number, reason: string): void;
}

const EMPTY = new Uint8Array(0);

/** Bytes that one WebSocket may keep for a receiver that does not take them. */
export const MAX_BUFFERED_BYTES = 16 << 20;
const BUFFER_LIMIT = 'websocket_buffer';
const MESSAGE_LIMIT = 'websocket_message_kb';

let limit = 1000;
let maxMessageBytes = 1 << 20;
let open = 0;

/** Called at boot. */
export function configureSockets(maxWebSockets: number, maxBytes: number): void {
  limit = maxWebSockets;
  maxMessageBytes = maxBytes;
}

const LIMIT = 'max_websockets';
export const FULL = 'The app has as many WebSockets open as it may (limit max_websockets); try again later';

/** Those in other isolates of the app, as of a second ago. */
let elsewhere = 0;

export function countElsewhere(count: number): void {
  elsewhere = count;
}

/** Those that the app has begun to open. */
let pending = 0;

export function countPending(change: 1 | -1): void {
  pending += change;
}

/** Whether one more may be opened; if not, the app's log has been told. */
export function hasRoom(requestId: string): boolean {
  if (open + pending + elsewhere < limit) return true;
  limitHit(LIMIT, `A WebSocket was refused: ${limit} are open (limit max_websockets)`, requestId);
  return false;
}

interface Outbound {
  kind: number;
  bytes: Uint8Array;
  at: number;
  taken: (() => void) | null;
}

const connections = new SafeMap<number, NumberMap<Wire>>();

export class Wire implements Far {
  near: Near | null = null;
  /** Called when it is over. */
  onEnd: (() => void) | null = null;
  readonly #connection: number;
  readonly #stream: number;
  readonly #requestId: string;
  #credit = SOCKET_WINDOW_BYTES;
  #queue: Outbound[] = [];
  #first = 0;
  #buffered = 0;
  #closing: { code: number; reason: string } | null = null;
  #closeSent = false;
  #closed = false;
  /** What is here of a message that comes in pieces, however small: the buffer grows, and is full up to `#size`. */
  #assembling = false;
  #partial = EMPTY;
  #size = 0;
  #consumed = 0;
  /** Cost of pieces that came before anybody took messages. */
  #held = 0;

  /** The stream's request was answered with 101. */
  constructor(connection: number, stream: number, requestId: string) {
    this.#connection = connection;
    this.#stream = stream;
    this.#requestId = requestId;
    let streams = connections.get(connection);
    if (streams === undefined) connections.set(connection, (streams = new NumberMap<Wire>()));
    streams.set(stream, this);
    setCounter(Counter.websockets, ++open);
  }

  get buffered(): number {
    return this.#buffered;
  }

  send(message: Message, taken: (() => void) | null): void {
    if (this.#closed || this.#closing !== null) {
      taken?.();
      return;
    }
    if (typeof message === 'string' && this.#first === this.#queue.length && this.#fits(message)) {
      this.#credit -= sendHeadAndText(this.#connection, this.#stream, MESSAGE, 0, TEXT, '', message);
      taken?.();
      return;
    }
    const isText = typeof message === 'string';
    const bytes = isText ? utf8Encode(message) : message;
    if (this.#buffered + bytes.length > MAX_BUFFERED_BYTES) {
      this.#overflow();
      return;
    }
    this.#queue[this.#queue.length] = { kind: isText ? TEXT : BINARY, bytes, at: 0, taken };
    this.#buffered += bytes.length;
    this.#advance();
  }

  /** Whether a text can be sent at once, in one frame. */
  #fits(text: string): boolean {
    const most = min(this.#credit - FRAME_HEADER_BYTES, SOCKET_PIECE_BYTES);
    return 3 * text.length <= most || (text.length <= most && utf8Length(text) <= most);
  }

  close(code: number, reason: string): void {
    if (this.#closed || this.#closing !== null) return;
    this.#closing = { code, reason };
    this.#advance();
  }

  consumed(cost: number): void {
    this.#consumed += cost + this.#held;
    this.#held = 0;
    if (this.#consumed < SOCKET_WINDOW_BYTES / 2 || this.#closed) return;
    sendWindow(this.#connection, this.#stream, this.#consumed);
    this.#consumed = 0;
  }

  /** Gives it up without a closing handshake. */
  abort(why: string): void {
    if (this.#closed) return;
    sendCancel(this.#connection, this.#stream, why);
    this.#end(ABNORMAL, '');
  }

  /** A frame of this stream. */
  frame(type: number, flags: number, status: number, split: number, end: number): void {
    if (type === MESSAGE) {
      const cost = FRAME_HEADER_BYTES + end - split;
      if ((flags & MORE) === 0 && !this.#assembling && end - split <= maxMessageBytes) {
        const content = status === TEXT ? readTextOrBytes(split, end) : readBytes(split, end);
        this.#deliver(status === TEXT && typeof content !== 'string' ? utf8Decode(content) : content, cost);
      } else this.#piece(readBytes(split, end), flags, status, cost);
    } else if (type === WINDOW) {
      this.#credit += readUint32(split);
      this.#advance();
    } else if (type === CLOSE) this.#end(status === 0 ? NO_STATUS : status, utf8Decode(readBytes(split, end)));
    else if (type === CANCEL) this.#end(ABNORMAL, '');
  }

  /** The other side is gone. */
  lost(): void {
    this.#end(ABNORMAL, '');
  }

  #piece(bytes: Uint8Array, flags: number, status: number, cost: number): void {
    const size = this.#size + bytes.length;
    if (size > maxMessageBytes) {
      // An edge worker sees to this itself; what others send is measured here.
      const message = `A message is larger than ${maxMessageBytes} bytes`;
      limitHit(MESSAGE_LIMIT, `A WebSocket was closed: ${message} (limit ${MESSAGE_LIMIT})`, this.#requestId);
      this.#fail(TOO_BIG, message);
      return;
    }
    this.#append(bytes, size);
    if ((flags & MORE) !== 0) {
      this.#assembling = true;
      // A message may be larger than the window: what is here of it makes room for the rest.
      if (this.near !== null && this.near.accepting) this.consumed(cost);
      else this.#held += cost;
      return;
    }
    const content = sliceBytes(this.#partial, 0, size);
    this.#forget();
    this.#deliver(status === TEXT ? utf8Decode(content) : content, cost);
  }

  #append(bytes: Uint8Array, size: number): void {
    if (size > this.#partial.length) {
      const larger = new Uint8Array(max(size, min(2 * this.#partial.length, maxMessageBytes)));
      setBytes(larger, this.#partial);
      this.#partial = larger;
    }
    setBytes(this.#partial, bytes, this.#size);
    this.#size = size;
  }

  #forget(): void {
    this.#assembling = false;
    this.#partial = EMPTY;
    this.#size = 0;
  }

  #deliver(message: Message, cost: number): void {
    if (this.near === null) this.consumed(cost);
    else this.near.message(message, cost);
  }

  /** Sends what the window allows. */
  #advance(): void {
    const queue = this.#queue;
    while (this.#first < queue.length) {
      const item = queue[this.#first];
      const { bytes, at } = item;
      const size = min(bytes.length - at, SOCKET_PIECE_BYTES);
      if (this.#credit < FRAME_HEADER_BYTES + size) return;
      const more = at + size < bytes.length;
      sendFramePart(this.#connection, this.#stream, MESSAGE, more ? MORE : 0, item.kind, bytes, at, at + size);
      this.#credit -= FRAME_HEADER_BYTES + size;
      this.#buffered -= size;
      item.at += size;
      if (more) continue;
      this.#first++;
      item.taken?.();
    }
    this.#queue.length = 0;
    this.#first = 0;
    if (this.#closing !== null && !this.#closeSent) {
      this.#closeSent = true;
      sendText(this.#connection, this.#stream, CLOSE, this.#closing.code, '', this.#closing.reason);
    }
  }

  #overflow(): void {
    const sentence = `A WebSocket's receiver is more than ${MAX_BUFFERED_BYTES >> 20} MiB behind: it was closed`;
    limitHit(
      BUFFER_LIMIT,
      `${sentence} (limit websocket_buffer); look at bufferedAmount before sending`,
      this.#requestId,
    );
    this.#fail(TRY_LATER, 'The receiver is too far behind');
  }

  /** Tells the other side why, and waits for nothing. */
  #fail(code: number, reason: string): void {
    sendText(this.#connection, this.#stream, CLOSE, code, '', reason);
    this.#end(ABNORMAL, '');
  }

  #end(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    connections.get(this.#connection)?.delete(this.#stream);
    setCounter(Counter.websockets, --open);
    const queue = this.#queue;
    this.#queue = [];
    for (let i = this.#first; i < queue.length; i++) queue[i].taken?.();
    this.#first = 0;
    this.#forget();
    this.onEnd?.();
    this.near?.ended(code, reason);
  }
}

/** A frame of a stream that may be a WebSocket's. */
export function socketFrame(
  connection: number,
  stream: number,
  type: number,
  flags: number,
  status: number,
  split: number,
  end: number,
): void {
  connections.get(connection)?.get(stream)?.frame(type, flags, status, split, end);
}

/** A connection closed: its WebSockets are lost. */
export function socketsLost(connection: number): void {
  const lost = connections.get(connection)?.values() ?? [];
  connections.delete(connection);
  for (let i = 0; i < lost.length; i++) lost[i].lost();
}

/** Joins two wires, neither of which app code looks at: an app passes a WebSocket on. */
export class Relay implements Near {
  readonly #from: Far;
  readonly #to: Far;
  constructor(from: Far, to: Far) {
    this.#from = from;
    this.#to = to;
  }
  /** Pieces of the next message wait while there is a message on its way to a receiver that is behind. */
  get accepting(): boolean {
    return this.#to.buffered === 0;
  }
  message(message: Message, cost: number): void {
    this.#to.send(message, () => this.#from.consumed(cost));
  }
  ended(code: number, reason: string): void {
    if (code === ABNORMAL) this.#to.close(1011, 'The other side is gone');
    else this.#to.close(code === NO_STATUS ? 0 : code, reason);
  }
}
