/** What an algorithm offers: the columns of Web Crypto's table of algorithms (§18.2.2), each with its dictionary. */

import type { CryptoKey, CryptoKeyPair, KeySlots, KeyUsage } from './crypto_key.ts';
import type { Bytes } from './host.ts';
import type { Dictionary, Parameters } from './parameters.ts';
import type { JsonWebKey } from './jwk.ts';

export type Format = 'raw' | 'spki' | 'pkcs8' | 'jwk';
type Awaitable<T> = T | Promise<T>;

interface With<Run> {
  readonly parameters: Dictionary;
  readonly run: Run;
}

export type Cipher = With<(parameters: Parameters, key: KeySlots, data: Bytes) => Awaitable<Bytes>>;

/** `data` is a dictionary when `format` is jwk, else bytes. */
export type ImportKey = (
  format: Format,
  data: Bytes | JsonWebKey,
  parameters: Parameters,
  extractable: boolean,
  usages: readonly KeyUsage[],
) => Awaitable<KeySlots>;

export interface Algorithm {
  readonly name: string;
  readonly encrypt?: Cipher;
  readonly decrypt?: Cipher;
  readonly sign?: Cipher;
  readonly verify?: With<(parameters: Parameters, key: KeySlots, signature: Bytes, data: Bytes) => Awaitable<boolean>>;
  readonly digest?: With<(parameters: Parameters, data: Bytes) => Bytes>;
  readonly generateKey?: With<
    (parameters: Parameters, extractable: boolean, usages: readonly KeyUsage[]) => Awaitable<CryptoKey | CryptoKeyPair>
  >;
  /** `length` is in bits, null for all there is. */
  readonly deriveBits?: With<(parameters: Parameters, key: KeySlots, length: number | null) => Awaitable<Bytes>>;
  readonly importKey?: With<ImportKey>;
  readonly exportKey?: (format: Format, key: KeySlots) => Awaitable<Bytes | JsonWebKey>;
  readonly keyLength?: With<(parameters: Parameters) => number | null>;
  readonly wrapKey?: Cipher;
  readonly unwrapKey?: Cipher;
}

/** The operations that take a normalised algorithm. */
export type Operation = Exclude<keyof Algorithm, 'name' | 'exportKey'>;
