/**
 * The JavaScript half of the ring, outward: frames of `isolates/wire.py` written into the output buffer.
 *
 * Header (64 bytes): u32[0] bytes of segments, u32[1] flags (bit 0: more work is ready, do not wait), f64 at 8 ms until
 * the next timer or -1, u32[4…10] counters (see `Counter`). A segment is u32 connection, u32 bytes, then whole frames.
 * The host takes everything at every poll and sets u32[0] to 0; when there is no room, `native.call` FLUSH does so.
 */

import { wallAtPoll } from '../clock.ts';
import { latin1Encode } from '../encoding/latin1.ts';
import { utf8Encode } from '../encoding/utf8.ts';
import { DateNow, min, setBytes, subarray } from '../primordials.ts';
import { type NativeCodec, RING_HEADER_BYTES } from './memory.ts';

export const REQUEST = 1;
export const RESPONSE = 2;
export const DATA = 3;
export const CANCEL = 4;
export const WINDOW = 5;
export const REFUSE = 6;
export const GOAWAY = 7;
export const MESSAGE = 10;
export const CLOSE = 11;
export const LOG = 16;
export const LOADED = 17;
export const FAILED = 18;
export const LIMIT = 19;
export const FIRE = 20;
export const FIRED = 21;
export const UNFIT = 22;
export const ELSEWHERE = 23;
export const SUBSCRIBE = 24;
export const UNSUBSCRIBE = 25;
export const BROADCAST = 26;
export const PLACE = 28;

/** The last frame of this direction of a stream. */
export const END = 1;
/** A MESSAGE that the next one continues. */
export const MORE = 2;
/** A REQUEST for a WebSocket. */
export const UPGRADE = 4;
/** The rest of the body is where PLACE said; of a response, all of it is where this frame says. */
export const PLACED = 8;
/** What a MESSAGE is. */
export const TEXT = 1;
export const BINARY = 2;
export const FRAME_HEADER_BYTES = 16;
export const WINDOW_BYTES = 256 << 10;
export const MAX_DATA_BYTES = 64 << 10;
export const MAX_HEAD_BYTES = 128 << 10;
export const SOCKET_WINDOW_BYTES = 64 << 10;
export const SOCKET_PIECE_BYTES = (32 << 10) - FRAME_HEADER_BYTES;
const SEGMENT_HEADER_BYTES = 8;

/** So much is not kept until the turn ends: the edge worker has a processor of its own, and can go on with it. */
const AHEAD_BYTES = 256 << 10;
/** Nor so long; a millisecond more, as clocks here have whole ones. */
const AHEAD_MS = 1;

export const HOST_CONNECTION = 0;
export const EGRESS_CONNECTION = 1;
export const CACHE_CONNECTION = 2;

/** Positions of the counters in the header, in u32. */
export const Counter = {
  active: 4,
  queued: 5,
  total: 6,
  refused: 7,
  exceptions: 8,
  background: 9,
  websockets: 10,
} as const;

let bytes = new Uint8Array(0);
let view = new DataView(new ArrayBuffer(0));
let words = new Uint32Array(0);
let doubles = new Float64Array(0);
let capacity = 0;
let codec: NativeCodec | null = null;
let flush: () => void = () => {};

/** Offset of the open segment's header, and the connection it is for. */
let segmentAt = 0;
let segmentConnection = -1;

/** When something was last sent within a turn, in milliseconds by the wall clock. */
let sentAheadAt = 0;

/** The last DATA frame: where it begins and ends, and whose it is. Another may be added to it as long as it is the last. */
let dataAt = 0;
let dataEnd = -1;
let dataStream = 0;

/** Called at boot. `flushOutput` must have emptied the buffer when it returns. */
export function useOutput(buffer: ArrayBuffer, nativeCodec: NativeCodec | null, flushOutput: () => void): void {
  bytes = new Uint8Array(buffer);
  view = new DataView(buffer);
  words = new Uint32Array(buffer, 0, RING_HEADER_BYTES / 4);
  doubles = new Float64Array(buffer, 0, RING_HEADER_BYTES / 8);
  capacity = buffer.byteLength;
  codec = nativeCodec;
  flush = flushOutput;
}

export function setCounter(index: number, value: number): void {
  words[index] = value;
}

