/** Web Crypto: random values and digests. Everything else of SubtleCrypto is refused with NotSupportedError. */

import { DOMException } from './dom_exception.ts';
import { toHex } from './late_intrinsics.ts';
import { digest } from './native.ts';
import { getRandom, randomBytes } from './random.ts';
import { typedArrayByteLength, typedArrayTag } from './primordials.ts';
import { bytesView, defineInterface, INTERNAL, isBufferSource, isObject, requireArguments } from './webidl.ts';

const DIGESTS: Record<string, number> = { 'SHA-1': 1, 'SHA-256': 256, 'SHA-384': 384, 'SHA-512': 512 };
const MAX_RANDOM_BYTES = 65_536;

function digestAlgorithm(algorithm: unknown): number {
  const name = isObject(algorithm) ? (algorithm as { name?: unknown }).name : algorithm;
  if (isObject(algorithm) && name === undefined) throw new TypeError('The algorithm has no name');
  const bits = DIGESTS[`${name as string}`.toUpperCase()];
  if (bits === undefined) throw new DOMException(`Unrecognized algorithm name: ${name as string}`, 'NotSupportedError');
  return bits;
}

export class SubtleCrypto {
  #brand = true;

  constructor(token?: unknown) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
  }

  async digest(algorithm: unknown, data: unknown): Promise<ArrayBuffer> {
    void this.#brand;
    requireArguments(arguments.length, 2, 'SubtleCrypto.digest');
    if (!isBufferSource(data)) throw new TypeError('The data is not a buffer');
    const bits = digestAlgorithm(algorithm);
    return digest(bits, bytesView(data)).buffer;
  }
}

for (const name of [
  'encrypt',
  'decrypt',
  'sign',
  'verify',
  'generateKey',
  'deriveKey',
  'deriveBits',
  'importKey',
  'exportKey',
  'wrapKey',
  'unwrapKey',
]) {
  const method = {
    async [name](): Promise<never> {
      throw new DOMException(`crypto.subtle.${name} is not supported`, 'NotSupportedError');
    },
  }[name];
  Object.defineProperty(SubtleCrypto.prototype, name, { value: method, writable: true, configurable: true });
}

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
  #subtle = new SubtleCrypto(INTERNAL);

  constructor(token?: unknown) {
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

export class CryptoKey {
  constructor() {
    throw new TypeError('Illegal constructor');
  }
}

defineInterface(SubtleCrypto, 'SubtleCrypto');
defineInterface(Crypto, 'Crypto');
defineInterface(CryptoKey, 'CryptoKey');

export const crypto = new Crypto(INTERNAL);
