/** RSASSA-PKCS1-v1_5, RSA-PSS and RSA-OAEP (Web Crypto §20–§22). */

import { sliceBytes } from '../primordials.ts';
import type { Algorithm, Cipher, Format, ImportKey } from './algorithm.ts';
import { type KeyAlgorithm, type KeySlots, type KeyUsage, usageSet } from './crypto_key.ts';
import { dataError, notSupported, operationError, requireUsagesWithin } from './errors.ts';
import {
  ask,
  askOne,
  askWith,
  type Bytes,
  DECRYPT,
  ENCRYPT,
  EXPORT_RSA,
  GENERATE_RSA,
  IMPORT,
  IMPORT_RSA,
  OAEP,
  type Reply,
  SIGN,
  VERIFY,
} from './host.ts';
import { checkAlgorithm, checkKey, decodeMember, encodeMember, finishKey, type JsonWebKey } from './jwk.ts';
import {
  type PairUsages,
  pairOf,
  pairSlots,
  requirePairUsages,
  requirePrivateUsages,
  requireType,
} from './key_pair.ts';
import { HASHED, NONE, type Parameters, RSA_KEY, RSA_OAEP, RSA_PSS } from './parameters.ts';

const MIN_MODULUS_BITS = 1024;
const NUMBERS = ['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'] as const;
const SIGNING: PairUsages = { privateKey: usageSet('sign'), publicKey: usageSet('verify') };
const ENCRYPTING: PairUsages = {
  privateKey: usageSet('decrypt', 'unwrapKey'),
  publicKey: usageSet('encrypt', 'wrapKey'),
};

/** How an algorithm's keys differ: the prefix and the suffixes of "alg", the "use", and usages. */
interface Kind {
  readonly name: string;
  readonly use: 'sig' | 'enc';
  readonly usages: PairUsages;
  alg(hash: string): string;
}

const PKCS1: Kind = {
  name: 'RSASSA-PKCS1-v1_5',
  use: 'sig',
  usages: SIGNING,
  alg: (hash) => `RS${hash.slice(4)}`,
};
const PSS: Kind = { name: 'RSA-PSS', use: 'sig', usages: SIGNING, alg: (hash) => `PS${hash.slice(4)}` };
const OAEP_KIND: Kind = {
  name: 'RSA-OAEP',
  use: 'enc',
  usages: ENCRYPTING,
  alg: (hash) => (hash === 'SHA-1' ? 'RSA-OAEP' : `RSA-OAEP-${hash.slice(4)}`),
};

function bitLength(bytes: Bytes): number {
  return bytes.length === 0 ? 0 : bytes.length * 8 - Math.clz32(bytes[0]) + 24;
}

/** Without leading zeros. */
function significant(bytes: Bytes): Bytes {
  let at = 0;
  while (at < bytes.length && bytes[at] === 0) at++;
  return sliceBytes(bytes, at);
}

/** @throws OperationError: other exponents cannot be generated. */
async function generate(
  kind: Kind,
  { modulusLength, publicExponent, hash }: Parameters,
  extractable: boolean,
  wanted: readonly KeyUsage[],
) {
  requirePairUsages(wanted, kind.usages);
  const exponent = significant(publicExponent!);
  const odd = exponent.length === 1 ? exponent[0] === 3 : exponent.length === 3 && encodeMember(exponent) === 'AQAB';
  if (!odd) throw operationError('publicExponent is neither 3 nor 65537');
  if (modulusLength! < MIN_MODULUS_BITS) throw operationError(`modulusLength is less than ${MIN_MODULUS_BITS}`);
  requirePrivateUsages(wanted, kind.usages);
  const algorithm: KeyAlgorithm = { name: kind.name, modulusLength, publicExponent: publicExponent!, hash };
  const pair = await ask(GENERATE_RSA, modulusLength!, exponent);
  return pairOf(pair, algorithm, extractable, wanted, kind.usages);
}