/** Tells the host how long it may wait: milliseconds since the last input's clock, -1 for ever. */
export function setNextTimer(milliseconds: number): void {
  doubles[1] = milliseconds;
}

export function setMoreWork(more: boolean): void {
  words[1] = more ? 1 : 0;
}

/** Makes room for a frame of up to `size` bytes to `connection`, and returns where it goes. */
function reserve(connection: number, size: number): number {
  let used = words[0];
  if (RING_HEADER_BYTES + used + SEGMENT_HEADER_BYTES + size > capacity) {
    flush();
    used = words[0];
  }
  let at = RING_HEADER_BYTES + used;
  if (used === 0 || segmentConnection !== connection) {
    dataEnd = -1;
    segmentAt = at;
    segmentConnection = connection;
    view.setUint32(at, connection, true);
    view.setUint32(at + 4, 0, true);
    at += SEGMENT_HEADER_BYTES;
    words[0] = used + SEGMENT_HEADER_BYTES;
  }
  return at;
}

/** Writes the header of the frame that was laid out at `[at, end)` and adds it to the open segment. */
function commit(
  at: number,
  end: number,
  stream: number,
  type: number,
  flags: number,
  status: number,
  head: number,
): void {
  view.setUint32(at, end - at, true);
  view.setUint32(at + 4, stream, true);
  // type, flags and status in one store
  view.setUint32(at + 8, type | (flags << 8) | (status << 16), true);
  view.setUint32(at + 12, head, true);
  view.setUint32(segmentAt + 4, end - segmentAt - SEGMENT_HEADER_BYTES, true);
  words[0] = end - RING_HEADER_BYTES;
}

/**
 * Sends what is there already in mid-turn, if it is much or a millisecond has passed. A turn may run the handlers of a
 * hundred requests: without this the first answer would wait for the last one, and whoever takes them would wait too.
 */
function sendAhead(): void {
  if (words[0] < AHEAD_BYTES) {
    const now = DateNow();
    if (now <= wallAtPoll + AHEAD_MS || now <= sentAheadAt + AHEAD_MS) return;
  }
  flush();
  sentAheadAt = DateNow();
}

/** Writes latin-1 text at `at`; the room must be three times its length. */
function putLatin1(text: string, at: number): number {
  const { length } = text;
  if (codec !== null && length > 8) {
    // ASCII is the same in UTF-8; anything else shows by taking more room, and is written again.
    if (codec.encodeOutput(text, at) === length) return at + length;
  }
  return latin1Encode(text, bytes, at);
}

/** Sends a frame with a head and no data. */
export function sendHead(
  connection: number,
  stream: number,
  type: number,
  flags: number,
  status: number,
  head: string,
): void {
  const at = reserve(connection, FRAME_HEADER_BYTES + 3 * head.length);
  const end = putLatin1(head, at + FRAME_HEADER_BYTES);
  commit(at, end, stream, type, flags, status, end - at - FRAME_HEADER_BYTES);
}

/** Whether `sendHeadAndText` may take a text of `units` UTF-16 units in one frame. */
export const MAX_TEXT_UNITS = (MAX_DATA_BYTES / 3) | 0;

/** Sends a frame with a head and a text in UTF-8, of at most `MAX_TEXT_UNITS`. Returns its size in bytes. */
export function sendHeadAndText(
  connection: number,
  stream: number,
  type: number,
  flags: number,
  status: number,
  head: string,
  text: string,
): number {
  const at = reserve(connection, FRAME_HEADER_BYTES + 3 * (head.length + text.length));
  const split = putLatin1(head, at + FRAME_HEADER_BYTES);
  let end = split;
  if (codec !== null) end += codec.encodeOutput(text, split);
  else {
    const encoded = utf8Encode(text);
    setBytes(bytes, encoded, end);
    end += encoded.length;
  }
  commit(at, end, stream, type, flags, status, split - at - FRAME_HEADER_BYTES);
  sendAhead();
  return end - at;
}

