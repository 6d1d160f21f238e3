/**
 * Memory for the bytes of responses that an app gives as an array. They are copied when the response is made, since the
 * app may go on writing to its array, and the copy is over once it was sent. Making an array for each costs more than
 * the copy. What does not fit into the window is copied to a block instead (`borrowBlock`).
 *
 * Who gives a copy back must know that nobody else refers to it.
 */

import { setBytes, subarray, Uint8ArrayCtor } from '../primordials.ts';
import { WINDOW_BYTES } from '../ring/output.ts';

/** Smaller ones are cheap to make. */
const LEAST_BYTES = 512;
const MOST_BYTES = WINDOW_BYTES;
/** So much is kept for later, at most. */
const KEPT_BYTES = 4 << 20;
const MOST_KEPT = 64;

/** In the order in which they came back. */
const kept: Uint8Array<ArrayBuffer>[] = [];
let keptBytes = 0;

/** Memory for a copy of so many bytes: at least as much, and at most twice that. Null if it is not worth the while. */
export function borrow(size: number): Uint8Array<ArrayBuffer> | null {
  if (size < LEAST_BYTES || size > MOST_BYTES) return null;
  for (let at = kept.length - 1; at >= 0; at--) {
    const { length } = kept[at];
    if (length >= size && length <= 2 * size) return take(at);
  }
  return new Uint8ArrayCtor(size);
}

/** A copy of `bytes` in `memory`. */
export function copyInto(memory: Uint8Array<ArrayBuffer>, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  setBytes(memory, bytes);
  return memory.length === bytes.length ? memory : subarray(memory, 0, bytes.length);
}

/** Takes back what `borrow` gave. What has been here longest goes, if that is too much. */
export function giveBack(memory: Uint8Array<ArrayBuffer>): void {
  keptBytes += memory.length;
  kept[kept.length] = memory;
  while (keptBytes > KEPT_BYTES || kept.length > MOST_KEPT) take(0);
}

function take(at: number): Uint8Array<ArrayBuffer> {
  const memory = kept[at];
  const last = kept.length - 1;
  for (let i = at; i < last; i++) kept[i] = kept[i + 1];
  kept.length = last;
  keptBytes -= memory.length;
  return memory;
}
