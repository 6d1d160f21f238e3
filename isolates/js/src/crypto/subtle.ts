/**
 * The SubtleCrypto interface (Web Crypto §14): conversion of arguments, and the checks of each method in the order that
 * the specification has. What an algorithm does itself is in its own file.
 *
 * Data that is used before anything is awaited is not copied: it goes into the host's buffer in the same turn.
 */

import { hasOwn, sliceBytes } from '../primordials.ts';
import {
  bytesView,
  copyBytes,
  defineInterface,
  INTERNAL,
  isBufferSource,
  requireArguments,
  toDOMString,
} from '../webidl.ts';
import type { Algorithm, Format } from './algorithm.ts';
import {
  type CryptoKey,
  type CryptoKeyPair,
  hasUsage,
  isCryptoKey,
  isUsage,
  type KeySlots,
  type KeyUsage,
  newKey,
  slotsOf,
} from './crypto_key.ts';
import { invalidAccess, notSupported, requireSomeUsages } from './errors.ts';
import type { Bytes } from './host.ts';
import { type JsonWebKey, keyFromBytes, keyToBytes, toJsonWebKey } from './jwk.ts';
import { algorithmNamed, normalize, normalizeEither, type Normalized, toIdentifier } from './registry.ts';
import { toSequence } from './sequence.ts';

const FORMATS: Record<Format, true> = { raw: true, spki: true, pkcs8: true, jwk: true };

// -- conversions of arguments

function toKey(value: unknown, method: string): KeySlots {
  if (!isCryptoKey(value)) throw new TypeError(`SubtleCrypto.${method}: the key is not a CryptoKey`);
  return slotsOf(value);
}

function toBuffer(value: unknown, method: string): ArrayBuffer | ArrayBufferView {
  if (!isBufferSource(value)) throw new TypeError(`SubtleCrypto.${method}: the data is not a buffer`);
  return value;
}

function toFormat(value: unknown): Format {
  const text = toDOMString(value);
  if (!hasOwn(FORMATS, text)) throw new TypeError(`"${text}" is not a format of keys`);
  return text as Format;
}

function toUsage(value: unknown): KeyUsage {
  const text = toDOMString(value);
  if (!isUsage(text)) throw new TypeError(`"${text}" is not a usage of keys`);
  return text;
}

function toUsages(value: unknown): KeyUsage[] {
  return toSequence(value, toUsage, 'keyUsages');
}

// -- checks

/** @throws InvalidAccessError when the key is another algorithm's, or not for this. */
function requireKey(key: KeySlots, name: string, usage: KeyUsage): void {
  if (key.algorithm.name !== name) throw invalidAccess(`The key is one of ${key.algorithm.name}, not ${name}`);
  if (!hasUsage(key, usage)) throw invalidAccess(`The key does not have the usage "${usage}"`);
}

type ExportKey = NonNullable<Algorithm['exportKey']>;

/** @throws NotSupportedError, InvalidAccessError */
function requireExportable(key: KeySlots): ExportKey {
  const { name, exportKey } = algorithmNamed(key.algorithm.name);
  if (exportKey === undefined) throw notSupported(`${name} keys cannot be exported`);
  if (!key.extractable) throw invalidAccess('The key is not extractable');
  return exportKey;
}

/** Imports, and refuses keys that are good for nothing. */
async function importSlots(
  { parameters, run }: Normalized<'importKey'>,
  format: Format,
  data: Bytes | JsonWebKey,
  extractable: boolean,
  usages: readonly KeyUsage[],
): Promise<CryptoKey> {
  const slots = await run(format, data, parameters, extractable, usages);
  if (slots.type !== 'public') requireSomeUsages(slots.usages);
  return newKey(slots);
}

export class SubtleCrypto {
  #brand = true;

  constructor(token: unknown = undefined) {
    if (token !== INTERNAL) throw new TypeError('Illegal constructor');
  }

