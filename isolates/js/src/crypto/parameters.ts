/**
 * The dictionaries of Web Crypto: how members of an algorithm object are converted (Web IDL) and normalised (§18.4.4).
 * Members are read in the order in which they stand here, which is the lexicographical one that Web IDL asks for.
 */

import { typedArrayTag } from '../primordials.ts';
import { copyBytes, isBufferSource, isObject, toDOMString, toEnforcedInteger } from '../webidl.ts';
import { isCryptoKey, type KeySlots, slotsOf } from './crypto_key.ts';
import type { Bytes } from './host.ts';

/** A normalised algorithm. Which members are there depends on its dictionary. */
export interface Parameters {
  name: string;
  additionalData?: Bytes;
  context?: Bytes;
  counter?: Bytes;
  hash?: string;
  info?: Bytes;
  iterations?: number;
  iv?: Bytes;
  label?: Bytes;
  length?: number;
  modulusLength?: number;
  namedCurve?: string;
  public?: KeySlots;
  publicExponent?: Bytes;
  salt?: Bytes;
  saltLength?: number;
  tagLength?: number;
}

type Member = keyof Parameters;
type Convert = (value: unknown, what: string) => unknown;

export interface Dictionary {
  readonly members: readonly (readonly [name: Member, convert: Convert, required: boolean])[];
}

function buffer(value: unknown, what: string): Bytes {
  if (!isBufferSource(value)) throw new TypeError(`${what} is not a buffer`);
  return copyBytes(value);
}

function bigInteger(value: unknown, what: string): Bytes {
  if (typedArrayTag(value) !== 'Uint8Array') throw new TypeError(`${what} is not a Uint8Array`);
  return copyBytes(value as Uint8Array);
}

const octet: Convert = (value) => toEnforcedInteger(value, 0xff);
const unsignedShort: Convert = (value) => toEnforcedInteger(value, 0xffff);
const unsignedLong: Convert = (value) => toEnforcedInteger(value, 0xffff_ffff);
const text: Convert = (value) => toDOMString(value);

function key(value: unknown, what: string): KeySlots {
  if (!isCryptoKey(value)) throw new TypeError(`${what} is not a CryptoKey`);
  return slotsOf(value);
}

/** HashAlgorithmIdentifier: left as it is here, the caller normalises it after all members are converted. */
const hash: Convert = (value) => (isObject(value) ? value : toDOMString(value));

const dictionary = (...members: Dictionary['members']): Dictionary => ({ members });

export const NONE = dictionary();
export const AES_CBC = dictionary(['iv', buffer, true]);
export const AES_CTR = dictionary(['counter', buffer, true], ['length', octet, true]);
export const AES_GCM = dictionary(['additionalData', buffer, false], ['iv', buffer, true], ['tagLength', octet, false]);
export const AES_KEY = dictionary(['length', unsignedShort, true]);
export const CONTEXT = dictionary(['context', buffer, false]);
export const EC_KEY = dictionary(['namedCurve', text, true]);
export const ECDH = dictionary(['public', key, true]);
export const HASHED = dictionary(['hash', hash, true]);
export const HKDF_PARAMETERS = dictionary(['hash', hash, true], ['info', buffer, true], ['salt', buffer, true]);
export const HMAC_KEY = dictionary(['hash', hash, true], ['length', unsignedLong, false]);
export const PBKDF2_PARAMETERS = dictionary(
  ['hash', hash, true],
  ['iterations', unsignedLong, true],
  ['salt', buffer, true],
);
export const RSA_OAEP = dictionary(['label', buffer, false]);
export const RSA_PSS = dictionary(['saltLength', unsignedLong, true]);
/** RsaHashedKeyGenParams: its own member comes after those that it inherits. */
export const RSA_KEY = dictionary(
  ['modulusLength', unsignedLong, true],
  ['publicExponent', bigInteger, true],
  ['hash', hash, true],
);

/** Converts the members, besides the name. @throws TypeError */
export function convertMembers(algorithm: object, { members }: Dictionary, into: Parameters): void {
  const source = algorithm as Record<string, unknown>;
  const target = into as unknown as Record<string, unknown>;
  for (let i = 0; i < members.length; i++) {
    const member = members[i];
    const name = member[0];
    const value = source[name];
    if (value !== undefined) target[name] = member[1](value, `${into.name}: ${name}`);
    else if (member[2]) throw new TypeError(`${into.name}: the algorithm has no ${name}`);
  }
}
