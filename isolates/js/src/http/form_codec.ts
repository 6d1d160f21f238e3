/** FormData to and from bytes: multipart/form-data (RFC 7578, as HTML encodes it) and urlencoded. */

import { blobBytes, concatBytes, newFile, utf8DecodeWithoutMark } from '../blob.ts';
import { utf8Decode, utf8Encode } from '../encoding/utf8.ts';
import { FormData, formEntries } from '../form_data.ts';
import { toHex } from '../late_intrinsics.ts';
import { sliceBytes } from '../primordials.ts';
import { randomBytes } from '../random.ts';
import { parseUrlencoded } from '../url/search_params.ts';

export function serializeMultipart(form: FormData): { bytes: Uint8Array<ArrayBuffer>; type: string } {
  const boundary = `----formdata-${toHex(randomBytes(16))}`;
  const pieces: Uint8Array[] = [];
  for (const [name, value] of formEntries(form)) {
    const disposition = `--${boundary}\r\nContent-Disposition: form-data; name="${escapeName(normalizeLines(name))}"`;
    if (typeof value === 'string') {
      pieces.push(utf8Encode(`${disposition}\r\n\r\n${normalizeLines(value)}\r\n`));
    } else {
      const type = value.type === '' ? 'application/octet-stream' : value.type;
      pieces.push(utf8Encode(`${disposition}; filename="${escapeName(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`));
      pieces.push(blobBytes(value), CRLF);
    }
  }
  pieces.push(utf8Encode(`--${boundary}--\r\n`));
  return { bytes: concatBytes(pieces), type: `multipart/form-data; boundary=${boundary}` };
}

const CRLF = new Uint8Array([13, 10]);

function normalizeLines(text: string): string {
  return text.replace(/\r\n?|\n/g, '\r\n');
}

function escapeName(name: string): string {
  return name.replace(/\n/g, '%0A').replace(/\r/g, '%0D').replace(/"/g, '%22');
}

/**
 * Fetch "formData()": by the content type.
 * @throws TypeError when the type is neither of the two, or the body is malformed.
 */
export function parseFormData(bytes: Uint8Array<ArrayBuffer>, contentType: string | null): FormData {
  const [essence] = (contentType ?? '').split(';', 1);
  const type = essence.trim().toLowerCase();
  if (type === 'application/x-www-form-urlencoded') {
    const form = new FormData();
    for (const [name, value] of parseUrlencoded(utf8Decode(bytes))) form.append(name, value);
    return form;
  }
  if (type !== 'multipart/form-data') {
    throw new TypeError('The body is neither multipart/form-data nor application/x-www-form-urlencoded');
  }
  const boundary = mimeParameter(contentType!, 'boundary');
  if (boundary === null || boundary === '') throw new TypeError('The multipart content type has no boundary');
  return parseMultipart(bytes, boundary);
}

/** The value of a parameter of a MIME type, unquoted, or null. */
function mimeParameter(type: string, wanted: string): string | null {
  const pattern = /;\s*([^\s=;]+)=(?:"((?:[^"\\]|\\.)*)"|([^;]*))/g;
  for (let match = pattern.exec(type); match !== null; match = pattern.exec(type)) {
    if (match[1].toLowerCase() !== wanted) continue;
    return match[2] !== undefined ? match[2].replace(/\\(.)/g, '$1') : match[3].trim();
  }
  return null;
}

function malformed(): TypeError {
  return new TypeError('The multipart body is malformed');
}

function parseMultipart(bytes: Uint8Array<ArrayBuffer>, boundary: string): FormData {
  const form = new FormData();
  const delimiter = utf8Encode(`--${boundary}`);
  let at = indexOfBytes(bytes, delimiter, 0);
  if (at < 0) throw malformed();
  at += delimiter.length;
  for (;;) {
    if (bytes[at] === 45 && bytes[at + 1] === 45) return form; // "--": the last one
    while (bytes[at] === 32 || bytes[at] === 9) at++;
    if (bytes[at] !== 13 || bytes[at + 1] !== 10) throw malformed();
    at += 2;
    const part = parsePartHead(bytes, at);
    const end = endOfPart(bytes, delimiter, part.body);
    if (end < 0) throw malformed();
    const content = bytes.subarray(part.body, end);
    if (part.filename !== null) form.append(part.name, newFile(sliceBytes(content), part.filename, part.type));
    else form.append(part.name, utf8DecodeWithoutMark(content));
    at = end + 2 + delimiter.length;
  }
}

/** The offset of the CRLF before the next delimiter line. */
function endOfPart(bytes: Uint8Array, delimiter: Uint8Array, from: number): number {
  for (let at = indexOfBytes(bytes, delimiter, from); at >= 0; at = indexOfBytes(bytes, delimiter, at + 1)) {
    if (at >= from + 2 && bytes[at - 2] === 13 && bytes[at - 1] === 10) return at - 2;
  }
  return -1;
}

interface PartHead {
  name: string;
  filename: string | null;
  type: string;
  /** Offset of the part's content. */
  body: number;
}

function parsePartHead(bytes: Uint8Array, at: number): PartHead {
  let name: string | null = null;
  let filename: string | null = null;
  let type = 'text/plain';
  for (;;) {
    let end = at;
    while (end < bytes.length && !(bytes[end] === 13 && bytes[end + 1] === 10)) end++;
    if (end >= bytes.length) throw malformed();
    if (end === at) break;
    const line = utf8Decode(bytes, at, end);
    at = end + 2;
    const colon = line.indexOf(':');
    if (colon < 0) throw malformed();
    const header = line.slice(0, colon).trim().toLowerCase();
    if (header === 'content-type') type = line.slice(colon + 1).trim();
    if (header !== 'content-disposition') continue;
    if (!/^\s*form-data\s*(;|$)/i.test(line.slice(colon + 1))) throw malformed();
    name = quotedParameter(line, 'name');
    filename = quotedParameter(line, 'filename');
  }
  if (name === null) throw malformed();
  return { name, filename, type: filename !== null ? type : 'text/plain', body: at + 2 };
}

function quotedParameter(line: string, wanted: string): string | null {
  const pattern = /;\s*([^\s=;]+)=(?:"([^"]*)"|([^;]*))/g;
  for (let match = pattern.exec(line); match !== null; match = pattern.exec(line)) {
    if (match[1].toLowerCase() !== wanted) continue;
    const value = match[2] ?? match[3].trim();
    return value.replace(/%0A/gi, '\n').replace(/%0D/gi, '\r').replace(/%22/g, '"');
  }
  return null;
}

function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  const last = bytes.length - wanted.length;
  for (let at = bytes.indexOf(wanted[0], from); at >= 0 && at <= last; at = bytes.indexOf(wanted[0], at + 1)) {
    let i = 1;
    while (i < wanted.length && bytes[at + i] === wanted[i]) i++;
    if (i === wanted.length) return at;
  }
  return -1;
}