  async encrypt(algorithm: unknown, key: unknown, data: unknown): Promise<ArrayBuffer> {
    void this.#brand;
    requireArguments(arguments.length, 3, 'SubtleCrypto.encrypt');
    const identifier = toIdentifier(algorithm);
    const slots = toKey(key, 'encrypt');
    const source = toBuffer(data, 'encrypt');
    const { parameters, run } = normalize(identifier, 'encrypt');
    requireKey(slots, parameters.name, 'encrypt');
    return (await run(parameters, slots, bytesView(source))).buffer;
  }

  async decrypt(algorithm: unknown, key: unknown, data: unknown): Promise<ArrayBuffer> {
    void this.#brand;
    requireArguments(arguments.length, 3, 'SubtleCrypto.decrypt');
    const identifier = toIdentifier(algorithm);
    const slots = toKey(key, 'decrypt');
    const source = toBuffer(data, 'decrypt');
    const { parameters, run } = normalize(identifier, 'decrypt');
    requireKey(slots, parameters.name, 'decrypt');
    return (await run(parameters, slots, bytesView(source))).buffer;
  }

  async sign(algorithm: unknown, key: unknown, data: unknown): Promise<ArrayBuffer> {
    void this.#brand;
    requireArguments(arguments.length, 3, 'SubtleCrypto.sign');
    const identifier = toIdentifier(algorithm);
    const slots = toKey(key, 'sign');
    const source = toBuffer(data, 'sign');
    const { parameters, run } = normalize(identifier, 'sign');
    requireKey(slots, parameters.name, 'sign');
    return (await run(parameters, slots, bytesView(source))).buffer;
  }

  async verify(algorithm: unknown, key: unknown, signature: unknown, data: unknown): Promise<boolean> {
    void this.#brand;
    requireArguments(arguments.length, 4, 'SubtleCrypto.verify');
    const identifier = toIdentifier(algorithm);
    const slots = toKey(key, 'verify');
    const signed = toBuffer(signature, 'verify');
    const source = toBuffer(data, 'verify');
    const { parameters, run } = normalize(identifier, 'verify');
    requireKey(slots, parameters.name, 'verify');
    return run(parameters, slots, bytesView(signed), bytesView(source));
  }

  async digest(algorithm: unknown, data: unknown): Promise<ArrayBuffer> {
    void this.#brand;
    requireArguments(arguments.length, 2, 'SubtleCrypto.digest');
    const identifier = toIdentifier(algorithm);
    const source = toBuffer(data, 'digest');
    const { parameters, run } = normalize(identifier, 'digest');
    return run(parameters, bytesView(source)).buffer;
  }

  async generateKey(algorithm: unknown, extractable: unknown, keyUsages: unknown): Promise<CryptoKey | CryptoKeyPair> {
    void this.#brand;
    requireArguments(arguments.length, 3, 'SubtleCrypto.generateKey');
    const identifier = toIdentifier(algorithm);
    const usages = toUsages(keyUsages);
    const { parameters, run } = normalize(identifier, 'generateKey');
    return run(parameters, Boolean(extractable), usages);
  }

  async deriveKey(
    algorithm: unknown,
    baseKey: unknown,
    derivedKeyType: unknown,
    extractable: unknown,
    keyUsages: unknown,
  ): Promise<CryptoKey> {
    void this.#brand;
    requireArguments(arguments.length, 5, 'SubtleCrypto.deriveKey');
    const identifier = toIdentifier(algorithm);
    const base = toKey(baseKey, 'deriveKey');
    const derived = toIdentifier(derivedKeyType);
    const usages = toUsages(keyUsages);
    const { parameters, run } = normalize(identifier, 'deriveBits');
    const importing = normalize(derived, 'importKey');
    const measuring = normalize(derived, 'keyLength');
    requireKey(base, parameters.name, 'deriveKey');
    const secret = await run(parameters, base, measuring.run(measuring.parameters));
    return importSlots(importing, 'raw', secret, Boolean(extractable), usages);
  }

