/** URL (URL standard §6.1) over whatwg-url's state machine, with `scanSimple` as a shortcut. */

import {
  basicURLParse,
  cannotHaveAUsernamePasswordPort,
  hasAnOpaquePath,
  serializeHost,
  serializePath,
  serializeURL,
  serializeURLOrigin,
  setThePassword,
  setTheUsername,
  type URLRecord,
} from 'whatwg-url/state-machine';
import { defineInterface, isObject, requireArguments, toUSVString } from '../webidl.ts';
import { joinSimple, scanBase, scanSimple, type SimpleParts } from './simple.ts';
import { paramsOf, resetParams, type URLSearchParams } from './search_params.ts';

/** A URL as the string it serializes to, or as a record once something needs that. */
class State {
  href: string;
  parts: SimpleParts | null;
  record: URLRecord | null;
  params: URLSearchParams | null = null;
  constructor(href: string, parts: SimpleParts | null, record: URLRecord | null) {
    this.href = href;
    this.parts = parts;
    this.record = record;
  }
}

/** The parsed form of `url` against `base`, or null. */
function parse(url: string, base: string | undefined): State | null {
  if (base === undefined) {
    const parts = scanSimple(url);
    if (parts !== null) return new State(url, parts, null);
  }
  let baseURL: URLRecord | null = null;
  if (base !== undefined) {
    const baseParts = scanBase(base);
    const joined = baseParts === null ? null : joinSimple(base, baseParts, url);
    const parts = joined === null ? null : scanSimple(joined);
    if (parts !== null) return new State(joined!, parts, null);
    baseURL = basicURLParse(base);
    if (baseURL === null) return null;
  }
  const record = basicURLParse(url, { baseURL });
  return record === null ? null : new State('', null, record);
}

