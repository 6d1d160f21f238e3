/**
 * The JavaScript half of the ring, inward: the host fills the input buffer at every poll.
 *
 * Header (64 bytes): u32[0] bytes of segments, u32[1] flags (bit 0 leave the loop, bit 1 the host is draining), f64 at 8
 * the wall clock in ms, f64 at 16 the monotonic clock in ms. A segment is u32 connection, u32 bytes, then whole frames;
 * one without bytes says that the connection is closed. The buffer is overwritten at the next poll: what is to be
 * kept must be copied or decoded within the turn.
 */

import { latin1Decode } from '../encoding/latin1.ts';
import { setClock } from '../clock.ts';
import { setBytes, sliceBytes, subarray } from '../primordials.ts';
import { type NativeCodec, RING_HEADER_BYTES } from './memory.ts';
import { FRAME_HEADER_BYTES } from './output.ts';

export const LEAVE = 1;
export const DRAINING = 2;

let bytes = new Uint8Array(0);
let view = new DataView(new ArrayBuffer(0));
let words = new Uint32Array(0);
let doubles = new Float64Array(0);
let codec: NativeCodec | null = null;

/** One side of the ring's streams: what takes the frames of a connection. */
export interface FrameReceiver {
  /** `at` is where the head starts; `split` and `end` are where the data starts and ends. */
  frame(
    connection: number,
    stream: number,
    type: number,
    flags: number,
    status: number,
    at: number,
    split: number,
    end: number,
  ): void;
  closed(connection: number): void;
}

/** Called at boot. */
export function useInput(buffer: ArrayBuffer, nativeCodec: NativeCodec | null): void {
  bytes = new Uint8Array(buffer);
  view = new DataView(buffer);
  words = new Uint32Array(buffer, 0, RING_HEADER_BYTES / 4);
  doubles = new Float64Array(buffer, 0, RING_HEADER_BYTES / 8);
  codec = nativeCodec;
}

let turns = 0;

/** Tells turns of the loop apart. */
export function turnNumber(): number {
  return turns;
}

/** Takes over the clocks and returns the flags. Begins a turn. */
export function readHeader(): number {
  turns++;
  setClock(doubles[1], doubles[2]);
  return words[1];
}

/** Hands every frame of the turn to the receiver of its connection; `failed` gets what a receiver throws. */
export function readSegments(
  receiverOf: (connection: number) => FrameReceiver,
  failed: (error: unknown) => void,
): void {
  const end = RING_HEADER_BYTES + words[0];
  let at = RING_HEADER_BYTES;
  while (at < end) {
    const connection = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    at += 8;
    const receiver = receiverOf(connection);
    if (size === 0) {
      receiver.closed(connection);
      continue;
    }
    const segmentEnd = at + size;
    while (at < segmentEnd) {
      const frameEnd = at + view.getUint32(at, true);
      const kind = view.getUint32(at + 8, true);
      const split = at + FRAME_HEADER_BYTES + view.getUint32(at + 12, true);
      const stream = view.getUint32(at + 4, true);
      const type = kind & 0xff;
      const flags = (kind >>> 8) & 0xff;
      try {
        receiver.frame(connection, stream, type, flags, kind >>> 16, at + FRAME_HEADER_BYTES, split, frameEnd);
      } catch (error) {
        failed(error);
      }
      at = frameEnd;
    }
  }
  words[0] = 0;
}

/** The latin-1 text at `[at, end)`. */
export function readLatin1(at: number, end: number): string {
  if (codec !== null) {
    const text = codec.decodeInputStrict(at, end - at);
    // The same number of units as bytes: it is ASCII, where UTF-8 and latin-1 agree.
    if (text !== null && text.length === end - at) return text;
  }
  return latin1Decode(bytes, at, end);
}

/** A copy of the bytes at `[at, end)`. */
export function readBytes(at: number, end: number): Uint8Array<ArrayBuffer> {
  return sliceBytes(bytes, at, end);
}

/** Copies the bytes at `[at, end)` into `target` from `offset` on. */
export function copyBytes(at: number, end: number, target: Uint8Array, offset: number): void {
  setBytes(target, subarray(bytes, at, end), offset);
}

/**
 * The bytes at `[at, end)` as text if they are UTF-8, else a copy of them. Text is ten times cheaper to make than an
 * array, and gives the same bytes back.
 */
export function readTextOrBytes(at: number, end: number): string | Uint8Array<ArrayBuffer> {
  if (codec !== null) {
    const text = codec.decodeInputStrict(at, end - at);
    if (text !== null) return text;
  }
  return sliceBytes(bytes, at, end);
}

export function readUint32(at: number): number {
  return view.getUint32(at, true);
}
