/** Cache (Service Workers §5.4), kept by the node for all isolates of the app. */

import { DOMException } from '../dom_exception.ts';
import { latin1Decode } from '../encoding/latin1.ts';
import { abortSignal, type AbortSignal, anySignal, newSignal } from '../events/abort.ts';
import { fetch } from '../fetch.ts';
import { Body, isUnusable } from '../http/body.ts';
import { type HeaderList, listAppend, listGet } from '../http/headers.ts';
import { buildState, newRequest, type Request, requestState, RequestState, signalOf } from '../http/request.ts';
import { hasNullBody, newResponse, type Response, responseState, ResponseState } from '../http/response.ts';
import { markHandled, stringIndexOf, stringSlice, stringSplit, toLowerCase } from '../primordials.ts';
import { defineInterface, INTERNAL, requireArguments, toDictionary } from '../webidl.ts';
import { type Answer, answerBytes, ask, askWithBody } from './calls.ts';

/** Entries whose responses are asked for at once by `matchAll`. */
const AT_ONCE = 32;
const RECORD_HEADER_BYTES = 12;

const EMPTY = new Uint8Array(0);

/** What a call is about. */
interface Query {
  state: RequestState | null;
  flags: string;
}

/** The wire's name of a cache. */
let nameOf: (cache: Cache) => string;

export class Cache {
  readonly #name: string;

  constructor(name?: unknown, token?: unknown) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    this.#name = name as string;
  }

  static {
    nameOf = (cache) => cache.#name;
  }

  async match(request: unknown, options: unknown = undefined): Promise<Response | undefined> {
    const name = nameOf(this);
    requireArguments(arguments.length, 1, "Failed to execute 'match' on 'Cache'");
    const query = readQuery(request, options);
    return query === null ? undefined : matchIn(name, query);
  }

  async matchAll(request: unknown = undefined, options: unknown = undefined): Promise<Response[]> {
    const name = nameOf(this);
    const query = request === undefined ? readAll(options) : readQuery(request, options);
    const found: Response[] = [];
    if (query === null) return found;
    const entries = await list(name, query);
    const asked = query.state === null ? '' : headerText(query.state.list);
    for (let at = 0; at < entries.length; at += AT_ONCE) {
      const some: Promise<Answer | null>[] = [];
      for (let i = at; i < entries.length && i < at + AT_ONCE; i++) {
        const answer = ask(`get\n${name}\n\n${entries[i].id}${asked}`);
        markHandled(answer);
        some[some.length] = answer;
      }
      for (let i = 0; i < some.length; i++) {
        const answer = await some[i];
        if (answer !== null) found[found.length] = responseOf(answer);
      }
    }
    return found;
  }

  async add(request: unknown): Promise<void> {
    const name = nameOf(this);
    requireArguments(arguments.length, 1, "Failed to execute 'add' on 'Cache'");
    await addAll(name, [request]);
  }

  async addAll(requests: Iterable<unknown>): Promise<void> {
    const name = nameOf(this);
    requireArguments(arguments.length, 1, "Failed to execute 'addAll' on 'Cache'");
    await addAll(name, [...requests]);
  }

  async put(request: unknown, response: unknown): Promise<void> {
    const name = nameOf(this);
    requireArguments(arguments.length, 2, "Failed to execute 'put' on 'Cache'");
    const asked = requestState(request) ?? buildState(request, undefined, false);
    const state = responseState(response);
    if (state === null) throw new TypeError('The second argument of put is not a Response');
    requireStorable(asked);
    refuseUnstorable(state);
    await store(name, asked, state);
  }

  async delete(request: unknown, options: unknown = undefined): Promise<boolean> {
    const name = nameOf(this);
    requireArguments(arguments.length, 1, "Failed to execute 'delete' on 'Cache'");
    const query = readQuery(request, options);
    if (query === null) return false;
    return isYes(await ask(`delete\n${name}\n${queryText(query)}`));
  }

  async keys(request: unknown = undefined, options: unknown = undefined): Promise<readonly Request[]> {
    const name = nameOf(this);
    const query = request === undefined ? readAll(options) : readQuery(request, options);
    const found: Request[] = [];
    if (query === null) return found;
    const entries = await list(name, query);
    for (let i = 0; i < entries.length; i++) {
      const { fields } = entries[i];
      const headers: HeaderList = [];
      for (let j = 1; j + 1 < fields.length; j += 2) listAppend(headers, fields[j], fields[j + 1]);
      found[i] = newRequest(RequestState.of('GET', fields[0], headers, null));
    }
    return found;
  }
}
defineInterface(Cache, 'Cache');

