/** AES-CTR, AES-CBC, AES-GCM and AES-KW (Web Crypto §27–§30). */

import type { Algorithm, Cipher, ImportKey } from './algorithm.ts';
import { type KeySlots, type UsageSet, usageSet } from './crypto_key.ts';
import { dataError, operationError, requireUsagesWithin } from './errors.ts';
import { askOne, type Bytes, CBC, CTR, DECRYPT, ENCRYPT, GCM, KEY_WRAP } from './host.ts';
import { AES_CBC, AES_CTR, AES_GCM, AES_KEY, type Dictionary, NONE, type Parameters } from './parameters.ts';
import { exportSecret, generateSecret, secretBytes, secretSlots } from './secret_key.ts';

const BLOCK_BYTES = 16;
const DEFAULT_TAG_BITS = 128;
const CIPHER_USAGES = usageSet('encrypt', 'decrypt', 'wrapKey', 'unwrapKey');
const WRAP_USAGES = usageSet('wrapKey', 'unwrapKey');

function isKeyLength(bits: number): boolean {
  return bits === 128 || bits === 192 || bits === 256;
}

/** Everything about keys, which is the same for all modes. */
function keys(name: string, usages: UsageSet): Algorithm {
  const alg = (bytes: number) => `A${bytes * 8}${name.slice(4)}`;
  const length = (parameters: Parameters): number => {
    if (!isKeyLength(parameters.length!)) throw operationError('AES keys have 128, 192 or 256 bits');
    return parameters.length!;
  };
  const importKey: ImportKey = (format, data, _, extractable, wanted) => {
    requireUsagesWithin(wanted, usages);
    const bytes = secretBytes(format, data, { use: 'enc', extractable, usages: wanted, alg });
    if (!isKeyLength(bytes.length * 8)) throw dataError('AES keys have 128, 192 or 256 bits');
    return secretSlots({ name, length: bytes.length * 8 }, bytes, extractable, wanted);
  };
  return {
    name,
    generateKey: {
      parameters: AES_KEY,
      run: (parameters, extractable, wanted) => {
        requireUsagesWithin(wanted, usages);
        const bits = length(parameters);
        return generateSecret({ name, length: bits }, bits / 8, extractable, wanted);
      },
    },
    importKey: { parameters: NONE, run: importKey },
    exportKey: (format, key) => exportSecret(format, key, alg(key.material.length)),
    keyLength: { parameters: AES_KEY, run: length },
  };
}

/** One mode, from its function for a direction. */
function mode(
  name: string,
  parameters: Dictionary,
  run: (direction: number, parameters: Parameters, key: KeySlots, data: Bytes) => Promise<Bytes>,
): Algorithm {
  const cipher = (direction: number): Cipher => ({
    parameters,
    run: (given, key, data) => run(direction, given, key, data),
  });
  return { ...keys(name, CIPHER_USAGES), encrypt: cipher(ENCRYPT), decrypt: cipher(DECRYPT) };
}

const cbc = mode('AES-CBC', AES_CBC, async (direction, { iv }, key, data) => {
  if (iv!.length !== BLOCK_BYTES) throw operationError('iv does not have 16 bytes');
  return askOne(CBC, direction, key.material, iv!, data);
});

const ctr = mode('AES-CTR', AES_CTR, async (_, { counter, length }, key, data) => {
  if (counter!.length !== BLOCK_BYTES) throw operationError('counter does not have 16 bytes');
  if (length === 0 || length! > 128) throw operationError('length is not from 1 to 128');
  return askOne(CTR, key.material, counter!, length!, data);
});

function isTagLength(bits: number): boolean {
  return bits === 32 || bits === 64 || (bits >= 96 && bits <= 128 && bits % 8 === 0);
}

const gcm = mode('AES-GCM', AES_GCM, async (direction, { iv, additionalData, tagLength }, key, data) => {
  const bits = tagLength ?? DEFAULT_TAG_BITS;
  if (!isTagLength(bits)) throw operationError('tagLength is not one of 32, 64, 96, 104, 112, 120 and 128');
  return askOne(GCM, direction, key.material, iv!, additionalData ?? new Uint8Array(0), bits, data);
});

const wrap = (direction: number): Cipher => ({
  parameters: NONE,
  run: (_, key, data) => askOne(KEY_WRAP, direction, key.material, data),
});

const kw: Algorithm = { ...keys('AES-KW', WRAP_USAGES), wrapKey: wrap(ENCRYPT), unwrapKey: wrap(DECRYPT) };

export const aesAlgorithms: Algorithm[] = [cbc, ctr, gcm, kw];
