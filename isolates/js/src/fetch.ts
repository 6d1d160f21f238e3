/**
 * fetch() (Fetch §4, as far as a server has it). The egress process resolves names, applies the address policy, keeps
 * connections and decodes content codings; redirects are followed here.
 */

import { parseDataUrl } from './data_url.ts';
import { abortedReason } from './events/abort.ts';
import { Body, isUnusable, markUsed } from './http/body.ts';
import { type HeaderList, listAppend, listDelete, listGet, listHas } from './http/headers.ts';
import { abortableBy, buildState, RequestState } from './http/request.ts';
import { newResponse, type Response, type ResponseState } from './http/response.ts';
import { requireIntegrity } from './integrity.ts';
import { promiseReject, toLowerCase } from './primordials.ts';
import { type Hop, sendHop, type TakeSocket } from './subrequest.ts';
import { parseToRecord, withoutFragment } from './url/url.ts';
import { serializeURL, serializeURLOrigin, serializePath as serializeURLPath } from 'whatwg-url/state-machine';

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

/** Called at boot. */
export function configureFetch(agent: string): void {
  userAgent = agent;
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
