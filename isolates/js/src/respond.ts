/** Sends what a handler answers: RESPONSE frames, with a body whole or as a stream, or a WebSocket. */

import type { Background } from './background.ts';
import { Body, bodyLength, isUnusable, markUsed, streamOf } from './http/body.ts';
import { giveBack } from './http/body_buffers.ts';
import { PlacedResponse } from './http/placed_response.ts';
import { type HeaderList, listHas } from './http/headers.ts';
import { hasNullBody, type ResponseState, webSockets } from './http/response.ts';
import { limitHit } from './log.ts';
import { type BorrowedBlock, borrowBlock, returnBlock } from './native.ts';
import { charCodeAt, SafeWeakSet, setBytes, stringSlice, subarray } from './primordials.ts';
import { Outgoing, type OutgoingBody, type OutgoingOwner } from './ring/outgoing.ts';
import {
  END,
  MAX_DATA_BYTES,
  MAX_HEAD_BYTES,
  MAX_TEXT_UNITS,
  REFUSE,
  RESPONSE,
  sendHead,
  sendHeadAndBytes,
  sendHeadAndText,
  sendPlacedResponse,
  WINDOW_BYTES,
} from './ring/output.ts';
import { FULL, hasRoom, Wire } from './websocket/wire.ts';
import { checkSocket, dropSocket, giveSocket } from './websocket/websocket.ts';

/** What a response needs of the request that it answers. */
export interface Answerable extends OutgoingOwner {
  readonly connection: number;
  readonly stream: number;
  readonly head: string;
  readonly requestId: string;
  /** Window granted before there was a body to send. */
  readonly granted: number;
  readonly closed: boolean;
  outgoing: OutgoingBody | null;
  register(): void;
  release(): void;
  holdBackground(): Background;
}

/** The limit's name, in the log, for callers and in metrics. */
const RESPONSE_LIMIT = 'response_mb';

let maxResponseBytes = Infinity;

/** Called at boot, if there is a limit. */
export function configureResponses(maxBytes: number): void {
  maxResponseBytes = maxBytes;
}

/** Requests for a WebSocket. */
export const upgrades = new SafeWeakSet<Answerable>();

export function refuse(exchange: Answerable, status: number, code: string, detail: string): void {
  sendHead(exchange.connection, exchange.stream, REFUSE, END, status, `${code}\n${detail}`);
}

/** Sends the response. @throws TypeError when it cannot be sent; nothing was sent then. */
export function respond(exchange: Answerable, state: ResponseState): void {
  const { body, status } = state;
  if (exchange.closed) {
    if (body !== null && body.stream !== null && !isUnusable(body)) void body.stream.cancel().catch(ignore);
    if (status === 101) dropSocket(webSockets.get(state));
    return;
  }
  if (isUnusable(body)) throw new TypeError('The body of the response was already used, or is locked');
  if (status <= 101) {
    openSocket(exchange, state);
    return;
  }
  const { connection, stream } = exchange;
  const { list } = state;
  let head = headOf(state.statusText, list);
  if (body === null || hasNullBody(status) || isHead(exchange.head)) {
    sendHead(connection, stream, RESPONSE, END, status, bodilessHead(state, body, head));
    if (body !== null) discard(body);
    exchange.release();
    return;
  }
  const { source } = body;
  if (source === null) {
    sendHead(connection, stream, RESPONSE, 0, status, head);
    void startBody(exchange, 0).sendStream(streamOf(body), maxResponseBytes);
    return;
  }
  markUsed(body);
  if (bodyLength(body) > maxResponseBytes) {
    limitHit(RESPONSE_LIMIT, tooLarge(`of ${bodyLength(body)} bytes was not sent`), exchange.requestId);
    refuse(exchange, 502, RESPONSE_LIMIT, 'The response is larger than the app may send');
    exchange.release();
    return;
  }
  if (!listHas(list, 'content-length')) head += `\ncontent-length\n${bodyLength(body)}`;
  if (typeof source === 'string') {
    if (source.length <= MAX_TEXT_UNITS) {
      sendHeadAndText(connection, stream, RESPONSE, END, status, head, source);
      exchange.release();
    } else {
      sendHead(connection, stream, RESPONSE, 0, status, head);
      startBody(exchange, 0).sendText(source);
    }
    return;
  }
  const { borrowed, block } = body;
  if (borrowed !== null || block !== null) {
    // From here on the bytes are the sender's alone.
    body.source = '';
    body.share();
  }
  if (source.length <= MAX_DATA_BYTES) {
    sendHeadAndBytes(connection, stream, RESPONSE, END, status, head, source);
    if (borrowed !== null) giveBack(borrowed);
    exchange.release();
    return;
  }
  const { length } = source;
  const placed = placeOf(source, block, connection);
  if (placed === null) {
    sendHeadAndBytes(connection, stream, RESPONSE, 0, status, head, subarray(source, 0, MAX_DATA_BYTES));
    startBody(exchange, MAX_DATA_BYTES).sendAll(source, MAX_DATA_BYTES, () => {
      if (borrowed !== null) giveBack(borrowed);
      if (block !== null) returnBlock(block);
    });
    return;
  }
  // Where the copy is in another edge worker's memory, `source` is empty from here on.
  if (block !== null && placed !== block) returnBlock(block);
  exchange.register();
  sendPlacedResponse(connection, stream, status, head, length, placed.offset);
  exchange.outgoing = new PlacedResponse(connection, stream, exchange, placed);
}

