/**
 * A fast path for the URLs that servers see: http(s) URLs that the URL parser would give back unchanged.
 *
 * `scanSimple` accepts a string only if parsing and serializing it per the URL standard yields the same string, so that
 * its components are slices of it. Everything else goes through the full state machine of whatwg-url.
 */

import { charCodeAt, stringIndexOf, stringSlice } from '../primordials.ts';

/** Where the components of an accepted string begin and end. */
export interface SimpleParts {
  /** After "http:" or "https:". */
  schemeEnd: number;
  hostEnd: number;
  /** After the port, which is where the path starts. */
  pathStart: number;
  /** Of "?", or the end of the path. */
  pathEnd: number;
  /** Of "#", or the end of the string. */
  queryEnd: number;
}

// What a component may hold unchanged: 1 host (no upper case), 2 path, 4 query, 8 fragment.
const ALLOWED = new Uint8Array(128);
for (let unit = 0x21; unit < 0x7f; unit++) {
  const character = String.fromCharCode(unit);
  let flags = 2 | 4 | 8;
  if (/[a-z0-9.-]/.test(character)) flags |= 1;
  if (/["<>`#?{}^\\]/.test(character)) flags &= ~2;
  if (/["<>#']/.test(character)) flags &= ~4;
  if (/["<>`]/.test(character)) flags &= ~8;
  if (character === '%') flags &= ~2; // "%2e" may be a dot segment
  ALLOWED[unit] = flags;
}

const SLASH = 0x2f;
const DOT = 0x2e;

const MAX_KEPT_UNITS = 1024;

/** `scan` that knows the last string and its parts. */
function remembering(): (url: string) => SimpleParts | null {
  let lastUrl = '';
  let lastParts: SimpleParts | null = null;
  return (url) => {
    if (url === lastUrl) return lastParts;
    const parts = scan(url);
    if (url.length <= MAX_KEPT_UNITS) {
      lastUrl = url;
      lastParts = parts;
    }
    return parts;
  };
}

/** The parts of `url`, or null when it is not simple. A Request is made of what a URL gave, and fetched at once. */
export const scanSimple = remembering();

/** As `scanSimple`, for a base, which is mostly the same one again. */
export const scanBase = remembering();

function scan(url: string): SimpleParts | null {
  const schemeEnd = url.startsWith('http://') ? 5 : url.startsWith('https://') ? 6 : 0;
  if (schemeEnd === 0) return null;
  const { length } = url;
  let at = schemeEnd + 2;
  const hostStart = at;
  let label = at;
  for (; at < length; at++) {
    const unit = charCodeAt(url, at);
    if (unit > 127 || (ALLOWED[unit] & 1) === 0) break;
    if (unit === DOT) {
      if (at === label) return null;
      label = at + 1;
    }
  }
  const hostEnd = at;
  // No host, an empty or numeric last label (IPv4 in some form), or punycode, which has rules of its own.
  if (hostEnd === hostStart || label === hostEnd) return null;
  if (isDigit(charCodeAt(url, label))) {
    if (!isAddress(url, hostStart, hostEnd)) return null;
  } else if (holdsPunycode(url, hostStart, hostEnd)) return null;
  const pathStart = portEnd(url, at, schemeEnd);
  if (pathStart < 0 || charCodeAt(url, pathStart) !== SLASH) return null;
  const pathEnd = pathStop(url, pathStart);
  if (pathEnd < 0) return null;
  at = pathEnd;
  let queryEnd = at;
  if (at < length && url[at] === '?') {
    for (at++; at < length; at++) {
      const unit = charCodeAt(url, at);
      if (unit > 127 || (ALLOWED[unit] & 4) === 0) break;
    }
    queryEnd = at;
  }
  if (at < length) {
    if (url[at] !== '#') return null;
    for (at++; at < length; at++) {
      const unit = charCodeAt(url, at);
      if (unit > 127 || (ALLOWED[unit] & 8) === 0) return null;
    }
  }
  return { schemeEnd, hostEnd, pathStart, pathEnd, queryEnd };
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

/** Whether `[at, end)` is an IPv4 address as it is serialized: four numbers up to 255 without zeros in front. */
function isAddress(url: string, at: number, end: number): boolean {
  for (let part = 0; part < 4; part++) {
    const start = at;
    let value = 0;
    while (at < end && isDigit(charCodeAt(url, at))) value = value * 10 + charCodeAt(url, at++) - 0x30;
    const digits = at - start;
    if (digits === 0 || digits > 3 || value > 255 || (digits > 1 && charCodeAt(url, start) === 0x30)) return false;
    if (part < 3 && (at >= end || charCodeAt(url, at++) !== DOT)) return false;
  }
  return at === end;
}

/** Whether "xn--" is in `[at, end)`. */
function holdsPunycode(url: string, at: number, end: number): boolean {
  const found = stringIndexOf(url, 'xn--', at);
  return found >= 0 && found < end;
}

/** Where the port that starts at `at` ends; -1 when it is not in its shortest form, or is the scheme's default. */
function portEnd(url: string, at: number, schemeEnd: number): number {
  if (at >= url.length) return -1;
  if (url[at] !== ':') return at;
  const start = ++at;
  let port = 0;
  while (at < url.length && isDigit(charCodeAt(url, at))) port = port * 10 + charCodeAt(url, at++) - 0x30;
  if (at === start || at - start > 5 || port > 65535 || url[start] === '0') return -1;
  return port === (schemeEnd === 5 ? 80 : 443) ? -1 : at;
}

/** Where the path ends; -1 when it holds something that would be encoded, or a dot segment. */
function pathStop(url: string, at: number): number {
  for (; at < url.length; at++) {
    const unit = charCodeAt(url, at);
    if (unit === 0x3f || unit === 0x23) return at;
    if (unit > 127 || (ALLOWED[unit] & 2) === 0) return -1;
    if (unit === SLASH && at + 1 < url.length && charCodeAt(url, at + 1) === DOT) return -1;
  }
  return at;
}

/**
 * What `url`, a relative reference, means against `base`, whose parts these are, if that is a matter of putting the two
 * together; else null. Whether the result is simple is still to be seen, which is when dot segments show.
 */
export function joinSimple(base: string, parts: SimpleParts, url: string): string | null {
  if (url.length === 0) return null;
  const first = charCodeAt(url, 0);
  if (first === SLASH) {
    const second = url.length > 1 ? charCodeAt(url, 1) : 0;
    return second === SLASH || second === 0x5c ? null : stringSlice(base, 0, parts.pathStart) + url;
  }
  if (first === 0x3f) return stringSlice(base, 0, parts.pathEnd) + url;
  // "#…" keeps the query, "." begins a dot segment, and white space in front is cut off.
  if (first <= 0x23 || first === DOT) return null;
  for (let at = 0; at < url.length; at++) {
    const unit = charCodeAt(url, at);
    if (unit === 0x3a) return null; // it may be absolute
    if (unit === SLASH || unit === 0x3f) break;
  }
  let directory = parts.pathEnd;
  while (charCodeAt(base, directory - 1) !== SLASH) directory--;
  return stringSlice(base, 0, directory) + url;
}