/** The cache of that name on the wire. */
export function newCache(name: string): Cache {
  return new Cache(name, INTERNAL);
}

/** The first response that answers the query; without a name, in all caches that have one. */
export async function matchIn(name: string, query: Query): Promise<Response | undefined> {
  const answer = await ask(`match\n${name}\n${queryText(query)}`);
  return answer === null ? undefined : responseOf(answer);
}

export function isYes(answer: Answer | null): boolean {
  return answer !== null && answer.status === 200;
}

/** A query's request and options; null: nothing can match it. @throws TypeError for what is not a request. */
export function readQuery(request: unknown, options: unknown): Query | null {
  const settings = toDictionary(options, 'The cache query options');
  const ignoreSearch = !!settings.ignoreSearch;
  const ignoreMethod = !!settings.ignoreMethod;
  const ignoreVary = !!settings.ignoreVary;
  const given = requestState(request);
  const state = given ?? buildState(request, undefined, false);
  if (state.method !== 'GET' && !ignoreMethod) return null;
  return { state, flags: (ignoreSearch ? 's' : '') + (ignoreVary ? 'v' : '') };
}

function readAll(options: unknown): Query {
  toDictionary(options, 'The cache query options');
  return { state: null, flags: '' };
}

function queryText(query: Query): string {
  const { state, flags } = query;
  return state === null ? `\n${flags}` : `${withoutFragment(state.url)}\n${flags}${headerText(state.list)}`;
}

function withoutFragment(url: string): string {
  const hash = stringIndexOf(url, '#');
  return hash < 0 ? url : stringSlice(url, 0, hash);
}

function headerText(list: HeaderList): string {
  let text = '';
  for (let i = 0; i < list.length; i += 2) text += `\n${list[i]}\n${list[i + 1]}`;
  return text;
}

/** What a cache keeps of a response besides its status and headers: type, whether it has a body, was redirected. */
function kindOf(state: ResponseState): string {
  return `${state.type} ${state.body === null ? '-' : 'b'} ${state.redirected ? 'r' : '-'}`;
}

/** The head of a match or get: reason, kind, URL, header name and value in turn. */
function responseOf(answer: Answer): Response {
  const { status, fields, body } = answer;
  const list: HeaderList = [];
  for (let i = 3; i + 1 < fields.length; i += 2) listAppend(list, fields[i], fields[i + 1]);
  const kind = stringSplit(fields[1], ' ');
  const state = new ResponseState(status, fields[0], list, hasNullBody(status) || kind[1] === '-' ? null : body);
  state.type = kind[0];
  state.redirected = kind[2] === 'r';
  state.url = fields[2];
  state.guard = 'immutable';
  return newResponse(state);
}

/** What there is of an entry in a list: its id, and URL, header name and value in turn. */
interface Listed {
  id: number;
  fields: string[];
}

async function list(name: string, query: Query): Promise<Listed[]> {
  const answer = await ask(`list\n${name}\n${queryText(query)}`);
  const entries: Listed[] = [];
  if (answer === null) return entries;
  const bytes = await answerBytes(answer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + RECORD_HEADER_BYTES <= bytes.length;) {
    const end = at + 4 + view.getUint32(at, true);
    const id = view.getUint32(at + 4, true) + view.getUint32(at + 8, true) * 0x1_0000_0000;
    entries[entries.length] = { id, fields: stringSplit(latin1Decode(bytes, at + RECORD_HEADER_BYTES, end), '\n') };
    at = end;
  }
  return entries;
}

