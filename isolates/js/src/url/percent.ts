/** Percent-decoding (URL standard §1.3), of data: URLs and of the urlencoded format. */

import { utf8Encode } from '../encoding/utf8.ts';
import { subarray } from '../primordials.ts';

export const PLUS = 0x2b;
export const SPACE = 0x20;
export const PERCENT = 0x25;

/** The bytes that `text` stands for; `plus` is what a plus sign means. */
export function percentDecode(text: string, plus: number = PLUS): Uint8Array<ArrayBuffer> {
  const bytes = utf8Encode(text);
  let out = 0;
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i];
    if (byte === PLUS) byte = plus;
    else if (byte === PERCENT && i + 2 < bytes.length) {
      const high = hexDigit(bytes[i + 1]);
      const low = hexDigit(bytes[i + 2]);
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        i += 2;
      }
    }
    bytes[out++] = byte;
  }
  return subarray(bytes, 0, out);
}

/** The value of an ASCII hex digit, -1 for any other byte. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
