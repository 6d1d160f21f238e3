/** Headers (Fetch §5.1) over a flat list of lower-case names and values in turn. */

import { propertyIsEnumerable, ReflectApply, ReflectOwnKeys, SafeMap } from '../primordials.ts';
import { type IterationKind, iteratorPrototype, makeIterator } from '../pair_iterator.ts';
import { defineInterface, isObject, requireArguments, toByteString } from '../webidl.ts';
import { headerName, headerValue } from './tokens.ts';

/** name, value, name, value, … in the order of arrival; names lower-case, duplicates kept. */
export type HeaderList = string[];

export type Guard = 'none' | 'immutable' | 'request' | 'response';

export function listGet(list: HeaderList, name: string): string | null {
  let value: string | null = null;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === name) value = value === null ? list[i + 1] : `${value}, ${list[i + 1]}`;
  }
  return value;
}

export function listHas(list: HeaderList, name: string): boolean {
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) return true;
  return false;
}

export function listAppend(list: HeaderList, name: string, value: string): void {
  const end = list.length;
  list[end] = name;
  list[end + 1] = value;
}

export function listSet(list: HeaderList, name: string, value: string): void {
  let found = false;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== name) continue;
    if (!found) {
      list[i + 1] = value;
      found = true;
    } else {
      list.splice(i, 2);
      i -= 2;
    }
  }
  if (!found) listAppend(list, name, value);
}

export function listDelete(list: HeaderList, name: string): void {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== name) continue;
    list.splice(i, 2);
    i -= 2;
  }
}

/** Fetch "sort and combine": by name, values joined, except that every Set-Cookie stays alone. */
function sortAndCombine(list: HeaderList): [string, string][] {
  const values = new SafeMap<string, string>();
  const names: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    const value = values.get(list[i]);
    if (value === undefined) names.push(list[i]);
    values.set(list[i], value === undefined ? list[i + 1] : `${value}, ${list[i + 1]}`);
  }
  names.sort();
  const pairs: [string, string][] = [];
  for (const name of names) {
    if (name === 'set-cookie') {
      for (let i = 0; i < list.length; i += 2) if (list[i] === name) pairs.push([name, list[i + 1]]);
    } else pairs.push([name, values.get(name)!]);
  }
  return pairs;
}

/**
 * Adds everything that a `HeadersInit` holds.
 * @throws TypeError for what is none, and for invalid names and values.
 */
export function fillList(init: unknown, append: (name: string, value: string) => void): void {
  if (!isObject(init)) throw new TypeError('The headers are neither a sequence nor a record');
  const iterate = (init as { [Symbol.iterator]?: unknown })[Symbol.iterator];
  if (iterate !== undefined && iterate !== null) {
    if (typeof iterate !== 'function') throw new TypeError('The headers cannot be iterated');
    const iterator = ReflectApply(iterate as () => Iterator<unknown>, init, []);
    const pairs: string[][] = [];
    for (const pair of { [Symbol.iterator]: () => iterator }) {
      if (!isObject(pair)) throw new TypeError('A header is not a pair of name and value');
      const members: string[] = [];
      for (const member of pair as Iterable<unknown>) members.push(toByteString(member));
      pairs.push(members);
    }
    for (const pair of pairs) {
      if (pair.length !== 2) throw new TypeError('A header is not a pair of name and value');
      append(pair[0], pair[1]);
    }
    return;
  }
  const keys = ReflectOwnKeys(init);
  const record: string[] = [];
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    if (!propertyIsEnumerable(init, key)) continue;
    if (typeof key === 'symbol') throw new TypeError('A header name is a symbol');
    const name = toByteString(key);
    const value = toByteString((init as Record<string, unknown>)[key]);
    record[record.length] = name;
    record[record.length] = value;
  }
  for (let i = 0; i < record.length; i += 2) append(record[i], record[i + 1]);
}

