/** The data: URL processor (Fetch §6). */

import { base64Decode } from './base64.ts';
import { latin1Decode, latin1Encode } from './encoding/latin1.ts';
import { Body } from './http/body.ts';
import { parseMime, serializeMime } from './http/mime.ts';
import { ResponseState } from './http/response.ts';
import { sliceBytes } from './primordials.ts';
import { percentDecode } from './url/percent.ts';
import { parseToHref } from './url/url.ts';

/** @throws TypeError for a malformed one. */
export function parseDataUrl(url: string): ResponseState {
  const href = parseToHref(url)!;
  const hash = href.indexOf('#');
  const text = (hash < 0 ? href : href.slice(0, hash)).slice('data:'.length);
  const comma = text.indexOf(',');
  if (comma < 0) throw new TypeError('fetch failed: the data: URL has no comma');
  let type = text.slice(0, comma).replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, '');
  let bytes = sliceBytes(percentDecode(text.slice(comma + 1)));
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
