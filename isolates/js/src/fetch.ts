/**
 * fetch() (Fetch §4, as far as a server has it): frames over the egress connection. The egress process resolves names,
 * applies the address policy, keeps connections and decodes content codings; redirects are followed here.
 */

import { currentFlow, type Origin } from './continuation.ts';
import { parseDataUrl } from './data_url.ts';
import { abortedReason, onAbort } from './events/abort.ts';
import { Body, bodyLength, isUnusable, markUsed } from './http/body.ts';
import { type HeaderList, listAppend, listDelete, listGet, listHas } from './http/headers.ts';
import { IncomingBody } from './http/incoming.ts';
import { abortableBy, buildState, RequestState } from './http/request.ts';
import { requireIntegrity } from './integrity.ts';
import { type Sender, sendWithBody } from './http/sending.ts';
import { hasNullBody, newResponse, type Response, ResponseState, webSockets } from './http/response.ts';
import { NumberMap } from './number_map.ts';
import { promiseReject, stringSplit, toLowerCase } from './primordials.ts';
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
import { limitHit, limitHitAgain } from './log.ts';
import { parseToRecord, withoutFragment } from './url/url.ts';
import { serializeURL, serializeURLOrigin, serializePath as serializeURLPath } from 'whatwg-url/state-machine';
import { countPending, FULL, hasRoom, socketFrame, socketsLost, Wire } from './websocket/wire.ts';
import { socketOver } from './websocket/websocket.ts';

const MAX_REDIRECTS = 20;

/** Headers that belong to the connection, not to the request: the egress sets them. */
const CONNECTION_HEADERS = [
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-extensions',
  'sec-websocket-accept',
];

let userAgent = '';
let maxSubrequests = 0;

/** Called at boot. `subrequests` of one request are allowed; 0: any number. */
export function configureFetch(agent: string, subrequests: number): void {
  userAgent = agent;
  maxSubrequests = subrequests;
}

