/**
 * UTF-8 to and from strings, the WHATWG way: a lone surrogate encodes as U+FFFD, each maximal ill-formed part of the
 * input decodes as one U+FFFD. Uses the engine's codec when `useCodec` was given one, else loops.
 */

import { charCodeAt, fromCharCode, min, setBytes, sliceBytes, stringSlice, subarray } from '../primordials.ts';
import type { NativeCodec } from '../ring/memory.ts';

let codec: NativeCodec | null = null;
let scratch = new Uint8Array(0);
let scratchBytes = 0;

/** At most this many UTF-16 units, or bytes, go through the codec in one piece. */
let pieceUnits = 0;

/** Called at boot, once. */
export function useCodec(native: NativeCodec | null, scratchBuffer: ArrayBuffer): void {
  codec = native;
  scratch = new Uint8Array(scratchBuffer);
  scratchBytes = scratch.length;
  pieceUnits = (scratchBytes / 3) | 0;
}

/** The number of bytes that `text` has in UTF-8. */
export function utf8Length(text: string): number {
  if (codec !== null) return encodedLength(codec, text);
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = charCodeAt(text, i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (isPairAt(text, i, unit)) {
      bytes += 2;
      i++;
    } else bytes += 2;
  }
  return bytes;
}

/** Encoding a text to see how long it gets is four times faster than the engine's instruction for measuring it. */
function encodedLength(native: NativeCodec, text: string): number {
  if (text.length <= pieceUnits) return native.encodeScratch(text, 0);
  let bytes = 0;
  for (let at = 0; at < text.length;) {
    const end = pieceEnd(text, at);
    bytes += native.encodeScratch(stringSlice(text, at, end), 0);
    at = end;
  }
  return bytes;
}

/** `text` in UTF-8, in an array of its own. */
export function utf8Encode(text: string): Uint8Array<ArrayBuffer> {
  if (codec === null) {
    const bytes = new Uint8Array(utf8Length(text));
    encodeLoop(text, bytes, 0, bytes.length);
    return bytes;
  }
  if (text.length <= pieceUnits) return sliceBytes(scratch, 0, codec.encodeScratch(text, 0));
  const bytes = new Uint8Array(encodedLength(codec, text));
  let written = 0;
  for (let at = 0; at < text.length;) {
    const end = pieceEnd(text, at);
    const count = codec.encodeScratch(stringSlice(text, at, end), 0);
    setBytes(bytes, subarray(scratch, 0, count), written);
    written += count;
    at = end;
  }
  return bytes;
}

/** As TextEncoder's encodeInto: never writes half a character. */
export function utf8EncodeInto(text: string, target: Uint8Array): { read: number; written: number } {
  if (codec !== null && text.length <= pieceUnits && text.length > 16) {
    const count = codec.encodeScratch(text, 0);
    if (count <= target.length) {
      setBytes(target, subarray(scratch, 0, count));
      return { read: text.length, written: count };
    }
  }
  return encodeLoop(text, target, 0, target.length);
}

/** Decodes `bytes[start, end)`; a byte order mark is kept as U+FEFF. */
export function utf8Decode(bytes: Uint8Array, start = 0, end = bytes.length): string {
  if (codec === null || end - start < 8) return decodeLoop(bytes, start, end, false) as string;
  let text = '';
  while (start < end) {
    let stop = min(end, start + scratchBytes);
    if (stop < end) stop = start + completeUtf8(bytes, start, stop);
    setBytes(scratch, subarray(bytes, start, stop));
    text += codec.decodeScratch(0, stop - start);
    start = stop;
  }
  return text;
}

/** As `utf8Decode`, but null when the bytes are not well-formed. */
export function utf8DecodeStrict(bytes: Uint8Array, start = 0, end = bytes.length): string | null {
  if (codec === null) return decodeLoop(bytes, start, end, true);
  let text = '';
  while (start < end) {
    let stop = min(end, start + scratchBytes);
    if (stop < end) stop = start + completeUtf8(bytes, start, stop);
    setBytes(scratch, subarray(bytes, start, stop));
    const piece = codec.decodeScratchStrict(0, stop - start);
    if (piece === null) return null;
    text += piece;
    start = stop;
  }
  return text;
}

