/** The Crypto interface (Web Crypto §10): random values, and where `subtle` is found. */

import { DOMException } from '../dom_exception.ts';
import { toHex } from '../late_intrinsics.ts';
import { getRandom, randomBytes } from '../random.ts';
import { typedArrayByteLength, typedArrayTag } from '../primordials.ts';
import { bytesView, defineInterface, INTERNAL, requireArguments } from '../webidl.ts';
import { newSubtleCrypto, type SubtleCrypto } from './subtle.ts';

const MAX_RANDOM_BYTES = 65_536;

const INTEGER_ARRAYS = new Set([
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'BigInt64Array',
  'BigUint64Array',
]);

export class Crypto {
  #subtle = newSubtleCrypto();

  constructor(token: unknown = undefined) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
  }

  get subtle(): SubtleCrypto {
    return this.#subtle;
  }

  getRandomValues<T extends ArrayBufferView>(array: T): T {
    void this.#subtle;
    requireArguments(arguments.length, 1, 'Crypto.getRandomValues');
    const tag = typedArrayTag(array);
    if (!INTEGER_ARRAYS.has(tag ?? '')) {
      if (ArrayBuffer.isView(array)) throw new DOMException('Not an array of integers', 'TypeMismatchError');
      throw new TypeError('The argument is not a typed array');
    }
    if (typedArrayByteLength(array) > MAX_RANDOM_BYTES) {
      throw new DOMException(`More than ${MAX_RANDOM_BYTES} random bytes were asked for`, 'QuotaExceededError');
    }
    getRandom(bytesView(array));
    return array;
  }

  randomUUID(): string {
    void this.#subtle;
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = toHex(bytes);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }
}

defineInterface(Crypto, 'Crypto');

export const crypto = new Crypto(INTERNAL);
