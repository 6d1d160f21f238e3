/** CacheStorage (Service Workers §5.5): the app's caches, and `default`, which needs no name. */

import { charCodeAt, fromCharCode, stringSlice, stringSplit } from '../primordials.ts';
import { latin1Decode } from '../encoding/latin1.ts';
import { defineInterface, INTERNAL, requireArguments, toDictionary, toDOMString } from '../webidl.ts';
import { type Cache, isYes, matchIn, newCache, readQuery } from './cache.ts';
import { answerBytes, ask } from './calls.ts';
import type { Response } from '../http/response.ts';

const DEFAULT = '-';

export class CacheStorage {
  #default: Cache;

  constructor(token?: unknown) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    this.#default = newCache(DEFAULT);
  }

  get default(): Cache {
    return this.#default;
  }

  async match(request: unknown, options: unknown = undefined): Promise<Response | undefined> {
    void this.#default;
    requireArguments(arguments.length, 1, "Failed to execute 'match' on 'CacheStorage'");
    const settings = toDictionary(options, 'The cache query options');
    const { cacheName } = settings;
    const name = cacheName === undefined ? '' : wireName(toDOMString(cacheName));
    const query = readQuery(request, settings);
    return query === null ? undefined : matchIn(name, query);
  }

  async has(cacheName: unknown): Promise<boolean> {
    void this.#default;
    requireArguments(arguments.length, 1, "Failed to execute 'has' on 'CacheStorage'");
    return isYes(await ask(`has\n${wireName(toDOMString(cacheName))}\n\n`));
  }

  async open(cacheName: unknown): Promise<Cache> {
    void this.#default;
    requireArguments(arguments.length, 1, "Failed to execute 'open' on 'CacheStorage'");
    const name = wireName(toDOMString(cacheName));
    await ask(`open\n${name}\n\n`);
    return newCache(name);
  }

  async delete(cacheName: unknown): Promise<boolean> {
    void this.#default;
    requireArguments(arguments.length, 1, "Failed to execute 'delete' on 'CacheStorage'");
    return isYes(await ask(`drop\n${wireName(toDOMString(cacheName))}\n\n`));
  }

  async keys(): Promise<string[]> {
    void this.#default;
    const answer = await ask('names\n\n\n');
    const names: string[] = [];
    if (answer === null) return names;
    const bytes = await answerBytes(answer);
    if (bytes.length === 0) return names;
    const lines = stringSplit(latin1Decode(bytes, 0, bytes.length), '\n');
    for (let i = 0; i < lines.length; i++) names[i] = nameFromWire(lines[i]);
    return names;
  }
}
defineInterface(CacheStorage, 'CacheStorage');

export const caches = new CacheStorage(INTERNAL);

/** A cache's name may be any string of UTF-16 units: all but printable ASCII is escaped. */
function wireName(name: string): string {
  let text = '=';
  for (let i = 0; i < name.length; i++) {
    const unit = charCodeAt(name, i);
    text += unit > 0x20 && unit < 0x7f && unit !== 0x5c ? fromCharCode(unit) : `\\u${hex(unit)}`;
  }
  return text;
}

const DIGITS = '0123456789abcdef';

function hex(unit: number): string {
  return DIGITS[unit >> 12] + DIGITS[(unit >> 8) & 15] + DIGITS[(unit >> 4) & 15] + DIGITS[unit & 15];
}

function nameFromWire(text: string): string {
  let name = '';
  for (let i = 1; i < text.length; i++) {
    if (text[i] !== '\\') {
      name += text[i];
      continue;
    }
    name += fromCharCode(Number(`0x${stringSlice(text, i + 2, i + 6)}`));
    i += 5;
  }
  return name;
}
