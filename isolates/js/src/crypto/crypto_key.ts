/** CryptoKey (Web Crypto §13): what app code sees of a key. Its material is in `KeySlots`, which app code cannot reach. */

import { ObjectCreate, setBytes } from '../primordials.ts';
import { defineInterface, INTERNAL } from '../webidl.ts';
import type { Bytes } from './host.ts';

export type KeyType = 'public' | 'private' | 'secret';
export type KeyUsage = 'encrypt' | 'decrypt' | 'sign' | 'verify' | 'deriveKey' | 'deriveBits' | 'wrapKey' | 'unwrapKey';

export interface KeyAlgorithm {
  readonly name: string;
  /** In bits, of AES and HMAC keys. */
  readonly length?: number;
  readonly hash?: string;
  readonly namedCurve?: string;
  readonly modulusLength?: number;
  readonly publicExponent?: Bytes;
}

/** The internal slots of a key. */
export interface KeySlots {
  readonly type: KeyType;
  readonly extractable: boolean;
  readonly algorithm: KeyAlgorithm;
  /** Without duplicates, in the order of the enumeration. */
  readonly usages: readonly KeyUsage[];
  /** The bytes of a secret key, PKCS #8 of a private one, SubjectPublicKeyInfo of a public one. */
  readonly material: Bytes;
}

/** The object that `CryptoKey.algorithm` shows: app code may change it, the key is not affected. */
function visibleAlgorithm(algorithm: KeyAlgorithm): object {
  const { name, length, hash, namedCurve, modulusLength, publicExponent } = algorithm;
  const shown: Record<string, unknown> = { name };
  if (modulusLength !== undefined) shown.modulusLength = modulusLength;
  if (publicExponent !== undefined) {
    const copy = new Uint8Array(publicExponent.length);
    setBytes(copy, publicExponent);
    shown.publicExponent = copy;
  }
  if (namedCurve !== undefined) shown.namedCurve = namedCurve;
  if (length !== undefined) shown.length = length;
  if (hash !== undefined) shown.hash = { name: hash };
  return shown;
}

export let isCryptoKey: (value: unknown) => value is CryptoKey;
export let slotsOf: (key: CryptoKey) => KeySlots;

export class CryptoKey {
  #slots: KeySlots;
  #algorithm: object | null = null;
  #usages: KeyUsage[] | null = null;

  constructor(token: unknown = undefined, slots: KeySlots | undefined = undefined) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
    this.#slots = slots!;
  }

  get type(): KeyType {
    return this.#slots.type;
  }

  get extractable(): boolean {
    return this.#slots.extractable;
  }

  get algorithm(): object {
    return (this.#algorithm ??= visibleAlgorithm(this.#slots.algorithm));
  }

  get usages(): KeyUsage[] {
    return (this.#usages ??= [...this.#slots.usages]);
  }

  static {
    isCryptoKey = (value): value is CryptoKey => typeof value === 'object' && value !== null && #slots in value;
    slotsOf = (key) => key.#slots;
  }
}

defineInterface(CryptoKey, 'CryptoKey');

export function newKey(slots: KeySlots): CryptoKey {
  return new (CryptoKey as unknown as new (token: symbol, slots: KeySlots) => CryptoKey)(INTERNAL, slots);
}

export interface CryptoKeyPair {
  privateKey: CryptoKey;
  publicKey: CryptoKey;
}

const USAGES: readonly KeyUsage[] = [
  'encrypt',
  'decrypt',
  'sign',
  'verify',
  'deriveKey',
  'deriveBits',
  'wrapKey',
  'unwrapKey',
];

/** A table of the usages, without a prototype. */
export type UsageSet = Readonly<Partial<Record<KeyUsage, true>>>;

export function usageSet(...usages: readonly KeyUsage[]): UsageSet {
  const set = ObjectCreate(null) as Partial<Record<KeyUsage, true>>;
  for (let i = 0; i < usages.length; i++) set[usages[i]] = true;
  return set;
}

const ALL_USAGES = usageSet(...USAGES);

export function isUsage(text: string): text is KeyUsage {
  return ALL_USAGES[text as KeyUsage] === true;
}

/** The usages that are in the set, in the order of the enumeration. */
export function usagesWithin(usages: readonly KeyUsage[], set: UsageSet): KeyUsage[] {
  const given = usageSet(...usages);
  const result: KeyUsage[] = [];
  for (let i = 0; i < USAGES.length; i++) {
    const usage = USAGES[i];
    if (given[usage] === true && set[usage] === true) result[result.length] = usage;
  }
  return result;
}

/** Without duplicates, in the order of the enumeration. */
export function normalUsages(usages: readonly KeyUsage[]): KeyUsage[] {
  return usagesWithin(usages, ALL_USAGES);
}

export function hasUsage(slots: KeySlots, usage: KeyUsage): boolean {
  for (let i = 0; i < slots.usages.length; i++) if (slots.usages[i] === usage) return true;
  return false;
}