function importJwk(kind: Kind, key: JsonWebKey, hash: string, extractable: boolean, wanted: readonly KeyUsage[]) {
  const isPrivate = key.d !== undefined;
  requireUsagesWithin(wanted, isPrivate ? kind.usages.privateKey : kind.usages.publicKey);
  checkKey(key, { kty: 'RSA', use: kind.use, extractable, usages: wanted });
  checkAlgorithm(key, kind.alg(hash));
  if (!isPrivate) return ask(IMPORT_RSA, decodeMember(key, 'n'), decodeMember(key, 'e'));
  if (key.oth !== undefined) throw notSupported('RSA keys of more than two primes are not supported');
  const primes = [key.p, key.q, key.dp, key.dq, key.qi];
  let given = 0;
  for (let i = 0; i < primes.length; i++) if (primes[i] !== undefined) given++;
  if (given !== 0 && given !== primes.length) throw dataError('The key has only some of p, q, dp, dq and qi');
  const fields: Bytes[] = [];
  for (let i = 0; i < (given === 0 ? 3 : NUMBERS.length); i++) fields[i] = decodeMember(key, NUMBERS[i]);
  return askWith(IMPORT_RSA, fields);
}

const importer =
  (kind: Kind): ImportKey =>
  async (format, data, parameters, extractable, wanted) => {
    const hash = parameters.hash!;
    let isPrivate = format === 'pkcs8';
    let imported: Reply;
    if (format === 'jwk') {
      isPrivate = (data as JsonWebKey).d !== undefined;
      imported = await importJwk(kind, data as JsonWebKey, hash, extractable, wanted);
    } else if (format === 'pkcs8' || format === 'spki') {
      requireUsagesWithin(wanted, isPrivate ? kind.usages.privateKey : kind.usages.publicKey);
      imported = await ask(IMPORT, 'RSA', format, data as Bytes);
    } else throw notSupported(`RSA keys do not have the format ${format}`);
    const [material, modulus, publicExponent] = imported;
    const algorithm = { name: kind.name, modulusLength: bitLength(modulus), publicExponent, hash };
    return pairSlots(isPrivate ? 'private' : 'public', algorithm, material, extractable, wanted);
  };

async function exportKey(kind: Kind, format: Format, key: KeySlots): Promise<Bytes | JsonWebKey> {
  if (format === 'spki' || format === 'pkcs8') {
    requireType(key, format === 'spki' ? 'public' : 'private');
    return key.material;
  }
  if (format !== 'jwk') throw notSupported(`RSA keys do not have the format ${format}`);
  const numbers = await ask(EXPORT_RSA, key.type, key.material);
  const jwk: JsonWebKey = { kty: 'RSA', alg: kind.alg(key.algorithm.hash!) };
  for (let i = 0; i < numbers.length; i++) jwk[NUMBERS[i]] = encodeMember(numbers[i]);
  return finishKey(jwk, key);
}

/** What all three have. */
function keys(kind: Kind): Algorithm {
  return {
    name: kind.name,
    generateKey: {
      parameters: RSA_KEY,
      run: (parameters, extractable, usages) => generate(kind, parameters, extractable, usages),
    },
    importKey: { parameters: HASHED, run: importer(kind) },
    exportKey: (format, key) => exportKey(kind, format, key),
  };
}

function signing(kind: Kind, parameters: typeof NONE): Algorithm {
  return {
    ...keys(kind),
    sign: {
      parameters,
      run: async ({ saltLength }, key, data) => {
        requireType(key, 'private');
        return askOne(SIGN, kind.name, key.material, key.algorithm.hash!, saltLength ?? 0, data);
      },
    },
    verify: {
      parameters,
      run: async ({ saltLength }, key, signature, data) => {
        requireType(key, 'public');
        const { hash } = key.algorithm;
        return (await askOne(VERIFY, kind.name, key.material, hash!, saltLength ?? 0, signature, data))[0] === 1;
      },
    },
  };
}

const oaep = (direction: number): Cipher => ({
  parameters: RSA_OAEP,
  run: async ({ label }, key, data) => {
    requireType(key, direction === ENCRYPT ? 'public' : 'private');
    return askOne(OAEP, direction, key.material, key.algorithm.hash!, label ?? new Uint8Array(0), data);
  },
});

export const rsaAlgorithms: Algorithm[] = [
  signing(PKCS1, NONE),
  signing(PSS, RSA_PSS),
  { ...keys(OAEP_KIND), encrypt: oaep(ENCRYPT), decrypt: oaep(DECRYPT) },
];
