/**
 * Ed25519 and X25519 (Web Crypto §25, §26), and likewise Ed448 and X448 (WICG Secure Curves): "OKP" in JSON Web Keys.
 */

import type { Algorithm, Format, ImportKey } from './algorithm.ts';
import { type KeySlots, usageSet } from './crypto_key.ts';
import { dataError, operationError, requireUsagesWithin } from './errors.ts';
import { agreeBits } from './agreement.ts';
import { ask, askOne, type Bytes, EXPORT_RAW, GENERATE_ON, IMPORT, IMPORT_SCALAR, SIGN, VERIFY } from './host.ts';
import { checkKey, decodeMember, encodeMember, finishKey, type JsonWebKey } from './jwk.ts';
import {
  type PairUsages,
  pairOf,
  pairSlots,
  requirePairUsages,
  requirePrivateUsages,
  requireType,
} from './key_pair.ts';
import { CONTEXT, ECDH, NONE, type Parameters } from './parameters.ts';

const SIGNING: PairUsages = { privateKey: usageSet('sign'), publicKey: usageSet('verify') };
const AGREEMENT: PairUsages = { privateKey: usageSet('deriveKey', 'deriveBits'), publicKey: usageSet() };

const importer =
  (name: string, usages: PairUsages): ImportKey =>
  async (format, data, _, extractable, wanted) => {
    const key = data as JsonWebKey;
    const isPrivate = format === 'pkcs8' || (format === 'jwk' && key.d !== undefined);
    requireUsagesWithin(wanted, isPrivate ? usages.privateKey : usages.publicKey);
    const type = isPrivate ? 'private' : 'public';
    if (format !== 'jwk') {
      const material = await askOne(IMPORT, name, format, data as Bytes);
      return pairSlots(type, { name }, material, extractable, wanted);
    }
    const signs = usages === SIGNING;
    checkKey(key, { kty: 'OKP', use: signs ? 'sig' : 'enc', extractable, usages: wanted });
    if (key.crv !== name) throw dataError(`The member "crv" is not "${name}"`);
    if (signs && key.alg !== undefined && key.alg !== name && key.alg !== 'EdDSA') {
      throw dataError(`The member "alg" is neither "${name}" nor "EdDSA"`);
    }
    const raw = decodeMember(key, 'x');
    const material = isPrivate
      ? await askOne(IMPORT_SCALAR, name, decodeMember(key, 'd'), raw)
      : await askOne(IMPORT, name, 'raw', raw);
    return pairSlots(type, { name }, material, extractable, wanted);
  };

async function exportKey(format: Format, key: KeySlots, signs: boolean): Promise<Bytes | JsonWebKey> {
  if (format === 'spki' || format === 'pkcs8') {
    requireType(key, format === 'spki' ? 'public' : 'private');
    return key.material;
  }
  if (format === 'raw') requireType(key, 'public');
  const [raw, secret] = await ask(EXPORT_RAW, key.type, key.material);
  if (format === 'raw') return raw;
  const { name } = key.algorithm;
  const jwk: JsonWebKey = { kty: 'OKP', crv: name, x: encodeMember(raw) };
  if (signs) jwk.alg = name;
  if (secret !== undefined) jwk.d = encodeMember(secret);
  return finishKey(jwk, key);
}

function keys(name: string, usages: PairUsages): Algorithm {
  return {
    name,
    generateKey: {
      parameters: NONE,
      run: async (_, extractable, wanted) => {
        requirePairUsages(wanted, usages);
        requirePrivateUsages(wanted, usages);
        return pairOf(await ask(GENERATE_ON, name), { name }, extractable, wanted, usages);
      },
    },
    importKey: { parameters: NONE, run: importer(name, usages) },
    exportKey: (format, key) => exportKey(format, key, usages === SIGNING),
  };
}

/** @throws OperationError: the library signs without a context only. */
function requireNoContext({ context }: Parameters): void {
  if (context !== undefined && context.length > 0) throw operationError('A context is not supported');
}

function signing(name: string, parameters: typeof NONE): Algorithm {
  return {
    ...keys(name, SIGNING),
    sign: {
      parameters,
      run: async (given, key, data) => {
        requireType(key, 'private');
        requireNoContext(given);
        return askOne(SIGN, name, key.material, '', 0, data);
      },
    },
    verify: {
      parameters,
      run: async (given, key, signature, data) => {
        requireType(key, 'public');
        requireNoContext(given);
        return (await askOne(VERIFY, name, key.material, '', 0, signature, data))[0] === 1;
      },
    },
  };
}

const agreement = (name: string): Algorithm => ({
  ...keys(name, AGREEMENT),
  deriveBits: { parameters: ECDH, run: agreeBits },
});

export const octetAlgorithms: Algorithm[] = [
  signing('Ed25519', NONE),
  signing('Ed448', CONTEXT),
  agreement('X25519'),
  agreement('X448'),
];
