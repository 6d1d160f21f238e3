/** Subrequests: REQUEST frames over the egress connection, and what comes back on their streams. */

import { currentFlow, type Origin } from './continuation.ts';
import { onAbort } from './events/abort.ts';
import { Body, bodyLength } from './http/body.ts';
import { type HeaderList, listAppend, listGet } from './http/headers.ts';
import { IncomingBody } from './http/incoming.ts';
import { abortableBy, type RequestState } from './http/request.ts';
import { hasNullBody, ResponseState, webSockets } from './http/response.ts';
import { type Sender, sendWithBody } from './http/sending.ts';
import { limitHit, limitHitAgain } from './log.ts';
import { NumberMap } from './number_map.ts';
import { stringSplit } from './primordials.ts';
import { type FrameReceiver, readLatin1, readTextOrBytes, readUint32 } from './ring/input.ts';
import type { Outgoing } from './ring/outgoing.ts';
import {
  CANCEL,
  DATA,
  EGRESS_CONNECTION,
  END,
  LIMIT,
  MAX_HEAD_BYTES,
  REFUSE,
  REQUEST,
  RESPONSE,
  sendCancel,
  sendHead,
  UPGRADE,
  WINDOW,
} from './ring/output.ts';
import { countPending, FULL, hasRoom, socketFrame, socketsLost, Wire } from './websocket/wire.ts';
import { socketOver } from './websocket/websocket.ts';

let maxSubrequests = 0;

/** Called at boot. So many of one request are allowed; 0: any number. */
export function configureSubrequests(most: number): void {
  maxSubrequests = most;
}

/** Counts a subrequest of a request. @throws TypeError when it is one too many. */
function countSubrequest(origin: Origin): void {
  if (maxSubrequests === 0 || origin.over || ++origin.subrequests <= maxSubrequests) return;
  const message = `one request may make no more subrequests than the limit subrequests = ${maxSubrequests}`;
  if (origin.subrequests === maxSubrequests + 1) limitHit('subrequests', message, origin.requestId);
  throw new TypeError(`fetch failed: ${message}`);
}

/** One hop: a REQUEST frame and what comes back on its stream. */
class Call implements Sender {
  readonly stream: number;
  outgoing: Outgoing | null = null;
  incoming: IncomingBody | null = null;
  closed = false;
  removeAbort: (() => void) | null = null;
  /** It counts as a WebSocket that is being opened. */
  upgrade = false;
  /** Takes the WebSocket that was opened. */
  onSocket: ((wire: Wire, protocol: string) => void) | null = null;
  /** The request that it was made for. */
  readonly origin: Origin | null;
  readonly #resolve: (state: ResponseState) => void;
  readonly #reject: (reason: unknown) => void;

  constructor(
    stream: number,
    origin: Origin | null,
    resolve: (state: ResponseState) => void,
    reject: (reason: unknown) => void,
  ) {
    this.stream = stream;
    this.origin = origin;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get requestId(): string {
    return this.origin?.requestId ?? '';
  }

  bodySent(): void {}

  bodyFailed(error: unknown): void {
    this.abort(error, 'the request body failed');
  }

  /** Gives the call up and tells the egress. */
  abort(reason: unknown, why: string): void {
    if (this.closed) return;
    sendCancel(EGRESS_CONNECTION, this.stream, why);
    this.end(reason);
  }

  /** The call is over; with a reason, whoever still waits for something gets it. */
  end(reason?: unknown): void {
    if (this.closed) return;
    this.closed = true;
    calls.delete(this.stream);
    if (this.upgrade) countPending(-1);
    this.removeAbort?.();
    this.outgoing?.close(reason);
    if (reason === undefined) return;
    this.incoming?.fail(reason);
    this.#reject(reason);
  }

  /** The egress gave it up, perhaps at a limit of the app's. */
  failed(why: string, limit: string | undefined): void {
    if (limit) limitHit(limit, `fetch: ${why}`, this.requestId);
    this.end(new TypeError(`fetch failed: ${why}`));
  }

  /** The egress says that a limit of the app's is why this takes long. */
  told(limit: string, why: string): void {
    limitHitAgain(limit, `fetch: ${why}`, this.requestId);
  }

  /** The first bytes of the body are at `[at, end)` of the ring's input. */
  response(status: number, head: string, at: number, end: number, last: boolean): void {
    const fields = stringSplit(head, '\n');
    const list: HeaderList = [];
    for (let i = 1; i + 1 < fields.length; i += 2) listAppend(list, fields[i], fields[i + 1]);
    let body: Body | null = null;
    if (status === 101) {
      this.#opened(new ResponseState(101, fields[0], list, null));
      return;
    }
    if (!hasNullBody(status)) {
      if (last) body = new Body(readTextOrBytes(at, end));
      else {
        this.incoming = new IncomingBody(EGRESS_CONNECTION, this.stream, true, listGet(list, 'content-length'));
        this.incoming.onCancel = () => this.end();
        if (end > at) this.incoming.arrived(at, end, false);
        body = new Body(null, this.incoming);
      }
    }
    this.#resolve(new ResponseState(status, fields[0], list, body));
    if (last) this.end();
  }

  /** The request was answered with a WebSocket, whose frames may follow in this turn. */
  #opened(state: ResponseState): void {
    this.end();
    const wire = new Wire(EGRESS_CONNECTION, this.stream, this.requestId);
    const protocol = listGet(state.list, 'sec-websocket-protocol') ?? '';
    if (this.onSocket !== null) this.onSocket(wire, protocol);
    else webSockets.set(state, socketOver(wire, protocol));
    this.#resolve(state);
  }
}

