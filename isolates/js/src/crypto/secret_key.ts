/** What AES and HMAC share: keys of random bytes, in the formats raw and jwk. */

import { randomBytes } from '../random.ts';
import type { Format } from './algorithm.ts';
import { type CryptoKey, type KeyAlgorithm, type KeySlots, type KeyUsage, newKey, normalUsages } from './crypto_key.ts';
import { notSupported, requireSomeUsages } from './errors.ts';
import type { Bytes } from './host.ts';
import { checkAlgorithm, checkKey, decodeMember, encodeMember, finishKey, type JsonWebKey } from './jwk.ts';

export function secretSlots(
  algorithm: KeyAlgorithm,
  material: Bytes,
  extractable: boolean,
  usages: readonly KeyUsage[],
): KeySlots {
  return { type: 'secret', extractable, algorithm, usages: normalUsages(usages), material };
}

/** @throws SyntaxError when there are no usages. */
export function generateSecret(
  algorithm: KeyAlgorithm,
  bytes: number,
  extractable: boolean,
  usages: readonly KeyUsage[],
): CryptoKey {
  requireSomeUsages(usages);
  return newKey(secretSlots(algorithm, randomBytes(bytes), extractable, usages));
}

/** The bytes in raw or jwk data; `alg` tells what the member must be, by the size. @throws DataError */
export function secretBytes(
  format: Format,
  data: Bytes | JsonWebKey,
  expected: { use: 'sig' | 'enc'; extractable: boolean; usages: readonly KeyUsage[]; alg(bytes: number): string },
): Bytes {
  if (format === 'raw') return data as Bytes;
  if (format !== 'jwk') throw notSupported(`Secret keys do not have the format ${format}`);
  const key = data as JsonWebKey;
  checkKey(key, { kty: 'oct', ...expected });
  const bytes = decodeMember(key, 'k');
  checkAlgorithm(key, expected.alg(bytes.length));
  return bytes;
}

/** Exports as raw or jwk. @throws NotSupportedError */
export function exportSecret(format: Format, slots: KeySlots, alg: string): Bytes | JsonWebKey {
  if (format === 'raw') return slots.material;
  if (format !== 'jwk') throw notSupported(`Secret keys do not have the format ${format}`);
  return finishKey({ kty: 'oct', k: encodeMember(slots.material), alg }, slots);
}
