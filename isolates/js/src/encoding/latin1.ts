/** Isomorphic decoding and encoding: one byte is one UTF-16 unit. Heads on the ring are in it. */

import { charCodeAt, fromCharCode } from '../primordials.ts';

export function latin1Decode(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (; end - start >= 8; start += 8) {
    text += fromCharCode(
      bytes[start],
      bytes[start + 1],
      bytes[start + 2],
      bytes[start + 3],
      bytes[start + 4],
      bytes[start + 5],
      bytes[start + 6],
      bytes[start + 7],
    );
  }
  for (; start < end; start++) text += fromCharCode(bytes[start]);
  return text;
}

/** Writes the low byte of every unit; the room must be `text.length`. Returns the offset after the last byte. */
export function latin1Encode(text: string, target: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) target[at++] = charCodeAt(text, i);
  return at;
}
