/** Arrays that came from one side, went to the other, and are garbage now. */

import { collectYoung } from './native.ts';

/**
 * V8 would not look for dead arrays before there are 64 MB. With so much, each new array is in memory that no cache
 * holds, or that the kernel has to give first (`isolates/spare_memory.py`). A collection takes some 0.1 ms.
 */
const COLLECT_BYTES = 4 << 20;

let passed = 0;

/** So many bytes in arrays of their own went through. */
export function passedThrough(bytes: number): void {
  passed += bytes;
  if (passed < COLLECT_BYTES) return;
  passed = 0;
  collectYoung();
}
