/** ECDSA and ECDH on P-256, P-384 and P-521 (Web Crypto §23, §24). */

import { hasOwn, setBytes, subarray } from '../primordials.ts';
import type { Algorithm, Format, ImportKey } from './algorithm.ts';
import { type KeySlots, type KeyUsage, usageSet } from './crypto_key.ts';
import { dataError, notSupported, requireUsagesWithin } from './errors.ts';
import { ask, askOne, type Bytes, EXPORT_RAW, GENERATE_ON, IMPORT, IMPORT_SCALAR, SIGN, VERIFY } from './host.ts';
import { agreeBits } from './agreement.ts';
import { checkAlgorithm, checkKey, decodeMember, encodeMember, finishKey, type JsonWebKey } from './jwk.ts';
import {
  type PairUsages,
  pairOf,
  pairSlots,
  requirePairUsages,
  requirePrivateUsages,
  requireType,
} from './key_pair.ts';
import { EC_KEY, ECDH, HASHED } from './parameters.ts';

/** Bytes of a coordinate, and the JSON Web Algorithm that signs with the curve. */
const CURVES: Record<string, { bytes: number; alg: string }> = {
  'P-256': { bytes: 32, alg: 'ES256' },
  'P-384': { bytes: 48, alg: 'ES384' },
  'P-521': { bytes: 66, alg: 'ES512' },
};
const UNCOMPRESSED = 4;

interface Kind {
  readonly name: string;
  readonly use: 'sig' | 'enc';
  readonly usages: PairUsages;
}

const SIGNING: Kind = {
  name: 'ECDSA',
  use: 'sig',
  usages: { privateKey: usageSet('sign'), publicKey: usageSet('verify') },
};
const AGREEMENT: Kind = {
  name: 'ECDH',
  use: 'enc',
  usages: { privateKey: usageSet('deriveKey', 'deriveBits'), publicKey: usageSet() },
};

function isCurve(name: string): boolean {
  return hasOwn(CURVES, name);
}

/** The uncompressed point of a JSON Web Key. @throws DataError */
function point(key: JsonWebKey, size: number): Bytes {
  const x = decodeMember(key, 'x');
  const y = decodeMember(key, 'y');
  if (x.length !== size || y.length !== size) throw dataError('A coordinate does not have the length of the curve');
  const bytes = new Uint8Array(1 + 2 * size);
  bytes[0] = UNCOMPRESSED;
  setBytes(bytes, x, 1);
  setBytes(bytes, y, 1 + size);
  return bytes;
}

async function importJwk(
  kind: Kind,
  key: JsonWebKey,
  curve: string,
  extractable: boolean,
  wanted: readonly KeyUsage[],
): Promise<Bytes> {
  const isPrivate = key.d !== undefined;
  requireUsagesWithin(wanted, isPrivate ? kind.usages.privateKey : kind.usages.publicKey);
  checkKey(key, { kty: 'EC', use: kind.use, extractable, usages: wanted });
  if (key.crv !== curve || !isCurve(curve)) throw dataError(`The member "crv" is not "${curve}"`);
  if (kind === SIGNING) checkAlgorithm(key, CURVES[curve].alg);
  const raw = point(key, CURVES[curve].bytes);
  if (!isPrivate) return askOne(IMPORT, curve, 'raw', raw);
  return askOne(IMPORT_SCALAR, curve, decodeMember(key, 'd'), raw);
}

const importer =
  (kind: Kind): ImportKey =>
  async (format, data, parameters, extractable, wanted) => {
    const namedCurve = parameters.namedCurve!;
    const algorithm = { name: kind.name, namedCurve };
    if (format === 'jwk') {
      const key = data as JsonWebKey;
      const material = await importJwk(kind, key, namedCurve, extractable, wanted);
      return pairSlots(key.d === undefined ? 'public' : 'private', algorithm, material, extractable, wanted);
    }
    const isPrivate = format === 'pkcs8';
    requireUsagesWithin(wanted, isPrivate ? kind.usages.privateKey : kind.usages.publicKey);
    if (!isCurve(namedCurve)) throw dataError('namedCurve is none of P-256, P-384 and P-521');
    const material = await askOne(IMPORT, namedCurve, format, data as Bytes);
    return pairSlots(isPrivate ? 'private' : 'public', algorithm, material, extractable, wanted);
  };

async function exportKey(format: Format, key: KeySlots): Promise<Bytes | JsonWebKey> {
  if (format === 'spki' || format === 'pkcs8') {
    requireType(key, format === 'spki' ? 'public' : 'private');
    return key.material;
  }
  if (format === 'raw') requireType(key, 'public');
  const [raw, scalar] = await ask(EXPORT_RAW, key.type, key.material);
  if (format === 'raw') return raw;
  const size = CURVES[key.algorithm.namedCurve!].bytes;
  const jwk: JsonWebKey = {
    kty: 'EC',
    crv: key.algorithm.namedCurve,
    x: encodeMember(subarray(raw, 1, 1 + size)),
    y: encodeMember(subarray(raw, 1 + size)),
  };
  if (scalar !== undefined) jwk.d = encodeMember(scalar);
  return finishKey(jwk, key);
}

function keys(kind: Kind): Algorithm {
  return {
    name: kind.name,
    generateKey: {
      parameters: EC_KEY,
      run: async ({ namedCurve }, extractable, wanted) => {
        requirePairUsages(wanted, kind.usages);
        if (!isCurve(namedCurve!)) throw notSupported('namedCurve is none of P-256, P-384 and P-521');
        requirePrivateUsages(wanted, kind.usages);
        const pair = await ask(GENERATE_ON, namedCurve!);
        return pairOf(pair, { name: kind.name, namedCurve }, extractable, wanted, kind.usages);
      },
    },
    importKey: { parameters: EC_KEY, run: importer(kind) },
    exportKey,
  };
}

const ecdsa: Algorithm = {
  ...keys(SIGNING),
  sign: {
    parameters: HASHED,
    run: async ({ hash }, key, data) => {
      requireType(key, 'private');
      return askOne(SIGN, 'ECDSA', key.material, hash!, 0, data);
    },
  },
  verify: {
    parameters: HASHED,
    run: async ({ hash }, key, signature, data) => {
      requireType(key, 'public');
      return (await askOne(VERIFY, 'ECDSA', key.material, hash!, 0, signature, data))[0] === 1;
    },
  },
};

const ecdh: Algorithm = { ...keys(AGREEMENT), deriveBits: { parameters: ECDH, run: agreeBits } };

export const ellipticAlgorithms: Algorithm[] = [ecdsa, ecdh];
