/** HKDF and PBKDF2 (Web Crypto §32, §33). */

import type { Algorithm, ImportKey } from './algorithm.ts';
import { type KeySlots, usageSet } from './crypto_key.ts';
import { notSupported, operationError, requireUsagesWithin, syntaxError } from './errors.ts';
import { askOne, type Bytes, HKDF, PBKDF2 } from './host.ts';
import { HKDF_PARAMETERS, NONE, type Parameters, PBKDF2_PARAMETERS } from './parameters.ts';
import { secretSlots } from './secret_key.ts';

const USAGES = usageSet('deriveKey', 'deriveBits');

function bytesOf(length: number | null): number {
  if (length === null || length % 8 !== 0) throw operationError('length is not a multiple of 8');
  return length / 8;
}

const importer =
  (name: string): ImportKey =>
  (format, data, _, extractable, usages) => {
    if (format !== 'raw') throw notSupported(`${name} keys do not have the format ${format}`);
    requireUsagesWithin(usages, USAGES);
    if (extractable) throw syntaxError(`${name} keys cannot be extractable`);
    return secretSlots({ name }, data as Bytes, false, usages);
  };

async function hkdf(parameters: Parameters, key: KeySlots, length: number | null): Promise<Bytes> {
  const { hash, salt, info } = parameters;
  return askOne(HKDF, hash!, key.material, salt!, info!, bytesOf(length));
}

async function pbkdf2(parameters: Parameters, key: KeySlots, length: number | null): Promise<Bytes> {
  const bytes = bytesOf(length);
  const { hash, salt, iterations } = parameters;
  if (iterations === 0) throw operationError('iterations is zero');
  if (bytes === 0) return new Uint8Array(0);
  return askOne(PBKDF2, hash!, key.material, salt!, iterations!, bytes);
}

const noLength = { parameters: NONE, run: () => null };

export const derivationAlgorithms: Algorithm[] = [
  {
    name: 'HKDF',
    deriveBits: { parameters: HKDF_PARAMETERS, run: hkdf },
    importKey: { parameters: NONE, run: importer('HKDF') },
    keyLength: noLength,
  },
  {
    name: 'PBKDF2',
    deriveBits: { parameters: PBKDF2_PARAMETERS, run: pbkdf2 },
    importKey: { parameters: NONE, run: importer('PBKDF2') },
    keyLength: noLength,
  },
];