/** Counts a subrequest of a request. @throws TypeError when it is one too many. */
function countSubrequest(origin: Origin): void {
  if (maxSubrequests === 0 || ++origin.subrequests <= maxSubrequests) return;
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
interface Hop {
  method: string;
  url: string;
  list: HeaderList;
  body: Body | null;
  /** A WebSocket is asked for. */
  upgrade: boolean;
}

type TakeSocket = (wire: Wire, protocol: string) => void;

function sendHop(hop: Hop, state: RequestState, onSocket: TakeSocket | null = null): Promise<ResponseState> {
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

function firstHop(state: RequestState, url: string): Hop {
  const list: HeaderList = [];
  const given = state.list;
  for (let i = 0; i < given.length; i += 2) {
    if (!CONNECTION_HEADERS.includes(given[i])) listAppend(list, given[i], given[i + 1]);
  }
  if (!listHas(list, 'accept')) listAppend(list, 'accept', '*/*');
  if (!listHas(list, 'user-agent')) listAppend(list, 'user-agent', userAgent);
  const upgrade = toLowerCase(listGet(given, 'upgrade') ?? '') === 'websocket' && state.method === 'GET';
  return { method: state.method, url, list, body: state.body, upgrade };
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/**
 * HTTP-redirect fetch (Fetch §4.5): the next hop.
 * @throws TypeError when the redirect cannot be followed.
 */
function redirected(hop: Hop, status: number, location: string): Hop {
  const from = parseToRecord(hop.url)!;
  const to = parseToRecord(location, hop.url);
  if (to === null) throw new TypeError(`fetch failed: the redirect to ${location} is not a valid URL`);
  if (to.scheme !== 'http' && to.scheme !== 'https') throw new TypeError(`fetch failed: redirect to ${to.scheme}:`);
  const { body } = hop;
  if (status !== 303 && body !== null && body.source === null) {
    throw new TypeError('fetch failed: a redirect asks for the body again, but it was a stream');
  }
  const next: Hop = {
    method: hop.method,
    url: serializeURL(to, true),
    list: [...hop.list],
    body,
    upgrade: hop.upgrade,
  };
  const toGet =
    ((status === 301 || status === 302) && hop.method === 'POST') ||
    (status === 303 && hop.method !== 'GET' && hop.method !== 'HEAD');
  if (toGet) {
    next.method = 'GET';
    next.body = null;
    for (const name of ['content-encoding', 'content-language', 'content-location', 'content-type']) {
      listDelete(next.list, name);
    }
  }
  if (serializeURLOrigin(from) !== serializeURLOrigin(to)) {
    for (const name of ['authorization', 'cookie', 'proxy-authorization']) listDelete(next.list, name);
  }
  return next;
}

function finished(response: ResponseState, state: RequestState): Response | Promise<Response> {
  const { integrity } = state.options;
  if (integrity === '') return newResponse(response);
  return requireIntegrity(response, integrity).then(() => newResponse(response));
}

/** What goes over the wire for `url`; null for a `data:` URL. @throws TypeError for one that cannot be fetched. */
function wireUrl(url: string): string | null {
  const simple = withoutFragment(url);
  if (simple !== null) return simple;
  if (url.startsWith('data:')) return null;
  const record = parseToRecord(url)!;
  if (record.scheme === 'http' || record.scheme === 'https') return serializeURL(record, true);
  throw new TypeError(`fetch failed: ${record.scheme}: URLs cannot be fetched`);
}

async function follow(state: RequestState): Promise<Response> {
  const url = wireUrl(state.url);
  if (url === null) {
    const response = parseDataUrl(state.url);
    if (state.method === 'HEAD') response.body = null;
    return finished(response, state);
  }
  let hop = firstHop(state, url);
  const { body } = state;
  if (isUnusable(body)) throw new TypeError('The body was already used, or is locked');
  if (body !== null) {
    hop.body = new Body(body.source, body.incoming, body.stream);
    if (body.source !== null || body.stream === null) markUsed(body);
  }
  for (let hops = 0; ; hops++) {
    const response = await sendHop(hop, state);
    response.url = hop.url;
    response.type = 'basic';
    response.guard = 'immutable';
    response.redirected = hops > 0;
    if (hop.method === 'HEAD' && response.body !== null) {
      response.body.incoming?.cancel();
      response.body = null;
    }
    const location = isRedirect(response.status) ? listGet(response.list, 'location') : null;
    if (location === null || state.options.redirect === 'manual') return finished(response, state);
    response.body?.incoming?.cancel();
    if (state.options.redirect === 'error') throw new TypeError('fetch failed: the server sent a redirect');
    if (hops === MAX_REDIRECTS) throw new TypeError(`fetch failed: more than ${MAX_REDIRECTS} redirects`);
    hop = redirected(hop, response.status, location);
  }
}

/** Why the request is not to be sent at all, if its signal says so. */
function reasonToStop(state: RequestState): unknown {
  const signal = abortableBy(state);
  return signal === null ? undefined : abortedReason(signal);
}

export function fetch(input: unknown, init?: unknown): Promise<Response> {
  try {
    if (arguments.length === 0) throw new TypeError('fetch: 1 argument required, but only 0 present');
    const state = buildState(input, init, false);
    const reason = reasonToStop(state);
    if (reason !== undefined) return promiseReject(reason);
    return follow(state);
  } catch (error) {
    return promiseReject(error);
  }
}

/** The host that the egress process takes for the static files of the app whose host asks. */
const ASSETS = 'http://assets.internal';

async function followAsset(state: RequestState): Promise<Response> {
  const record = parseToRecord(state.url)!;
  const path = serializeURLPath(record) + (record.query === null ? '' : `?${record.query}`);
  const hop = firstHop(state, ASSETS + path);
  const response = await sendHop({ ...hop, body: null, upgrade: false }, state);
  response.url = state.url;
  response.type = 'basic';
  response.guard = 'immutable';
  return newResponse(response);
}

/** A binding to the app's static files: the path of the URL counts, its host does not. Redirects are not followed. */
export class Fetcher {
  fetch(input: unknown, init?: unknown): Promise<Response> {
    try {
      const state = buildState(input, init, false);
      const reason = reasonToStop(state);
      return reason === undefined ? followAsset(state) : promiseReject(reason);
    } catch (error) {
      return promiseReject(error);
    }
  }
}

/**
 * Opens a WebSocket at an http(s) URL (WebSockets §2). `opened` is called at once when it is there, in the turn of its
 * first frames; `failed` gets a sentence.
 */
export function openSocket(
  url: string,
  protocols: string[],
  opened: TakeSocket,
  failed: (reason: string) => void,
): void {
  const list: HeaderList = [];
  if (protocols.length > 0) list[1] = protocols.join(', ');
  if (list.length > 0) list[0] = 'sec-websocket-protocol';
  const state = RequestState.of('GET', url, list, null);
  void answered(sendHop({ ...firstHop(state, url), upgrade: true }, state, opened), failed);
}

async function answered(response: Promise<ResponseState>, failed: (reason: string) => void): Promise<void> {
  try {
    const { status, body } = await response;
    if (status === 101) return;
    body?.incoming?.cancel();
    failed(`the server answered with status ${status}`);
  } catch (error) {
    failed((error as Error).message);
  }
}