/**
 * How many bytes of `bytes[start, end)` can be decoded now: all but a character at the very end that more bytes may
 * complete. A sequence that is already ill-formed is not held back.
 */
export function completeUtf8(bytes: Uint8Array, start: number, end: number): number {
  const size = end - start;
  for (let back = 1; back <= 3 && back <= size; back++) {
    const byte = bytes[end - back];
    if (byte < 0x80) return size;
    if (byte < 0xc0) continue; // a continuation byte: the lead is further back
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    const wellFormed = byte >= 0xc2 && byte <= 0xf4 && (back === 1 || isSecond(byte, bytes[end - back + 1]));
    return needed > back && wellFormed ? size - back : size;
  }
  return size;
}

/** Whether `second` may follow `lead` (Encoding standard, UTF-8 decoder: lower and upper boundary). */
function isSecond(lead: number, second: number): boolean {
  const lower = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const upper = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return second >= lower && second <= upper;
}

function isPairAt(text: string, i: number, unit: number): boolean {
  return (unit & 0xfc00) === 0xd800 && i + 1 < text.length && (charCodeAt(text, i + 1) & 0xfc00) === 0xdc00;
}

function pieceEnd(text: string, at: number): number {
  const end = min(text.length, at + pieceUnits);
  return end < text.length && (charCodeAt(text, end - 1) & 0xfc00) === 0xd800 ? end - 1 : end;
}

function encodeLoop(text: string, target: Uint8Array, at: number, end: number): { read: number; written: number } {
  const first = at;
  let i = 0;
  for (; i < text.length; i++) {
    let unit = charCodeAt(text, i);
    if (unit < 0x80) {
      if (at >= end) break;
      target[at++] = unit;
    } else if (unit < 0x800) {
      if (at + 2 > end) break;
      target[at++] = 0xc0 | (unit >> 6);
      target[at++] = 0x80 | (unit & 63);
    } else if (isPairAt(text, i, unit)) {
      if (at + 4 > end) break;
      const point = 0x10000 + ((unit & 0x3ff) << 10) + (charCodeAt(text, ++i) & 0x3ff);
      target[at++] = 0xf0 | (point >> 18);
      target[at++] = 0x80 | ((point >> 12) & 63);
      target[at++] = 0x80 | ((point >> 6) & 63);
      target[at++] = 0x80 | (point & 63);
    } else {
      if (at + 3 > end) break;
      if ((unit & 0xf800) === 0xd800) unit = 0xfffd;
      target[at++] = 0xe0 | (unit >> 12);
      target[at++] = 0x80 | ((unit >> 6) & 63);
      target[at++] = 0x80 | (unit & 63);
    }
  }
  return { read: i, written: at - first };
}

function decodeLoop(bytes: Uint8Array, start: number, end: number, strict: boolean): string | null {
  let text = '';
  let at = start;
  while (at < end) {
    const lead = bytes[at];
    if (lead < 0x80) {
      text += fromCharCode(lead);
      at++;
      continue;
    }
    let size = 1;
    let point = 0xfffd;
    const needed =
      lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
    if (needed !== 0 && at + 1 < end && isSecond(lead, bytes[at + 1])) {
      point = needed === 2 ? lead & 31 : needed === 3 ? lead & 15 : lead & 7;
      point = (point << 6) | (bytes[at + 1] & 63);
      size = 2;
      while (size < needed && at + size < end && (bytes[at + size] & 0xc0) === 0x80) {
        point = (point << 6) | (bytes[at + size++] & 63);
      }
      if (size < needed) point = -1;
    } else point = -1;
    if (point < 0) {
      if (strict) return null;
      point = 0xfffd;
    }
    at += size;
    text += point < 0x10000 ? fromCharCode(point) : fromCharCode(0xd7c0 + (point >> 10), 0xdc00 | (point & 0x3ff));
  }
  return text;
}