const calls = new NumberMap<Call>();
let lastStream = 0;

/** Gives up what is under way for a request. */
export function abortCallsOf(origin: Origin): void {
  const open = calls.values();
  for (let i = 0; i < open.length; i++) {
    const reason = new TypeError('fetch failed: the request that it was made for was given up');
    if (open[i].origin === origin) open[i].abort(reason, 'given up');
  }
}

export const client: FrameReceiver = {
  frame(_connection, stream, type, flags, status, at, split, end) {
    const call = calls.get(stream);
    if (call === undefined) {
      socketFrame(EGRESS_CONNECTION, stream, type, flags, status, split, end);
      return;
    }
    const last = (flags & END) !== 0;
    if (type === RESPONSE) call.response(status, readLatin1(at, split), split, end, last);
    else if (type === DATA) {
      call.incoming?.arrived(split, end, last);
      if (last) call.end();
    } else if (type === WINDOW) call.outgoing?.grant(readUint32(split));
    else if (type === REFUSE) {
      const [code, detail, limit] = stringSplit(readLatin1(at, split), '\n');
      call.failed(detail || code, limit);
    } else if (type === CANCEL) {
      const [detail, limit] = stringSplit(readLatin1(at, split), '\n');
      call.failed(detail || 'connection lost', limit);
    } else if (type === LIMIT) {
      const [limit, detail] = stringSplit(readLatin1(at, split), '\n');
      call.told(limit, detail);
    }
  },

  closed() {
    const open = calls.values();
    for (let i = 0; i < open.length; i++)
      open[i].end(new TypeError('fetch failed: the connection to the network was lost'));
    socketsLost(EGRESS_CONNECTION);
  },
};

/** What a hop sends. A body that is a stream cannot be sent twice. */
export interface Hop {
  method: string;
  url: string;
  list: HeaderList;
  body: Body | null;
  /** A WebSocket is asked for. */
  upgrade: boolean;
}

export type TakeSocket = (wire: Wire, protocol: string) => void;

/** Sends a request that the signal of `state` aborts; it never settles for code that nobody waits for any more. */
export function sendHop(hop: Hop, state: RequestState, onSocket: TakeSocket | null = null): Promise<ResponseState> {
  return new Promise((resolve, reject) => {
    const origin = currentFlow()?.origin ?? null;
    if (origin !== null) {
      // An error would be tried again at once, and again, by code that repeats what fails.
      if (origin.givenUp) return;
      countSubrequest(origin);
    }
    const call = new Call(++lastStream >>> 0, origin, resolve, reject);
    const { requestId } = call;
    call.onSocket = onSocket;
    calls.set(call.stream, call);
    const signal = abortableBy(state);
    if (signal !== null) call.removeAbort = onAbort(signal, (reason) => call.abort(reason, 'aborted'));
    const { body } = hop;
    let head = `${hop.method}\n${hop.url}\n${requestId}`;
    const { list } = hop;
    for (let i = 0; i < list.length; i += 2) head += `\n${list[i]}\n${list[i + 1]}`;
    const length = body === null ? (hop.method === 'POST' || hop.method === 'PUT' ? 0 : -1) : bodyLength(body);
    if (length >= 0) head += `\ncontent-length\n${length}`;
    if (head.length > MAX_HEAD_BYTES) {
      call.end(new TypeError(`fetch failed: the request's headers are over ${MAX_HEAD_BYTES} bytes`));
      return;
    }
    if (hop.upgrade) {
      if (!hasRoom(requestId)) {
        call.end(new TypeError(`fetch failed: ${FULL}`));
        return;
      }
      call.upgrade = true;
      countPending(1);
    }
    if (body === null) sendHead(EGRESS_CONNECTION, call.stream, REQUEST, hop.upgrade ? UPGRADE : END, 0, head);
    else sendWithBody(EGRESS_CONNECTION, call, head, body);
  });
}
