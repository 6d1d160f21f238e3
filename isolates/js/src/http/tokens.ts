/** The character classes of RFC 9110 that header and method handling needs, with a memory of names seen before. */

import { charCodeAt, SafeMap, SafeSet, stringSlice, toLowerCase } from '../primordials.ts';

const TOKEN = new Uint8Array(128);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TOKEN[character.charCodeAt(0)] = 1;
}

export function isToken(text: string): boolean {
  if (text.length === 0) return false;
  for (let i = 0; i < text.length; i++) {
    const unit = charCodeAt(text, i);
    if (unit > 127 || TOKEN[unit] === 0) return false;
  }
  return true;
}

const MAX_KNOWN = 1024;
const known = new SafeMap<string, string>();

/** The name in lower case. @throws TypeError when it is not a token. */
export function headerName(name: string): string {
  const seen = known.get(name);
  if (seen !== undefined) return seen;
  if (!isToken(name)) throw new TypeError(`Invalid header name: ${JSON.stringify(name)}`);
  const lower = toLowerCase(name);
  if (known.size < MAX_KNOWN && name.length <= 64) known.set(name, lower);
  return lower;
}

/** The value without leading and trailing whitespace. @throws TypeError for NUL, CR, LF and anything above U+00FF. */
export function headerValue(value: string): string {
  const { length } = value;
  for (let i = 0; i < length; i++) {
    const unit = charCodeAt(value, i);
    if (unit > 0xff) throw new TypeError('A header value holds a character above U+00FF');
  }
  const trimmed = trimHttp(value);
  for (let i = 0; i < trimmed.length; i++) {
    const unit = charCodeAt(trimmed, i);
    if (unit === 10 || unit === 13 || unit === 0) throw new TypeError('A header value holds NUL, CR or LF');
  }
  return trimmed;
}

function isHttpSpace(unit: number): boolean {
  return unit === 32 || unit === 9 || unit === 10 || unit === 13;
}

/** Strips HTTP whitespace (space, tab, CR, LF) at both ends. */
export function trimHttp(value: string): string {
  let start = 0;
  let end = value.length;
  if (end === 0 || (charCodeAt(value, 0) > 32 && charCodeAt(value, end - 1) > 32)) return value;
  while (start < end && isHttpSpace(charCodeAt(value, start))) start++;
  while (end > start && isHttpSpace(charCodeAt(value, end - 1))) end--;
  return stringSlice(value, start, end);
}

const NORMALIZED = new SafeSet(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT']);
const FORBIDDEN = new SafeSet(['CONNECT', 'TRACE', 'TRACK']);

/** Fetch: validate and normalize a method. @throws TypeError */
export function requestMethod(method: string): string {
  if (method === 'GET' || method === 'POST') return method;
  if (!isToken(method)) throw new TypeError(`Invalid method: ${JSON.stringify(method)}`);
  const upper = method.toUpperCase();
  if (FORBIDDEN.has(upper)) throw new TypeError(`The method ${method} is not allowed`);
  return NORMALIZED.has(upper) ? upper : method;
}
