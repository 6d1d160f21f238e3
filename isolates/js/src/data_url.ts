/** The data: URL processor (Fetch §6). */

import { base64Decode } from './base64.ts';
import { utf8Encode } from './encoding/utf8.ts';
import { latin1Decode, latin1Encode } from './encoding/latin1.ts';
import { Body } from './http/body.ts';
import { parseMime, serializeMime } from './http/mime.ts';
import { ResponseState } from './http/response.ts';
import { parseToHref } from './url/url.ts';

/** @throws TypeError for a malformed one. */
export function parseDataUrl(url: string): ResponseState {
  const href = parseToHref(url)!;
  const hash = href.indexOf('#');
  const text = (hash < 0 ? href : href.slice(0, hash)).slice('data:'.length);
  const comma = text.indexOf(',');
  if (comma < 0) throw new TypeError('fetch failed: the data: URL has no comma');
  let type = text.slice(0, comma).replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, '');
  let bytes = percentDecode(text.slice(comma + 1));
  const base64 = /;\x20*base64$/i.exec(type);
  if (base64 !== null) {
    const decoded = base64Decode(latin1Decode(bytes, 0, bytes.length));
    if (decoded === null) throw new TypeError('fetch failed: the data: URL is not base64');
    bytes = new Uint8Array(decoded.length);
    latin1Encode(decoded, bytes, 0);
    type = type.slice(0, base64.index);
  }
  if (type.startsWith(';')) type = `text/plain${type}`;
  const mime = parseMime(type);
  type = mime === null ? 'text/plain;charset=US-ASCII' : serializeMime(mime);
  const state = new ResponseState(200, 'OK', ['content-type', type], new Body(bytes));
  state.type = 'basic';
  state.url = href;
  state.guard = 'immutable';
  return state;
}

function percentDecode(text: string): Uint8Array<ArrayBuffer> {
  const bytes = utf8Encode(text);
  let out = 0;
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i];
    if (byte === 0x25 && i + 2 < bytes.length) {
      const high = hexDigit(bytes[i + 1]);
      const low = hexDigit(bytes[i + 2]);
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        i += 2;
      }
    }
    bytes[out++] = byte;
  }
  return bytes.slice(0, out);
}

/** The value of an ASCII hex digit, -1 for any other byte. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