/**
 * The block in which `bytes` are to be sent, theirs or another; null if they leave in frames. What fits into the window
 * does: then it is gone, and its request is over, before the client has read it.
 */
function placeOf(bytes: Uint8Array, block: BorrowedBlock | null, connection: number): BorrowedBlock | null {
  if (bytes.length <= WINDOW_BYTES) return null;
  if (block === null || block.connection !== connection) return placedCopy(connection, bytes);
  return block.offset >= 0 ? block : null;
}

/** A copy of `bytes` in memory that the edge worker shares; null if it shares none, or if there is no room. */
function placedCopy(connection: number, bytes: Uint8Array): BorrowedBlock | null {
  const block = borrowBlock(bytes.length, connection);
  if (block === null) return null;
  if (block.offset >= 0) {
    setBytes(block.bytes, bytes);
    return block;
  }
  returnBlock(block);
  return null;
}

/** Answers with a WebSocket. The slot of the request is free then: WebSockets are counted apart. */
function openSocket(exchange: Answerable, state: ResponseState): void {
  if (state.status === 0) throw new TypeError('The handler gave Response.error(), which cannot be sent');
  const socket = webSockets.get(state);
  checkSocket(socket);
  if (!upgrades.has(exchange)) {
    throw new TypeError('The handler gave a response of status 101, but the request has no Upgrade: websocket');
  }
  const { connection, stream, requestId } = exchange;
  if (!hasRoom(requestId)) {
    refuse(exchange, 503, 'max_websockets', FULL);
    exchange.release();
    return;
  }
  const head = headOf('', state.list);
  const background = exchange.holdBackground();
  const wire = new Wire(connection, stream, requestId);
  wire.onEnd = () => background.letGo();
  sendHead(connection, stream, RESPONSE, 0, 101, head);
  giveSocket(socket, wire);
  exchange.release();
}

/** The head of a RESPONSE frame: its first line, and the fields. @throws TypeError when it is too long. */
function headOf(first: string, list: HeaderList): string {
  let head = first;
  for (let i = 0; i < list.length; i += 2) head += `\n${list[i]}\n${list[i + 1]}`;
  if (head.length > MAX_HEAD_BYTES - 64) throw new TypeError(`The response's headers are over ${MAX_HEAD_BYTES} bytes`);
  return head;
}

/** A response's stream has become larger than it may, and was ended. */
export function cutOff(requestId: string): void {
  limitHit(RESPONSE_LIMIT, tooLarge('was cut off there'), requestId);
}

function tooLarge(what: string): string {
  return `A response is larger than the limit response_mb = ${maxResponseBytes / 1_048_576}, and ${what}`;
}

/** The exchange goes on after its head: `sent` bytes of the body went with that. */
function startBody(exchange: Answerable, sent: number): Outgoing {
  exchange.register();
  const { connection, stream, granted } = exchange;
  return (exchange.outgoing = new Outgoing(connection, stream, exchange, sent - granted));
}

/** The head of a response without content: a length only where a GET would have had one. */
function bodilessHead(state: ResponseState, body: Body | null, head: string): string {
  const { status } = state;
  if (listHas(state.list, 'content-length') || hasNullBody(status)) return head;
  const length = body === null ? 0 : bodyLength(body);
  return length < 0 ? head : `${head}\ncontent-length\n${length}`;
}

function discard(body: Body): void {
  if (body.stream !== null) void body.stream.cancel().catch(ignore);
  else body.incoming?.cancel();
  body.used = true;
}

function isHead(head: string): boolean {
  return charCodeAt(head, 0) === 0x48 && stringSlice(head, 0, 5) === 'HEAD\n';
}

function ignore(): void {}
