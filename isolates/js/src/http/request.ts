/** Request (Fetch §5.4), and the lazy one that the server makes of a REQUEST frame's head. */

import { type AbortSignal, anySignal, isAbortSignal, newSignal } from '../events/abort.ts';
import { charCodeAt, stringSplit } from '../primordials.ts';
import { isReadableStream, TransformStream } from '../streams.ts';
import { parseForRequest, parseToRecord } from '../url/url.ts';
import { serializeURL } from 'whatwg-url/state-machine';
import {
  defineInterface,
  INTERNAL,
  isObject,
  requireArguments,
  toDictionary,
  toDOMString,
  toUSVString,
} from '../webidl.ts';
import { Body, cloneBody, extractBody, extractedType, isUnusable, markUsed, mixinBody, streamOf } from './body.ts';
import { type HeaderList, type Headers, listAppend, listFrom, listGet, listHas, wrapList } from './headers.ts';
import { requestMethod } from './tokens.ts';

/** Options that a server runtime keeps but that change nothing, besides `redirect`. */
export interface RequestOptions {
  cache: string;
  credentials: string;
  integrity: string;
  keepalive: boolean;
  mode: string;
  redirect: string;
  referrer: string;
  referrerPolicy: string;
}

const DEFAULTS: RequestOptions = Object.freeze({
  cache: 'default',
  credentials: 'same-origin',
  integrity: '',
  keepalive: false,
  mode: 'cors',
  redirect: 'follow',
  referrer: 'about:client',
  referrerPolicy: '',
});

/** Where a server request's signal comes from: made when app code asks for it. */
export interface SignalSource {
  signal(): AbortSignal;
}

export class RequestState {
  /** The fields of the frame's head that are not taken apart yet, else null. */
  head: string | null;
  #method = '';
  #url = '';
  #list: HeaderList | null = null;
  body: Body | null;
  headers: Headers | null = null;
  options: RequestOptions = DEFAULTS;
  signalSource: SignalSource | null;
  signal: AbortSignal | null = null;

  constructor(head: string | null, body: Body | null, signalSource: SignalSource | null) {
    this.head = head;
    this.body = body;
    this.signalSource = signalSource;
  }

  static of(method: string, url: string, list: HeaderList, body: Body | null): RequestState {
    const state = new RequestState(null, body, null);
    state.#method = method;
    state.#url = url;
    state.#list = list;
    return state;
  }

  get method(): string {
    if (this.head !== null) this.#parse();
    return this.#method;
  }

  get url(): string {
    if (this.head !== null) this.#parse();
    return this.#url;
  }

  get list(): HeaderList {
    if (this.head !== null) this.#parse();
    return this.#list!;
  }

  /** method, URL, request id, then names and values in turn (`isolates/wire.py`). */
  #parse(): void {
    const fields = stringSplit(this.head!, '\n');
    this.head = null;
    this.#method = fields[0];
    this.#url = serverUrl(fields[1]);
    const list: HeaderList = [];
    for (let i = 3; i + 1 < fields.length; i += 2) {
      list[i - 3] = fields[i];
      list[i - 2] = fields[i + 1];
    }
    this.#list = list;
  }
}

/** The edge sends a valid absolute URL; only what the parser would change goes through it. */
function serverUrl(url: string): string {
  for (let i = 0; i < url.length; i++) {
    const unit = charCodeAt(url, i);
    // Not plain ASCII, or one of " < > \ ^ ` { | } #, or a possible dot segment.
    const suspicious =
      unit <= 0x20 ||
      unit > 0x7e ||
      unit === 0x22 ||
      unit === 0x23 ||
      unit === 0x3c ||
      unit === 0x3e ||
      unit === 0x5c ||
      (unit >= 0x5e && unit !== 0x5f && unit < 0x61) ||
      (unit >= 0x7b && unit !== 0x7e) ||
      (unit === 0x2e && charCodeAt(url, i - 1) === 0x2f) ||
      unit === 0x27;
    if (!suspicious) continue;
    const record = parseToRecord(url);
    return record === null ? url : serializeURL(record, true);
  }
  return url;
}