/** Whether `url` is a data: URL that serializes to itself. The state machine takes a second for a megabyte. */
function isPlainData(url: string): boolean {
  return /^data:(?!\/)[!-"$->@-~]*$/.test(url);
}

/** The record behind a state, which from then on is the truth. */
function recordOf(state: State): URLRecord {
  if (state.record === null) {
    state.record = basicURLParse(state.href)!;
    state.parts = null;
  }
  return state.record;
}

/** The serialized form of `url` parsed against `base`, or null: what Request, Response.redirect and fetch need. */
export function parseToHref(url: string, base?: string): string | null {
  if (isPlainData(url)) return url;
  const state = parse(url, base);
  if (state === null) return null;
  return hrefOf(state);
}

function hrefOf(state: State): string {
  return state.record === null ? state.href : serializeURL(state.record);
}

/** As `parseToHref`; what holds a user name or a password is refused. @throws TypeError with both, as Request has it. */
export function parseForRequest(url: string): string {
  if (isPlainData(url)) return url;
  const state = parse(url, undefined);
  if (state === null) throw new TypeError(`Invalid URL: ${url}`);
  const { record } = state;
  if (record === null) return state.href;
  if (record.username !== '' || record.password !== '') {
    throw new TypeError('The URL of a request must not include credentials');
  }
  return serializeURL(record);
}

/** An http(s) URL without its fragment, as it goes over the wire, if `scanSimple` takes it; else null. */
export function withoutFragment(url: string): string | null {
  const parts = scanSimple(url);
  if (parts === null) return null;
  return parts.queryEnd === url.length ? url : url.slice(0, parts.queryEnd);
}

/** The record of a URL, or null. */
export function parseToRecord(url: string, base?: string): URLRecord | null {
  const state = parse(url, base);
  return state === null ? null : recordOf(state);
}

export let isURL: (value: unknown) => value is URL;
/** What `href` says, whatever a subclass made of that. */
export let urlHref: (url: URL) => string;

export class URL {
  #state: State;

  constructor(url: string, base: string | undefined = undefined) {
    requireArguments(arguments.length, 1, "Failed to construct 'URL'");
    const input = toUSVString(url);
    const against = base === undefined ? undefined : toUSVString(base);
    const state = parse(input, against);
    if (state === null) {
      throw new TypeError(against === undefined ? `Invalid URL: ${input}` : `Invalid URL: ${input} against ${against}`);
    }
    this.#state = state;
  }

  static {
    isURL = (value): value is URL => isObject(value) && #state in value;
    urlHref = (url) => hrefOf(url.#state);
  }

  static parse(url: string, base: string | undefined = undefined): URL | null {
    requireArguments(arguments.length, 1, 'URL.parse');
    const state = parse(toUSVString(url), base === undefined ? undefined : toUSVString(base));
    if (state === null) return null;
    const made = new URL('about:blank');
    made.#state = state;
    return made;
  }

  static canParse(url: string, base: string | undefined = undefined): boolean {
    requireArguments(arguments.length, 1, 'URL.canParse');
    return parse(toUSVString(url), base === undefined ? undefined : toUSVString(base)) !== null;
  }

  get href(): string {
    return hrefOf(this.#state);
  }
  set href(value: string) {
    const state = this.#state;
    const input = toUSVString(value);
    const next = parse(input, undefined);
    if (next === null) throw new TypeError(`Invalid URL: ${input}`);
    next.params = state.params;
    this.#state = next;
    this.#resetParams();
  }

  get origin(): string {
    const { parts, href, record } = this.#state;
    return parts !== null ? href.slice(0, parts.pathStart) : serializeURLOrigin(record!);
  }

  get protocol(): string {
    const { parts, href, record } = this.#state;
    return parts !== null ? href.slice(0, parts.schemeEnd) : `${record!.scheme}:`;
  }
  set protocol(value: string) {
    basicURLParse(`${toUSVString(value)}:`, { url: recordOf(this.#state), stateOverride: 'scheme start' });
  }

  get username(): string {
    return this.#state.record?.username ?? '';
  }
  set username(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (!cannotHaveAUsernamePasswordPort(record)) setTheUsername(record, text);
  }

  get password(): string {
    return this.#state.record?.password ?? '';
  }
  set password(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (!cannotHaveAUsernamePasswordPort(record)) setThePassword(record, text);
  }

  get host(): string {
    const { parts, href, record } = this.#state;
    if (parts !== null) return href.slice(parts.schemeEnd + 2, parts.pathStart);
    if (record!.host === null) return '';
    const host = serializeHost(record!.host);
    return record!.port === null ? host : `${host}:${record!.port}`;
  }
  set host(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (!hasAnOpaquePath(record)) basicURLParse(text, { url: record, stateOverride: 'host' });
  }

  get hostname(): string {
    const { parts, href, record } = this.#state;
    if (parts !== null) return href.slice(parts.schemeEnd + 2, parts.hostEnd);
    return record!.host === null ? '' : serializeHost(record!.host);
  }
  set hostname(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (!hasAnOpaquePath(record)) basicURLParse(text, { url: record, stateOverride: 'hostname' });
  }

  get port(): string {
    const { parts, href, record } = this.#state;
    if (parts !== null) return href.slice(parts.hostEnd + 1, parts.pathStart);
    return record!.port === null ? '' : `${record!.port}`;
  }
  set port(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (cannotHaveAUsernamePasswordPort(record)) return;
    if (text === '') record.port = null;
    else basicURLParse(text, { url: record, stateOverride: 'port' });
  }

  get pathname(): string {
    const { parts, href, record } = this.#state;
    return parts !== null ? href.slice(parts.pathStart, parts.pathEnd) : serializePath(record!);
  }
  set pathname(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (hasAnOpaquePath(record)) return;
    record.path = [];
    basicURLParse(text, { url: record, stateOverride: 'path start' });
  }

  get search(): string {
    const { parts, href, record } = this.#state;
    if (parts !== null) return parts.queryEnd - parts.pathEnd > 1 ? href.slice(parts.pathEnd, parts.queryEnd) : '';
    return record!.query === null || record!.query === '' ? '' : `?${record!.query}`;
  }
  set search(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (text === '') record.query = null;
    else {
      record.query = '';
      basicURLParse(text.startsWith('?') ? text.slice(1) : text, { url: record, stateOverride: 'query' });
    }
    this.#resetParams();
  }

  get searchParams(): URLSearchParams {
    const state = this.#state;
    if (state.params === null) {
      state.params = paramsOf(this.search.slice(1), (query) => {
        recordOf(this.#state).query = query === '' ? null : query;
      });
    }
    return state.params;
  }

  get hash(): string {
    const { parts, href, record } = this.#state;
    if (parts !== null) return href.length - parts.queryEnd > 1 ? href.slice(parts.queryEnd) : '';
    return record!.fragment === null || record!.fragment === '' ? '' : `#${record!.fragment}`;
  }
  set hash(value: string) {
    const record = recordOf(this.#state);
    const text = toUSVString(value);
    if (text === '') {
      record.fragment = null;
      return;
    }
    record.fragment = '';
    basicURLParse(text.startsWith('#') ? text.slice(1) : text, { url: record, stateOverride: 'fragment' });
  }

  toString(): string {
    return hrefOf(this.#state);
  }

  toJSON(): string {
    return hrefOf(this.#state);
  }

  #resetParams(): void {
    const { params } = this.#state;
    if (params !== null) resetParams(params, this.search.slice(1));
  }
}

defineInterface(URL, 'URL');
