/** What RSA, EC and octet key pairs share. */

import {
  type CryptoKeyPair,
  type KeyAlgorithm,
  type KeySlots,
  type KeyType,
  type KeyUsage,
  newKey,
  normalUsages,
  type UsageSet,
  usagesWithin,
} from './crypto_key.ts';
import { invalidAccess, requireSomeUsages, requireUsagesWithin } from './errors.ts';
import type { Bytes, Reply } from './host.ts';

/** The usages that either key of a pair may have. */
export interface PairUsages {
  readonly privateKey: UsageSet;
  readonly publicKey: UsageSet;
}

/** @throws SyntaxError when neither key may have one of the usages. */
export function requirePairUsages(wanted: readonly KeyUsage[], usages: PairUsages): void {
  for (let i = 0; i < wanted.length; i++) {
    if (usages.privateKey[wanted[i]] !== true) requireUsagesWithin([wanted[i]], usages.publicKey);
  }
}

/** @throws SyntaxError when no usage is left for the private key. Checked last, but before the work of generation. */
export function requirePrivateUsages(wanted: readonly KeyUsage[], usages: PairUsages): void {
  requireSomeUsages(usagesWithin(wanted, usages.privateKey));
}

/** The pair of what the host generated: PKCS #8 and SubjectPublicKeyInfo. Public keys are always extractable. */
export function pairOf(
  [privateKey, publicKey]: Reply,
  algorithm: KeyAlgorithm,
  extractable: boolean,
  wanted: readonly KeyUsage[],
  usages: PairUsages,
): CryptoKeyPair {
  return {
    publicKey: newKey({
      type: 'public',
      extractable: true,
      algorithm,
      usages: usagesWithin(wanted, usages.publicKey),
      material: publicKey,
    }),
    privateKey: newKey({
      type: 'private',
      extractable,
      algorithm,
      usages: usagesWithin(wanted, usages.privateKey),
      material: privateKey,
    }),
  };
}

export function pairSlots(
  type: KeyType,
  algorithm: KeyAlgorithm,
  material: Bytes,
  extractable: boolean,
  usages: readonly KeyUsage[],
): KeySlots {
  return { type, extractable, algorithm, usages: normalUsages(usages), material };
}

/** @throws InvalidAccessError */
export function requireType(key: KeySlots, type: KeyType): void {
  if (key.type !== type) throw invalidAccess(`The key is not a ${type} key`);
}