/** @throws TypeError for a request whose response cannot be stored. */
function requireStorable(state: RequestState): void {
  const { url } = state;
  if (stringSlice(url, 0, 7) !== 'http://' && stringSlice(url, 0, 8) !== 'https://') {
    throw new TypeError('Only responses to http and https URLs can be put into a cache');
  }
  if (state.method !== 'GET')
    throw new TypeError(`A response to ${state.method} cannot be put into a cache, only to GET`);
}

/** @throws TypeError for a response that cannot be stored. */
function refuseUnstorable(state: ResponseState): void {
  if (state.status === 206) throw new TypeError('A partial response (206) cannot be put into a cache');
  if (varyOf(state)[0] === '*') throw new TypeError('A response with Vary: * cannot be put into a cache');
  if (isUnusable(state.body)) throw new TypeError('The body was already used, or is locked');
}

/** The names in Vary, in lower case; a lone * if that is one of them. */
function varyOf(state: ResponseState): string[] {
  const names: string[] = [];
  const value = listGet(state.list, 'vary');
  if (value === null) return names;
  const parts = stringSplit(value, ',');
  for (let i = 0; i < parts.length; i++) {
    const name = toLowerCase(parts[i].trim());
    if (name === '*') return ['*'];
    if (name !== '') names[names.length] = name;
  }
  return names;
}

async function store(name: string, asked: RequestState, state: ResponseState): Promise<void> {
  const count = asked.list.length / 2;
  const head =
    `put\n${name}\n${asked.url}\n${count}${headerText(asked.list)}` +
    `\n${state.status}\n${state.statusText}\n${kindOf(state)}\n${state.url}${headerText(state.list)}`;
  const { body } = state;
  if (body === null) await ask(head, new Body(EMPTY));
  else await askWithBody(head, body);
}

/** Fetches all, and stores all if every response can be. */
async function addAll(name: string, inputs: unknown[]): Promise<void> {
  const states: RequestState[] = [];
  for (let i = 0; i < inputs.length; i++) {
    const state = requestState(inputs[i]) ?? buildState(inputs[i], undefined, false);
    requireStorable(state);
    states[i] = state;
  }
  const signal = newSignal();
  const responses: Promise<Response>[] = [];
  for (let i = 0; i < states.length; i++) {
    responses[i] = fetchToAdd(states[i], signal);
    markHandled(responses[i]);
  }
  try {
    const found: ResponseState[] = [];
    for (let i = 0; i < responses.length; i++) {
      const state = responseState(await responses[i])!;
      if (state.type === 'error' || state.status < 200 || state.status > 299) {
        throw new TypeError(`A response with status ${state.status} is not added to a cache`);
      }
      refuseUnstorable(state);
      found[i] = state;
    }
    refuseTwins(states, found);
    for (let i = 0; i < found.length; i++) await store(name, states[i], found[i]);
  } catch (error) {
    abortSignal(signal, error);
    throw error;
  }
}

/** Fetches a request that an abort of `signal` ends too. */
function fetchToAdd(state: RequestState, signal: AbortSignal): Promise<Response> {
  const copy = RequestState.of(state.method, state.url, state.list, null);
  copy.options = state.options;
  copy.signal = anySignal([signalOf(state), signal]);
  return fetch(newRequest(copy));
}

/** @throws DOMException InvalidStateError when one response of a batch would take the place of another. */
function refuseTwins(states: RequestState[], responses: ResponseState[]): void {
  for (let i = 0; i < states.length; i++) {
    const names = varyOf(responses[i]);
    for (let j = i + 1; j < states.length; j++) {
      if (withoutFragment(states[i].url) !== withoutFragment(states[j].url)) continue;
      let same = true;
      for (let k = 0; k < names.length; k++) {
        if (listGet(states[i].list, names[k]) !== listGet(states[j].list, names[k])) same = false;
      }
      if (same) throw new DOMException('Two of the requests have the same place in the cache', 'InvalidStateError');
    }
  }
}
