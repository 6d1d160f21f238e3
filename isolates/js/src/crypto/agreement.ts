/** Deriving bits from one's own private key and somebody's public key: ECDH, X25519 and X448. */

import { sliceBytes } from '../primordials.ts';
import type { KeySlots } from './crypto_key.ts';
import { invalidAccess, operationError } from './errors.ts';
import { AGREE, askOne, type Bytes } from './host.ts';
import { requireType } from './key_pair.ts';
import type { Parameters } from './parameters.ts';

/** `length` is in bits, null for the whole secret. @throws InvalidAccessError, OperationError */
export async function agreeBits(parameters: Parameters, key: KeySlots, length: number | null): Promise<Bytes> {
  requireType(key, 'private');
  const peer = parameters.public!;
  requireType(peer, 'public');
  if (peer.algorithm.name !== key.algorithm.name) throw invalidAccess('The public key is one of another algorithm');
  if (peer.algorithm.namedCurve !== key.algorithm.namedCurve) {
    throw invalidAccess('The public key is one of another curve');
  }
  const secret = await askOne(AGREE, key.material, peer.material);
  if (length === null) return secret;
  if (length > secret.length * 8) throw operationError(`The secret has only ${secret.length * 8} bits`);
  const bytes = sliceBytes(secret, 0, Math.ceil(length / 8));
  if (length % 8 !== 0) bytes[bytes.length - 1] &= 0xff << (8 - (length % 8));
  return bytes;
}