/** A list out of a `HeadersInit`; the fast path of Response and Request. */
export function listFrom(init: unknown): HeaderList {
  const list: HeaderList = [];
  if (init === undefined) return list;
  if (isHeaders(init)) {
    const other = headersList(init);
    for (let i = 0; i < other.length; i++) list[i] = other[i];
    return list;
  }
  fillList(init, (name, value) => listAppend(list, headerName(name), headerValue(value)));
  return list;
}

/** Makes the Headers object that shares `list`. */
export let wrapList: (list: HeaderList, guard: Guard) => Headers;
export let headersList: (headers: Headers) => HeaderList;
export let isHeaders: (value: unknown) => value is Headers;

export class Headers {
  #list: HeaderList = [];
  #guard: Guard = 'none';
  /** What `#list` is sorted and combined, until it changes: an iteration asks at each of its steps. */
  #pairs: [string, string][] | null = null;

  constructor(init: unknown = undefined) {
    if (init !== undefined) fillList(init, (name, value) => this.append(name, value));
  }

  static {
    wrapList = (list, guard) => {
      const headers = new Headers();
      headers.#list = list;
      headers.#guard = guard;
      return headers;
    };
    headersList = (headers) => headers.#list;
    isHeaders = (value): value is Headers => isObject(value) && #list in value;
  }

  append(name: string, value: string): void {
    const list = this.#list;
    requireArguments(arguments.length, 2, 'Headers.append');
    const key = headerName(toByteString(name));
    const text = headerValue(toByteString(value));
    this.#check();
    listAppend(list, key, text);
  }

  delete(name: string): void {
    const list = this.#list;
    requireArguments(arguments.length, 1, 'Headers.delete');
    const key = headerName(toByteString(name));
    this.#check();
    listDelete(list, key);
  }

  get(name: string): string | null {
    const list = this.#list;
    requireArguments(arguments.length, 1, 'Headers.get');
    return listGet(list, headerName(toByteString(name)));
  }

  getSetCookie(): string[] {
    const list = this.#list;
    const values: string[] = [];
    for (let i = 0; i < list.length; i += 2) if (list[i] === 'set-cookie') values.push(list[i + 1]);
    return values;
  }

  has(name: string): boolean {
    const list = this.#list;
    requireArguments(arguments.length, 1, 'Headers.has');
    return listHas(list, headerName(toByteString(name)));
  }

  set(name: string, value: string): void {
    const list = this.#list;
    requireArguments(arguments.length, 2, 'Headers.set');
    const key = headerName(toByteString(name));
    const text = headerValue(toByteString(value));
    this.#check();
    listSet(list, key, text);
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, self: unknown = undefined): void {
    void this.#list;
    requireArguments(arguments.length, 1, 'Headers.forEach');
    if (typeof callback !== 'function') throw new TypeError('The callback is not a function');
    for (let i = 0; ; i++) {
      const pairs = this.#sorted();
      if (i >= pairs.length) return;
      ReflectApply(callback, self, [pairs[i][1], pairs[i][0], this]);
    }
  }

  entries(): Iterator<[string, string]> {
    void this.#list;
    return pairIterator(() => this.#sorted(), 'both') as Iterator<[string, string]>;
  }

  keys(): Iterator<string> {
    void this.#list;
    return pairIterator(() => this.#sorted(), 'key') as Iterator<string>;
  }

  values(): Iterator<string> {
    void this.#list;
    return pairIterator(() => this.#sorted(), 'value') as Iterator<string>;
  }

  #sorted(): [string, string][] {
    return (this.#pairs ??= sortAndCombine(this.#list));
  }

  /** Called by whatever is about to change them. */
  #check(): void {
    if (this.#guard === 'immutable') throw new TypeError('These headers are immutable');
    this.#pairs = null;
  }
}

const HeadersIterator = iteratorPrototype('Headers');
const pairIterator = (pairs: () => [unknown, unknown][], kind: IterationKind) =>
  makeIterator(HeadersIterator, pairs, kind);

Object.defineProperty(Headers.prototype, Symbol.iterator, {
  value: Headers.prototype.entries,
  writable: true,
  configurable: true,
});
defineInterface(Headers, 'Headers');
