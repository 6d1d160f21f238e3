/**
 * Memory for the bytes of large bodies that an app gives as an array: they are copied when the body is made, since the
 * app may go on writing to its array, and the copy is over once it was sent. V8 gives the memory of a dead array back to
 * the kernel, and a page that is touched for the first time costs as much as copying ten: a copy of 1 MB takes 1 ms in
 * new memory and 0.1 ms in memory that was used before.
 *
 * Whoever borrows must know that nobody else refers to the copy when it gives it back, or not give it back.
 */

import { setBytes, sliceBytes, subarray, typedArrayBuffer, Uint8ArrayCtor } from '../primordials.ts';

/** What is smaller comes from memory that is in use anyway. */
const LEAST_BYTES = 128 << 10;
const MOST_BYTES = 2 << 20;
/** So much is kept for later, at most. */
const KEPT_BYTES = 8 << 20;
const GRAIN_BYTES = 64 << 10;

const kept: Uint8Array<ArrayBuffer>[] = [];
let keptBytes = 0;

/** Whether `copyOf` puts so many bytes into memory that is to be given back. */
export function isBorrowed(size: number): boolean {
  return size >= LEAST_BYTES && size <= MOST_BYTES;
}

/** A copy of `bytes`. */
export function copyOf(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const { length } = bytes;
  if (!isBorrowed(length)) return sliceBytes(bytes);
  const copy = subarray(take(length), 0, length);
  setBytes(copy, bytes);
  return copy;
}

/** Takes back what `copyOf` gave, if it was borrowed. */
export function giveBack(copy: Uint8Array): void {
  const whole = new Uint8ArrayCtor(typedArrayBuffer(copy));
  if (keptBytes + whole.length > KEPT_BYTES) return;
  keptBytes += whole.length;
  kept[kept.length] = whole;
}

/** Memory of at least `size` bytes, and at most twice that. */
function take(size: number): Uint8Array<ArrayBuffer> {
  const last = kept.length - 1;
  for (let at = last; at >= 0; at--) {
    const whole = kept[at];
    if (whole.length < size || whole.length > 2 * size + GRAIN_BYTES) continue;
    kept[at] = kept[last];
    kept.length = last;
    keptBytes -= whole.length;
    return whole;
  }
  return new Uint8ArrayCtor(Math.ceil(size / GRAIN_BYTES) * GRAIN_BYTES);
}
