/** Response (Fetch §5.5). */

import { charCodeAt, JSONStringify, SafeWeakMap } from '../primordials.ts';
import { parseToHref } from '../url/url.ts';
import {
  defineInterface,
  INTERNAL,
  isObject,
  requireArguments,
  toByteString,
  toDictionary,
  toUnsignedShort,
  toUSVString,
} from '../webidl.ts';
import { Body, cloneBody, extractBody, extractedType, isUnusable, mixinBody } from './body.ts';
import {
  type Guard,
  type HeaderList,
  type Headers,
  listAppend,
  listFrom,
  listGet,
  listHas,
  wrapList,
} from './headers.ts';

/** What a response is made of. Its headers have an object only once app code asked for one. */
export class ResponseState {
  status: number;
  statusText: string;
  list: HeaderList;
  body: Body | null;
  headers: Headers | null = null;
  guard: Guard = 'response';
  type = 'default';
  url = '';
  redirected = false;
  constructor(status: number, statusText: string, list: HeaderList, body: Body | null) {
    this.status = status;
    this.statusText = statusText;
    this.list = list;
    this.body = body;
  }
}

/** The WebSocket that a response of 101 brings or, given to the constructor, hands over. */
export const webSockets = new SafeWeakMap<ResponseState, object>();

/** The state of a Response; null for every other value. */
export let responseState: (value: unknown) => ResponseState | null;

export function hasNullBody(status: number): boolean {
  return status === 204 || status === 304 || status === 205 || status === 101 || status === 103;
}

export class Response {
  #state: ResponseState;

  constructor(body: unknown = undefined, init: unknown = undefined, token: unknown = undefined) {
    if (token === INTERNAL) {
      this.#state = body as ResponseState;
      return;
    }
    let status = 200;
    let statusText = '';
    let list: HeaderList | null = null;
    let webSocket: object | null = null;
    if (init !== undefined && init !== null) {
      const options = toDictionary(init, 'The response init');
      const { headers } = options;
      if (headers !== undefined) list = listFrom(headers);
      if (options.status !== undefined) {
        if (options.status === 101) {
          status = 101;
          webSocket = upgradeSocket(options.webSocket);
        } else status = responseStatus(options.status);
      }
      if (options.statusText !== undefined) statusText = reasonPhrase(options.statusText);
    }
    list ??= [];
    if (body === undefined || body === null) {
      this.#state = new ResponseState(status, statusText, list, null);
      if (webSocket !== null) webSockets.set(this.#state, webSocket);
      return;
    }
    if (hasNullBody(status)) throw new TypeError(`A response with status ${status} cannot have a body`);
    const extracted = extractBody(body, true);
    if (extractedType !== null && !listHas(list, 'content-type')) listAppend(list, 'content-type', extractedType);
    this.#state = new ResponseState(status, statusText, list, extracted);
  }

  static {
    responseState = (value) => (isObject(value) && #state in value ? value.#state : null);
  }

  static error(): Response {
    const state = new ResponseState(0, '', [], null);
    state.type = 'error';
    state.guard = 'immutable';
    return newResponse(state);
  }

  static redirect(url: string, status: number = 302): Response {
    requireArguments(arguments.length, 1, 'Response.redirect');
    const input = toUSVString(url);
    const href = parseToHref(input);
    if (href === null) throw new TypeError(`Invalid URL: ${input}`);
    const code = toUnsignedShort(status);
    if (code !== 301 && code !== 302 && code !== 303 && code !== 307 && code !== 308) {
      throw new RangeError(`${code} is not a redirect status`);
    }
    const state = new ResponseState(code, '', ['location', href], null);
    state.guard = 'immutable';
    return newResponse(state);
  }

  static json(data: unknown, init: unknown = undefined): Response {
    requireArguments(arguments.length, 1, 'Response.json');
    const text = JSONStringify(data);
    if (text === undefined) throw new TypeError('The value cannot be converted to JSON');
    return jsonResponse(text, init);
  }

  get type(): string {
    return this.#state.type;
  }

  get url(): string {
    const { url } = this.#state;
    const hash = url.indexOf('#');
    return hash < 0 ? url : url.slice(0, hash);
  }

  get redirected(): boolean {
    return this.#state.redirected;
  }

  get status(): number {
    return this.#state.status;
  }

  get ok(): boolean {
    const { status } = this.#state;
    return status >= 200 && status <= 299;
  }

  /** Of an answer to a request with `Upgrade: websocket`; not of the standard, but what Workers have. */
  get webSocket(): object | null {
    return webSockets.get(this.#state) ?? null;
  }

  get statusText(): string {
    return this.#state.statusText;
  }

  get headers(): Headers {
    const state = this.#state;
    return (state.headers ??= wrapList(state.list, state.guard));
  }

  clone(): Response {
    const state = this.#state;
    if (isUnusable(state.body)) throw new TypeError('The body was already used, or is locked');
    if (state.status === 101) throw new TypeError('A response that opens a WebSocket cannot be cloned');
    const copy = new ResponseState(
      state.status,
      state.statusText,
      [...state.list],
      state.body === null ? null : cloneBody(state.body),
    );
    copy.guard = state.guard;
    copy.type = state.type;
    copy.url = state.url;
    copy.redirected = state.redirected;
    return newResponse(copy);
  }
}

/** The Response object of a state that the platform made. */
export function newResponse(state: ResponseState): Response {
  return new Response(state, undefined, INTERNAL);
}

function jsonResponse(text: string, init: unknown): Response {
  const response = new Response(null, init);
  const state = responseState(response)!;
  if (hasNullBody(state.status)) throw new TypeError(`A response with status ${state.status} cannot have a body`);
  state.body = new Body(text);
  if (!listHas(state.list, 'content-type')) listAppend(state.list, 'content-type', 'application/json');
  return response;
}

function responseStatus(value: unknown): number {
  const status = toUnsignedShort(value);
  if (status < 200 || status > 599) throw new RangeError(`The status ${status} is not in the range 200 to 599`);
  return status;
}

/** Status 101 is for WebSockets alone. Whether it is one is seen when the response is sent. */
function upgradeSocket(value: unknown): object {
  if (!isObject(value)) throw new RangeError('A response with status 101 needs the option webSocket');
  return value;
}

/** RFC 9112 reason-phrase. */
function reasonPhrase(value: unknown): string {
  const text = toByteString(value);
  for (let i = 0; i < text.length; i++) {
    const unit = charCodeAt(text, i);
    if ((unit < 32 && unit !== 9) || unit === 127) throw new TypeError('The status text holds a control character');
  }
  return text;
}

function stateOf(response: Response): ResponseState {
  const state = responseState(response);
  if (state === null) throw new TypeError('The receiver is not a Response');
  return state;
}

mixinBody(Response.prototype, {
  body: (response: Response) => stateOf(response).body,
  contentType: (response: Response) => listGet(stateOf(response).list, 'content-type'),
});
defineInterface(Response, 'Response');
