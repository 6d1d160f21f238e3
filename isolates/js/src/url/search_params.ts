/** URLSearchParams and the urlencoded format (URL standard §5, §6). */

import { utf8Decode, utf8Encode } from '../encoding/utf8.ts';
import { type IterationKind, iteratorPrototype, makeIterator } from '../pair_iterator.ts';
import { charCodeAt, fromCharCode, min, propertyIsEnumerable, ReflectApply, ReflectOwnKeys } from '../primordials.ts';
import { defineInterface, isObject, requireArguments, toUSVString } from '../webidl.ts';
import { PERCENT, percentDecode, PLUS, SPACE } from './percent.ts';

export type Pair = [name: string, value: string];

export let isURLSearchParams: (value: unknown) => value is URLSearchParams;
export let paramsList: (params: URLSearchParams) => Pair[];
export let serializeParams: (params: URLSearchParams) => string;
/** The params object of a URL: `onChange` gets the new query whenever it is changed. */
export let paramsOf: (query: string, onChange: (query: string) => void) => URLSearchParams;
/** Replaces the list of a URL's params object after the URL's query changed. */
export let resetParams: (params: URLSearchParams, query: string) => void;

export class URLSearchParams {
  #list: Pair[] = [];
  #onChange: ((query: string) => void) | null = null;

  constructor(init: unknown = '') {
    if (isObject(init)) this.#list = pairsFrom(init);
    else {
      const text = toUSVString(init);
      this.#list = parseUrlencoded(text.startsWith('?') ? text.slice(1) : text);
    }
  }