  async deriveBits(algorithm: unknown, baseKey: unknown, length: unknown = null): Promise<ArrayBuffer> {
    void this.#brand;
    requireArguments(arguments.length, 2, 'SubtleCrypto.deriveBits');
    const identifier = toIdentifier(algorithm);
    const base = toKey(baseKey, 'deriveBits');
    const bits = length === null ? null : Number(length) >>> 0;
    const { parameters, run } = normalize(identifier, 'deriveBits');
    requireKey(base, parameters.name, 'deriveBits');
    return (await run(parameters, base, bits)).buffer;
  }

  async importKey(
    format: unknown,
    keyData: unknown,
    algorithm: unknown,
    extractable: unknown,
    keyUsages: unknown,
  ): Promise<CryptoKey> {
    void this.#brand;
    requireArguments(arguments.length, 5, 'SubtleCrypto.importKey');
    const form = toFormat(format);
    const isBuffer = isBufferSource(keyData);
    const jwk = isBuffer ? null : toJsonWebKey(keyData);
    const identifier = toIdentifier(algorithm);
    const usages = toUsages(keyUsages);
    const importing = normalize(identifier, 'importKey');
    if (isBuffer === (form === 'jwk')) {
      throw new TypeError(`Key data of the format ${form} is ${isBuffer ? 'an object' : 'a buffer'}`);
    }
    const data = isBuffer ? copyBytes(keyData) : jwk!;
    return importSlots(importing, form, data, Boolean(extractable), usages);
  }

  async exportKey(format: unknown, key: unknown): Promise<ArrayBuffer | JsonWebKey> {
    void this.#brand;
    requireArguments(arguments.length, 2, 'SubtleCrypto.exportKey');
    const form = toFormat(format);
    const slots = toKey(key, 'exportKey');
    const exported = await requireExportable(slots)(form, slots);
    return form === 'jwk' ? (exported as JsonWebKey) : sliceBytes(exported as Bytes).buffer;
  }

  async wrapKey(format: unknown, key: unknown, wrappingKey: unknown, wrapAlgorithm: unknown): Promise<ArrayBuffer> {
    void this.#brand;
    requireArguments(arguments.length, 4, 'SubtleCrypto.wrapKey');
    const form = toFormat(format);
    const slots = toKey(key, 'wrapKey');
    const wrapping = toKey(wrappingKey, 'wrapKey');
    const { parameters, run } = normalizeEither(toIdentifier(wrapAlgorithm), 'wrapKey', 'encrypt');
    requireKey(wrapping, parameters.name, 'wrapKey');
    const exported = await requireExportable(slots)(form, slots);
    const bytes = form === 'jwk' ? keyToBytes(exported as JsonWebKey) : (exported as Bytes);
    return (await run(parameters, wrapping, bytes)).buffer;
  }

  async unwrapKey(
    format: unknown,
    wrappedKey: unknown,
    unwrappingKey: unknown,
    unwrapAlgorithm: unknown,
    unwrappedKeyAlgorithm: unknown,
    extractable: unknown,
    keyUsages: unknown,
  ): Promise<CryptoKey> {
    void this.#brand;
    requireArguments(arguments.length, 7, 'SubtleCrypto.unwrapKey');
    const form = toFormat(format);
    const wrapped = toBuffer(wrappedKey, 'unwrapKey');
    const unwrapping = toKey(unwrappingKey, 'unwrapKey');
    const identifier = toIdentifier(unwrapAlgorithm);
    const keyIdentifier = toIdentifier(unwrappedKeyAlgorithm);
    const usages = toUsages(keyUsages);
    const { parameters, run } = normalizeEither(identifier, 'unwrapKey', 'decrypt');
    const importing = normalize(keyIdentifier, 'importKey');
    requireKey(unwrapping, parameters.name, 'unwrapKey');
    const bytes = await run(parameters, unwrapping, bytesView(wrapped));
    const data = form === 'jwk' ? keyFromBytes(bytes) : bytes;
    return importSlots(importing, form, data, Boolean(extractable), usages);
  }
}

defineInterface(SubtleCrypto, 'SubtleCrypto');

/** The only one: `crypto.subtle`. */
export function newSubtleCrypto(): SubtleCrypto {
  return new SubtleCrypto(INTERNAL);
}