/** The state of a Request; null for every other value. */
export let requestState: (value: unknown) => RequestState | null;

const ENUMS: Record<string, readonly string[]> = {
  cache: ['default', 'no-store', 'reload', 'no-cache', 'force-cache', 'only-if-cached'],
  credentials: ['omit', 'same-origin', 'include'],
  mode: ['same-origin', 'no-cors', 'cors', 'navigate'],
  redirect: ['follow', 'error', 'manual'],
  referrerPolicy: [
    '',
    'no-referrer',
    'no-referrer-when-downgrade',
    'same-origin',
    'origin',
    'strict-origin',
    'origin-when-cross-origin',
    'strict-origin-when-cross-origin',
    'unsafe-url',
  ],
};

export class Request {
  #state: RequestState;

  constructor(input: unknown, init: unknown = undefined, token: unknown = undefined) {
    if (token === INTERNAL) {
      this.#state = input as RequestState;
      return;
    }
    requireArguments(arguments.length, 1, "Failed to construct 'Request'");
    this.#state = buildState(input, init, true);
  }

  static {
    requestState = (value) => (isObject(value) && #state in value ? value.#state : null);
  }

  get method(): string {
    return this.#state.method;
  }
  get url(): string {
    return this.#state.url;
  }
  get headers(): Headers {
    const state = this.#state;
    return (state.headers ??= wrapList(state.list, 'request'));
  }
  get destination(): string {
    void this.#state;
    return '';
  }
  get referrer(): string {
    return this.#state.options.referrer;
  }
  get referrerPolicy(): string {
    return this.#state.options.referrerPolicy;
  }
  get mode(): string {
    return this.#state.options.mode;
  }
  get credentials(): string {
    return this.#state.options.credentials;
  }
  get cache(): string {
    return this.#state.options.cache;
  }
  get redirect(): string {
    return this.#state.options.redirect;
  }
  get integrity(): string {
    return this.#state.options.integrity;
  }
  get keepalive(): boolean {
    return this.#state.options.keepalive;
  }
  get isReloadNavigation(): boolean {
    void this.#state;
    return false;
  }
  get isHistoryNavigation(): boolean {
    void this.#state;
    return false;
  }
  get signal(): AbortSignal {
    return signalOf(this.#state);
  }
  get duplex(): string {
    void this.#state;
    return 'half';
  }

  clone(): Request {
    const state = this.#state;
    if (isUnusable(state.body)) throw new TypeError('The body was already used, or is locked');
    const body = state.body === null ? null : cloneBody(state.body);
    const copy = RequestState.of(state.method, state.url, [...state.list], body);
    copy.options = state.options;
    copy.signal = anySignal([signalOf(state)]);
    return newRequest(copy);
  }
}

/** The Request object of a state that the platform made. */
export function newRequest(state: RequestState): Request {
  return new Request(state, undefined, INTERNAL);
}

export function signalOf(state: RequestState): AbortSignal {
  return (state.signal ??= state.signalSource === null ? newSignal() : state.signalSource.signal());
}

/** The request's signal if anything can abort it, without making one for a request that nothing can. */
export function abortableBy(state: RequestState): AbortSignal | null {
  return state.signal === null && state.signalSource === null ? null : signalOf(state);
}

/** The Request constructor's steps. A request that app code never sees (`exposed`) needs no signal of its own. */
export function buildState(input: unknown, init: unknown, exposed: boolean): RequestState {
  const from = requestState(input);
  const settings = toDictionary(init, 'The request init');
  let method = from === null ? 'GET' : from.method;
  const url = from === null ? parseForRequest(toUSVString(input)) : from.url;
  const options = readOptions(settings, from === null ? DEFAULTS : from.options);
  if (settings.method !== undefined) method = requestMethod(toDOMString(settings.method));
  const list = settings.headers !== undefined ? listFrom(settings.headers) : from === null ? [] : [...from.list];
  if (settings.duplex !== undefined && settings.duplex !== 'half') {
    throw new TypeError(`${toDOMString(settings.duplex)} is not a value of the option duplex`);
  }
  if (options.mode === 'no-cors' && method !== 'GET' && method !== 'HEAD' && method !== 'POST') {
    throw new TypeError(`A request with the mode no-cors cannot have the method ${method}`);
  }
  const body = buildBody(settings, from, method, list);
  const state = RequestState.of(method, url, list, body);
  state.options = options;
  const { signal } = settings;
  const parent = signal === undefined ? (from === null ? null : abortableBy(from)) : signal;
  if (parent !== null && parent !== undefined) {
    if (!isAbortSignal(parent)) throw new TypeError('The option signal is not an AbortSignal');
    state.signal = exposed ? anySignal([parent]) : parent;
  }
  return state;
}

function readOptions(settings: Record<string, unknown>, inherited: RequestOptions): RequestOptions {
  const options: RequestOptions = { ...inherited };
  for (const name of ['cache', 'credentials', 'mode', 'redirect', 'referrerPolicy'] as const) {
    const value = settings[name];
    if (value === undefined) continue;
    const text = toDOMString(value);
    if (!ENUMS[name].includes(text)) throw new TypeError(`${text} is not a value of the option ${name}`);
    if (name === 'mode' && text === 'navigate') throw new TypeError('A request cannot have the mode navigate');
    options[name] = text;
  }
  if (settings.window !== undefined && settings.window !== null) throw new TypeError('The option window must be null');
  if (settings.integrity !== undefined) options.integrity = toDOMString(settings.integrity);
  if (settings.keepalive !== undefined) options.keepalive = !!settings.keepalive;
  if (settings.referrer !== undefined) options.referrer = referrer(toUSVString(settings.referrer));
  if (options.cache === 'only-if-cached' && options.mode !== 'same-origin') {
    throw new TypeError('The cache mode only-if-cached needs the mode same-origin');
  }
  return options;
}

function referrer(text: string): string {
  if (text === '') return '';
  const record = parseToRecord(text);
  if (record === null) throw new TypeError(`Invalid URL: ${text}`);
  return record.scheme === 'about' && record.path === 'client' ? 'about:client' : serializeURL(record);
}

function buildBody(
  settings: Record<string, unknown>,
  from: RequestState | null,
  method: string,
  list: HeaderList,
): Body | null {
  const given = settings.body;
  const inherited = from === null ? null : from.body;
  const replaced = given !== undefined && given !== null;
  if ((replaced || inherited !== null) && (method === 'GET' || method === 'HEAD')) {
    throw new TypeError(`A request with ${method} cannot have a body`);
  }
  if (replaced) {
    if (isReadableStream(given) && settings.duplex === undefined) {
      throw new TypeError('A request whose body is a stream needs the option duplex: "half"');
    }
    const body = extractBody(given);
    if (extractedType !== null && !listHas(list, 'content-type')) listAppend(list, 'content-type', extractedType);
    return body;
  }
  if (inherited === null) return null;
  if (isUnusable(inherited)) throw new TypeError('The body of the request was already used, or is locked');
  return takeOver(inherited);
}

/** Moves a body into a new request: the old request's counts as used. */
function takeOver(body: Body): Body {
  const moved = new Body(body.source, body.incoming, body.stream);
  if (body.source !== null) {
    markUsed(body);
    return new Body(body.source);
  }
  if (body.stream !== null) {
    // The old object must show a disturbed stream: pipe it through.
    moved.stream = streamOf(body).pipeThrough(new TransformStream<unknown, unknown>());
    moved.incoming = null;
  }
  body.used = true;
  if (body.incoming !== null) {
    body.source = '';
    body.incoming = null;
  }
  return moved;
}

function stateOf(request: Request): RequestState {
  const state = requestState(request);
  if (state === null) throw new TypeError('The receiver is not a Request');
  return state;
}

mixinBody(Request.prototype, {
  body: (request: Request) => stateOf(request).body,
  contentType: (request: Request) => listGet(stateOf(request).list, 'content-type'),
});
defineInterface(Request, 'Request');