  static {
    isURLSearchParams = (value): value is URLSearchParams => isObject(value) && #list in value;
    paramsList = (params) => params.#list;
    serializeParams = (params) => serializeUrlencoded(params.#list);
    paramsOf = (query, onChange) => {
      const params = new URLSearchParams();
      params.#list = parseUrlencoded(query);
      params.#onChange = onChange;
      return params;
    };
    resetParams = (params, query) => {
      params.#list = parseUrlencoded(query);
    };
  }

  get size(): number {
    return this.#list.length;
  }

  append(name: string, value: string): void {
    const list = this.#list;
    requireArguments(arguments.length, 2, 'URLSearchParams.append');
    list.push([toUSVString(name), toUSVString(value)]);
    this.#changed();
  }

  delete(name: string, value: string | undefined = undefined): void {
    const list = this.#list;
    requireArguments(arguments.length, 1, 'URLSearchParams.delete');
    const key = toUSVString(name);
    const only = value === undefined ? undefined : toUSVString(value);
    let kept = 0;
    for (let i = 0; i < list.length; i++) {
      if (list[i][0] !== key || (only !== undefined && list[i][1] !== only)) list[kept++] = list[i];
    }
    list.length = kept;
    this.#changed();
  }

  get(name: string): string | null {
    const list = this.#list;
    requireArguments(arguments.length, 1, 'URLSearchParams.get');
    const key = toUSVString(name);
    for (let i = 0; i < list.length; i++) if (list[i][0] === key) return list[i][1];
    return null;
  }

  getAll(name: string): string[] {
    const list = this.#list;
    requireArguments(arguments.length, 1, 'URLSearchParams.getAll');
    const key = toUSVString(name);
    return list.filter((pair) => pair[0] === key).map((pair) => pair[1]);
  }

  has(name: string, value: string | undefined = undefined): boolean {
    const list = this.#list;
    requireArguments(arguments.length, 1, 'URLSearchParams.has');
    const key = toUSVString(name);
    const only = value === undefined ? undefined : toUSVString(value);
    return list.some((pair) => pair[0] === key && (only === undefined || pair[1] === only));
  }

  set(name: string, value: string): void {
    const list = this.#list;
    requireArguments(arguments.length, 2, 'URLSearchParams.set');
    const key = toUSVString(name);
    const text = toUSVString(value);
    let found = false;
    let kept = 0;
    for (let i = 0; i < list.length; i++) {
      if (list[i][0] === key) {
        if (found) continue;
        list[i][1] = text;
        found = true;
      }
      list[kept++] = list[i];
    }
    list.length = kept;
    if (!found) list.push([key, text]);
    this.#changed();
  }

  sort(): void {
    this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#changed();
  }

  forEach(callback: (value: string, name: string, params: URLSearchParams) => void, self: unknown = undefined): void {
    void this.#list;
    requireArguments(arguments.length, 1, 'URLSearchParams.forEach');
    if (typeof callback !== 'function') throw new TypeError('The callback is not a function');
    for (let i = 0; i < this.#list.length; i++) {
      const [name, value] = this.#list[i];
      ReflectApply(callback, self, [value, name, this]);
    }
  }

  entries(): Iterator<Pair> {
    return this.#iterate('both') as Iterator<Pair>;
  }

  keys(): Iterator<string> {
    return this.#iterate('key') as Iterator<string>;
  }

  values(): Iterator<string> {
    return this.#iterate('value') as Iterator<string>;
  }

  toString(): string {
    return serializeUrlencoded(this.#list);
  }

  #iterate(kind: IterationKind): Iterator<unknown> {
    return makeIterator(ParamsIterator, () => this.#list, kind);
  }

  #changed(): void {
    this.#onChange?.(serializeUrlencoded(this.#list));
  }
}

const ParamsIterator = iteratorPrototype('URLSearchParams');

function pairsFrom(init: object): Pair[] {
  const iterate = (init as { [Symbol.iterator]?: unknown })[Symbol.iterator];
  if (iterate !== undefined && iterate !== null) {
    if (typeof iterate !== 'function') throw new TypeError('The query cannot be iterated');
    const pairs: Pair[] = [];
    for (const member of init as Iterable<unknown>) {
      if (!isObject(member)) throw new TypeError('A query pair is not a sequence');
      const pair = [...(member as Iterable<unknown>)].map(toUSVString);
      if (pair.length !== 2) throw new TypeError('A query pair does not have two members');
      pairs.push(pair as Pair);
    }
    return pairs;
  }
  const record = new Map<string, string>();
  for (const key of ReflectOwnKeys(init)) {
    if (!propertyIsEnumerable(init, key)) continue;
    if (typeof key === 'symbol') throw new TypeError('A query name is a symbol');
    record.set(toUSVString(key), toUSVString((init as Record<string, unknown>)[key]));
  }
  return [...record];
}

/** The application/x-www-form-urlencoded parser, over text instead of its UTF-8 bytes. */
export function parseUrlencoded(text: string): Pair[] {
  const list: Pair[] = [];
  if (text === '') return list;
  for (let at = 0; at <= text.length;) {
    let end = text.indexOf('&', at);
    if (end < 0) end = text.length;
    if (end > at) {
      const equals = text.indexOf('=', at);
      const split = equals < 0 || equals > end ? end : equals;
      list.push([decodeComponent(text.slice(at, split)), decodeComponent(text.slice(min(split + 1, end), end))]);
    }
    at = end + 1;
  }
  return list;
}

function decodeComponent(text: string): string {
  let plain = true;
  for (let i = 0; i < text.length; i++) {
    const unit = charCodeAt(text, i);
    if (unit === PLUS || unit === PERCENT) {
      plain = false;
      break;
    }
  }
  if (plain) return text;
  return utf8Decode(percentDecode(text, SPACE));
}

// Bytes that the urlencoded serializer leaves alone: ASCII alphanumerics and * - . _
const KEPT = new Uint8Array(256);
for (const character of '*-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ') {
  KEPT[character.charCodeAt(0)] = 1;
}
const HEX = '0123456789ABCDEF';

function encodeComponent(text: string): string {
  let plain = true;
  for (let i = 0; i < text.length; i++) {
    const unit = charCodeAt(text, i);
    if (unit > 127 || KEPT[unit] === 0) {
      plain = false;
      break;
    }
  }
  if (plain) return text;
  const bytes = utf8Encode(text);
  let out = '';
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (KEPT[byte] === 1) out += fromCharCode(byte);
    else if (byte === 0x20) out += '+';
    else out += `%${HEX[byte >> 4]}${HEX[byte & 15]}`;
  }
  return out;
}

export function serializeUrlencoded(list: Pair[]): string {
  let out = '';
  for (let i = 0; i < list.length; i++) {
    out += `${i === 0 ? '' : '&'}${encodeComponent(list[i][0])}=${encodeComponent(list[i][1])}`;
  }
  return out;
}

Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
  value: URLSearchParams.prototype.entries,
  writable: true,
  configurable: true,
});
defineInterface(URLSearchParams, 'URLSearchParams');
