/** What whatwg-url needs of the Encoding standard: UTF-8 alone, since app code gives it no other encoding. */

import { utf8Decode, utf8Encode } from '../encoding/utf8.ts';

export { utf8Encode };

export function utf8DecodeWithoutBOM(bytes: Uint8Array): string {
  return utf8Decode(bytes);
}

const HEX = '0123456789ABCDEF';

/** URL standard "percent-encode after encoding" with UTF-8; `extra` are the printable ASCII characters of the set. */
export function percentEncodeAfterEncoding(encoding: string, input: string, extra: string): string {
  let out = '';
  const bytes = utf8Encode(input);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    const character = String.fromCharCode(byte);
    const keep = byte > 0x1f && byte < 0x7f && !extra.includes(character);
    out += keep ? character : `%${HEX[byte >> 4]}${HEX[byte & 15]}`;
  }
  return out;
}
