/** atob and btoa (HTML §8.3, Infra "forgiving-base64"). */

import { latin1Decode, latin1Encode } from './encoding/latin1.ts';
import { DOMException } from './dom_exception.ts';
import { fromBase64, toBase64 } from './late_intrinsics.ts';
import { charCodeAt } from './primordials.ts';
import { requireArguments, toDOMString } from './webidl.ts';

/** The bytes of forgiving base64 as latin-1 text, or null when it is malformed. */
export function base64Decode(text: string): string | null {
  let plain = text.replace(/[\t\n\f\r ]+/g, '');
  if (plain.length % 4 === 0) plain = plain.replace(/={1,2}$/, '');
  if (plain.length % 4 === 1 || !/^[A-Za-z0-9+/]*$/.test(plain)) return null;
  // Surplus bits in the last character are ignored, so it is given as what it stands for.
  const bytes = fromBase64(plain);
  return latin1Decode(bytes, 0, bytes.length);
}

export function atob(data: string): string {
  requireArguments(arguments.length, 1, 'atob');
  const decoded = base64Decode(toDOMString(data));
  if (decoded === null) throw new DOMException('The string is not correctly encoded base64', 'InvalidCharacterError');
  return decoded;
}

export function btoa(data: string): string {
  requireArguments(arguments.length, 1, 'btoa');
  const text = toDOMString(data);
  for (let i = 0; i < text.length; i++) {
    if (charCodeAt(text, i) > 0xff) {
      throw new DOMException('The string holds a character above U+00FF', 'InvalidCharacterError');
    }
  }
  const bytes = new Uint8Array(text.length);
  latin1Encode(text, bytes, 0);
  return toBase64(bytes);
}