/** Sends a frame with a head and `data`, of at most `MAX_DATA_BYTES`. */
export function sendHeadAndBytes(
  connection: number,
  stream: number,
  type: number,
  flags: number,
  status: number,
  head: string,
  data: Uint8Array,
): void {
  const at = reserve(connection, FRAME_HEADER_BYTES + 3 * head.length + data.length);
  const split = putLatin1(head, at + FRAME_HEADER_BYTES);
  setBytes(bytes, data, split);
  commit(at, split + data.length, stream, type, flags, status, split - at - FRAME_HEADER_BYTES);
  sendAhead();
}

/**
 * Sends `data[start, end)` as DATA: a frame, or more of the one before it. A stream that gives its body in crumbs would
 * otherwise cost everybody on the way a frame for each.
 */
export function sendData(
  connection: number,
  stream: number,
  flags: number,
  data: Uint8Array,
  start: number,
  end: number,
): void {
  const grown = dataEnd + end - start;
  const joins =
    words[0] > 0 &&
    dataEnd === RING_HEADER_BYTES + words[0] &&
    dataStream === stream &&
    segmentConnection === connection;
  if (joins && grown - dataAt <= FRAME_HEADER_BYTES + MAX_DATA_BYTES && grown <= capacity) {
    if (end > start) setBytes(bytes, start === 0 && end === data.length ? data : subarray(data, start, end), dataEnd);
    commit(dataAt, grown, stream, DATA, flags, 0, 0);
  } else {
    sendFramePart(connection, stream, DATA, flags, 0, data, start, end);
    dataAt = RING_HEADER_BYTES + words[0] - FRAME_HEADER_BYTES - (end - start);
  }
  dataEnd = (flags & END) === 0 ? RING_HEADER_BYTES + words[0] : -1;
  dataStream = stream;
  sendAhead();
}

/** Sends a frame without a head whose data is `data[start, end)`. */
export function sendFramePart(
  connection: number,
  stream: number,
  type: number,
  flags: number,
  status: number,
  data: Uint8Array,
  start: number,
  end: number,
): void {
  const at = reserve(connection, FRAME_HEADER_BYTES + end - start);
  if (end > start) {
    setBytes(bytes, start === 0 && end === data.length ? data : subarray(data, start, end), at + FRAME_HEADER_BYTES);
  }
  commit(at, at + FRAME_HEADER_BYTES + end - start, stream, type, flags, status, 0);
}

/** Lets the other side send `credit` more bytes on the stream. */
export function sendWindow(connection: number, stream: number, credit: number): void {
  const at = reserve(connection, FRAME_HEADER_BYTES + 4);
  view.setUint32(at + FRAME_HEADER_BYTES, credit, true);
  commit(at, at + FRAME_HEADER_BYTES + 4, stream, WINDOW, 0, 0, 0);
}

/** As `sendWindow`, and what has not been sent may be written to the memory at `offset`, where the body begins. */
export function sendPlace(connection: number, stream: number, credit: number, offset: number): void {
  const at = reserve(connection, FRAME_HEADER_BYTES + 8);
  view.setUint32(at + FRAME_HEADER_BYTES, credit, true);
  view.setUint32(at + FRAME_HEADER_BYTES + 4, offset, true);
  commit(at, at + FRAME_HEADER_BYTES + 8, stream, PLACE, 0, 0, 0);
}

/** Sends a response's head, whose body of `size` bytes is in the memory at `offset`. */
export function sendPlacedResponse(
  connection: number,
  stream: number,
  status: number,
  head: string,
  size: number,
  offset: number,
): void {
  const at = reserve(connection, FRAME_HEADER_BYTES + 3 * head.length + 8);
  const split = putLatin1(head, at + FRAME_HEADER_BYTES);
  view.setUint32(split, size, true);
  view.setUint32(split + 4, offset, true);
  commit(at, split + 8, stream, RESPONSE, END | PLACED, status, split - at - FRAME_HEADER_BYTES);
  sendAhead();
}

export function sendCancel(connection: number, stream: number, why: string): void {
  sendHead(connection, stream, CANCEL, END, 0, why);
}

/** Sends a frame whose data is text that may be long: what does not fit into one frame is cut off. */
export function sendText(
  connection: number,
  stream: number,
  type: number,
  status: number,
  head: string,
  text: string,
): void {
  sendHeadAndText(connection, stream, type, END, status, head, text.slice(0, min(text.length, MAX_TEXT_UNITS)));
}
