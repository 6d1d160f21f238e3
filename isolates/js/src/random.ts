/** Random bytes from the host, fetched in advance in larger pieces: a call into the host costs microseconds. */

import { fillRandom } from './native.ts';
import { setBytes, subarray } from './primordials.ts';

const pool = new Uint8Array(4096);
let left = 0;

/** Fills `target`. */
export function getRandom(target: Uint8Array): void {
  if (target.length > 256) {
    fillRandom(target);
    return;
  }
  if (left < target.length) {
    fillRandom(pool);
    left = pool.length;
  }
  const at = left - target.length;
  setBytes(target, subarray(pool, at, left));
  pool.fill(0, at, left); // what was handed out is not kept
  left = at;
}

export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  getRandom(bytes);
  return bytes;
}
