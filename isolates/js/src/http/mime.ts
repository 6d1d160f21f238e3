/** MIME types (MIME Sniffing standard §4): parsing and serializing. */

import { charCodeAt, SafeMap, stringSlice, toLowerCase } from '../primordials.ts';
import { isToken, trimHttp } from './tokens.ts';

export interface MimeType {
  /** Type and subtype, in lower case. */
  essence: string;
  /** Names in lower case; in the order in which they came. */
  parameters: InstanceType<typeof SafeMap<string, string>>;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether all characters are HTTP quoted-string token code points. */
function isQuotable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = charCodeAt(text, i);
    if (unit !== 9 && (unit < 0x20 || unit === 0x7f || unit > 0xff)) return false;
  }
  return true;
}

function trimEnd(text: string): string {
  return stringSlice(trimHttp(`x${text}`), 1);
}

/** Where `character` comes first from `at` on, or the end. */
function find(text: string, character: string, at: number): number {
  const found = text.indexOf(character, at);
  return found < 0 ? text.length : found;
}

/** "Parse a MIME type"; null for failure. */
export function parseMime(input: string): MimeType | null {
  const text = trimHttp(input);
  const slash = text.indexOf('/');
  if (slash < 0) return null;
  let at = find(text, ';', slash);
  const type = stringSlice(text, 0, slash);
  const subtype = trimEnd(stringSlice(text, slash + 1, at));
  if (!isToken(type) || !isToken(subtype)) return null;
  const mime: MimeType = { essence: toLowerCase(`${type}/${subtype}`), parameters: new SafeMap<string, string>() };
  while (at < text.length) at = parseParameter(text, at + 1, mime);
  return mime;
}

/** Adds the parameter that starts at `at`, if it is a good one; returns where the next semicolon is, or the end. */
function parseParameter(text: string, at: number, mime: MimeType): number {
  const semicolon = find(text, ';', at);
  const equals = find(text, '=', at);
  if (equals >= semicolon) return semicolon;
  const name = toLowerCase(stringSlice(trimHttp(`${stringSlice(text, at, equals)}x`), 0, -1));
  let value: string;
  let end: number;
  if (equals + 1 < text.length && charCodeAt(text, equals + 1) === QUOTE) {
    const quoted = parseQuoted(text, equals + 2);
    ({ value } = quoted);
    end = find(text, ';', quoted.end);
  } else {
    end = find(text, ';', equals + 1);
    value = trimEnd(stringSlice(text, equals + 1, end));
    if (value === '') return end;
  }
  if (isToken(name) && isQuotable(value) && !mime.parameters.has(name)) mime.parameters.set(name, value);
  return end;
}

/** Collects an HTTP quoted string from behind its quotation mark on. */
function parseQuoted(text: string, at: number): { value: string; end: number } {
  let value = '';
  while (at < text.length && charCodeAt(text, at) !== QUOTE) {
    if (charCodeAt(text, at) === BACKSLASH && at + 1 < text.length) at++;
    value += text[at++];
  }
  return { value, end: at < text.length ? at + 1 : at };
}

/** "Serialize a MIME type". */
export function serializeMime(mime: MimeType): string {
  let text = mime.essence;
  mime.parameters.forEach((value, name) => {
    text += `;${name}=${isToken(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`}`;
  });
  return text;
}
