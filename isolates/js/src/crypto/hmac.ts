/** HMAC (Web Crypto §31). */

import { sliceBytes } from '../primordials.ts';
import type { Algorithm, ImportKey } from './algorithm.ts';
import { usageSet } from './crypto_key.ts';
import { HASH_BLOCK_BITS } from './digest.ts';
import { dataError, operationError, requireUsagesWithin } from './errors.ts';
import { askOne, HMAC, HMAC_VERIFY } from './host.ts';
import { HMAC_KEY, NONE, type Parameters } from './parameters.ts';
import { exportSecret, generateSecret, secretBytes, secretSlots } from './secret_key.ts';

const USAGES = usageSet('sign', 'verify');
/** More than any use has; a key is made at once. */
const MAX_GENERATED_BITS = 1 << 20;

const alg = (hash: string) => `HS${hash.slice(4)}`;

/** Clears what lies beyond the last bit that counts. */
function trim(bytes: Uint8Array, bits: number): void {
  if (bits % 8 !== 0) bytes[bytes.length - 1] &= 0xff << (8 - (bits % 8));
}

const importKey: ImportKey = (format, data, parameters, extractable, usages) => {
  requireUsagesWithin(usages, USAGES);
  const hash = parameters.hash!;
  let bytes = secretBytes(format, data, { use: 'sig', extractable, usages, alg: () => alg(hash) });
  let length = bytes.length * 8;
  if (length === 0) throw dataError('The key is empty');
  if (parameters.length !== undefined) {
    if (parameters.length > length || parameters.length <= length - 8) {
      throw dataError('length does not fit the size of the key');
    }
    length = parameters.length;
    bytes = sliceBytes(bytes);
    trim(bytes, length);
  }
  return secretSlots({ name: 'HMAC', hash, length }, bytes, extractable, usages);
};

function keyLength({ hash, length }: Parameters): number {
  if (length === undefined) return HASH_BLOCK_BITS[hash!];
  if (length === 0) throw new TypeError('length is zero');
  return length;
}

export const hmacAlgorithm: Algorithm = {
  name: 'HMAC',
  sign: { parameters: NONE, run: (_, key, data) => askOne(HMAC, key.algorithm.hash!, key.material, data) },
  verify: {
    parameters: NONE,
    run: async (_, key, signature, data) =>
      (await askOne(HMAC_VERIFY, key.algorithm.hash!, key.material, signature, data))[0] === 1,
  },
  generateKey: {
    parameters: HMAC_KEY,
    run: ({ hash, length = HASH_BLOCK_BITS[hash!] }, extractable, usages) => {
      requireUsagesWithin(usages, USAGES);
      if (length === 0 || length > MAX_GENERATED_BITS)
        throw operationError(`length is not from 1 to ${MAX_GENERATED_BITS}`);
      return generateSecret({ name: 'HMAC', hash, length }, Math.ceil(length / 8), extractable, usages);
    },
  },
  importKey: { parameters: HMAC_KEY, run: importKey },
  exportKey: (format, key) => exportSecret(format, key, alg(key.algorithm.hash!)),
  keyLength: { parameters: HMAC_KEY, run: keyLength },
};
