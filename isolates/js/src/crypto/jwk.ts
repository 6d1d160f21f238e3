/** JSON Web Keys (RFC 7517): the JsonWebKey dictionary, and the checks that importing all kinds of keys shares. */

import { utf8Decode, utf8Encode } from '../encoding/utf8.ts';
import { fromBase64, toBase64 } from '../late_intrinsics.ts';
import { charCodeAt, JSONParse, JSONStringify, ObjectCreate, ObjectSetPrototypeOf } from '../primordials.ts';
import { isObject, toDOMString } from '../webidl.ts';
import type { KeySlots, KeyUsage } from './crypto_key.ts';
import { dataError } from './errors.ts';
import type { Bytes } from './host.ts';
import { toSequence } from './sequence.ts';

export interface JsonWebKey {
  alg?: string;
  crv?: string;
  d?: string;
  dp?: string;
  dq?: string;
  e?: string;
  ext?: boolean;
  k?: string;
  key_ops?: string[];
  kty?: string;
  n?: string;
  oth?: unknown[];
  p?: string;
  q?: string;
  qi?: string;
  use?: string;
  x?: string;
  y?: string;
}

const MEMBERS: readonly (keyof JsonWebKey)[] = [
  'alg',
  'crv',
  'd',
  'dp',
  'dq',
  'e',
  'ext',
  'k',
  'key_ops',
  'kty',
  'n',
  'oth',
  'p',
  'q',
  'qi',
  'use',
  'x',
  'y',
];

/** Web IDL's conversion to the dictionary. @throws TypeError */
export function toJsonWebKey(value: unknown): JsonWebKey {
  const key = ObjectCreate(null) as Record<string, unknown>;
  if (value === undefined || value === null) return key;
  if (!isObject(value)) throw new TypeError('The key data is neither a buffer nor an object');
  for (let i = 0; i < MEMBERS.length; i++) {
    const name = MEMBERS[i];
    const member = (value as Record<string, unknown>)[name];
    if (member === undefined) continue;
    if (name === 'ext') key[name] = Boolean(member);
    else if (name === 'key_ops') key[name] = toSequence(member, toDOMString, 'key_ops');
    else if (name === 'oth') key[name] = toSequence(member, toOtherPrime, 'oth');
    else key[name] = toDOMString(member);
  }
  return key;
}

function toOtherPrime(value: unknown): object {
  if (value !== undefined && value !== null && !isObject(value))
    throw new TypeError('A member of oth is not an object');
  return {};
}

/** The bytes of a member. @throws DataError when it is missing, or not base64url without padding. */
export function decodeMember(
  key: JsonWebKey,
  name: 'd' | 'dp' | 'dq' | 'e' | 'k' | 'n' | 'p' | 'q' | 'qi' | 'x' | 'y',
): Bytes {
  const text = key[name];
  if (text === undefined) throw dataError(`The key has no member "${name}"`);
  for (let i = 0; i < text.length; i++) {
    if (!isBase64Url(charCodeAt(text, i))) throw dataError(`The member "${name}" is not base64url`);
  }
  if (text.length % 4 === 1) throw dataError(`The member "${name}" is not base64url`);
  return fromBase64(text, { alphabet: 'base64url' });
}

function isBase64Url(unit: number): boolean {
  return (
    (unit >= 0x30 && unit <= 0x39) ||
    (unit >= 0x41 && unit <= 0x5a) ||
    (unit >= 0x61 && unit <= 0x7a) ||
    unit === 0x2d ||
    unit === 0x5f
  );
}

export function encodeMember(bytes: Uint8Array): string {
  return toBase64(bytes, { alphabet: 'base64url', omitPadding: true });
}

/**
 * What every import of a JSON Web Key checks, but the algorithm. `use` is what the member must be if it is there.
 * @throws DataError
 */
export function checkKey(
  key: JsonWebKey,
  expected: { kty: string; use: 'sig' | 'enc'; extractable: boolean; usages: readonly KeyUsage[] },
): void {
  if (key.kty !== expected.kty) throw dataError(`The member "kty" is not "${expected.kty}"`);
  if (expected.usages.length > 0 && key.use !== undefined && key.use !== expected.use) {
    throw dataError(`The member "use" is not "${expected.use}"`);
  }
  if (key.key_ops !== undefined) checkOperations(key.key_ops, expected.usages);
  if (key.ext === false && expected.extractable) throw dataError('The key is not extractable: its "ext" is false');
}

/** RFC 7517 §4.3: no duplicates; and every usage that is asked for is there. */
function checkOperations(operations: string[], usages: readonly KeyUsage[]): void {
  const seen = ObjectCreate(null) as Record<string, true>;
  for (let i = 0; i < operations.length; i++) {
    if (seen[operations[i]]) throw dataError(`The member "key_ops" has "${operations[i]}" twice`);
    seen[operations[i]] = true;
  }
  for (let i = 0; i < usages.length; i++) {
    if (!seen[usages[i]]) throw dataError(`The member "key_ops" lacks "${usages[i]}"`);
  }
}

/** @throws DataError when the member is there and another one than expected. */
export function checkAlgorithm(key: JsonWebKey, expected: string): void {
  if (key.alg !== undefined && key.alg !== expected) throw dataError(`The member "alg" is not "${expected}"`);
}

/** The members that every exported key ends with. */
export function finishKey(key: JsonWebKey, slots: KeySlots): JsonWebKey {
  key.key_ops = [...slots.usages];
  key.ext = slots.extractable;
  return key;
}

/** An exported key as JSON in UTF-8, for wrapping. Changes the prototypes of `key`, which nobody else has. */
export function keyToBytes(key: JsonWebKey): Bytes {
  // Without prototypes: a toJSON that app code put on Object.prototype must not see the key.
  ObjectSetPrototypeOf(key, null);
  ObjectSetPrototypeOf(key.key_ops!, null);
  return utf8Encode(JSONStringify(key));
}

/** The key in unwrapped bytes. @throws DataError */
export function keyFromBytes(bytes: Bytes): JsonWebKey {
  let parsed: unknown;
  try {
    parsed = JSONParse(utf8Decode(bytes));
  } catch {
    throw dataError('The unwrapped data is not JSON');
  }
  if (!isObject(parsed)) throw dataError('The unwrapped data is not a JSON object');
  // Nor must members that app code put there look like the key's.
  ObjectSetPrototypeOf(parsed, null);
  const key = toJsonWebKey(parsed);
  if (key.kty === undefined) throw dataError('The unwrapped key has no member "kty"');
  return key;
}
