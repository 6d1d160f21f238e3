/** All algorithms, and the normalisation of what app code passes for one (Web Crypto §18.4.4). */

import { ObjectCreate, toUpperCase } from '../primordials.ts';
import { isObject, toDOMString } from '../webidl.ts';
import { aesAlgorithms } from './aes.ts';
import type { Algorithm, Operation } from './algorithm.ts';
import { derivationAlgorithms } from './derivation.ts';
import { digestAlgorithms } from './digest.ts';
import { ellipticAlgorithms } from './elliptic.ts';
import { notSupported } from './errors.ts';
import { hmacAlgorithm } from './hmac.ts';
import { octetAlgorithms } from './octet.ts';
import { convertMembers, type Parameters } from './parameters.ts';
import { rsaAlgorithms } from './rsa.ts';

const byName = ObjectCreate(null) as Record<string, Algorithm | undefined>;
for (const algorithm of [
  ...aesAlgorithms,
  ...derivationAlgorithms,
  ...digestAlgorithms,
  ...ellipticAlgorithms,
  hmacAlgorithm,
  ...octetAlgorithms,
  ...rsaAlgorithms,
]) {
  byName[algorithm.name.toUpperCase()] = algorithm;
}

/** A normalised algorithm with what it does for the operation that it was normalised for. */
export interface Normalized<O extends Operation> {
  readonly parameters: Parameters;
  readonly run: NonNullable<Algorithm[O]>['run'];
}

/** An algorithm by the name in a key. */
export function algorithmNamed(name: string): Algorithm {
  return byName[toUpperCase(name)]!;
}

/** AlgorithmIdentifier, as Web IDL converts it: an object, or text. */
export function toIdentifier(value: unknown): object | string {
  return isObject(value) ? value : toDOMString(value);
}

/** @throws NotSupportedError when no such algorithm has the operation, TypeError for members that are missing. */
export function normalize<O extends Operation>(identifier: object | string, operation: O): Normalized<O> {
  const found = find(identifier, operation);
  if (found === null) throw notSupported(`The algorithm is not known, or does not support ${operation}`);
  return found;
}

/** Normalises for the first operation, or the second if the algorithm does not support the first. */
export function normalizeEither<A extends Operation, B extends Operation>(
  identifier: object | string,
  first: A,
  second: B,
): Normalized<A> | Normalized<B> {
  return find(identifier, first) ?? normalize(identifier, second);
}

function find<O extends Operation>(identifier: object | string, operation: O): Normalized<O> | null {
  const name = nameOf(identifier);
  const algorithm = byName[toUpperCase(name)];
  const offered = algorithm?.[operation];
  if (algorithm === undefined || offered === undefined) return null;
  const parameters: Parameters = { name: algorithm.name };
  if (typeof identifier === 'object' || typeof identifier === 'function') {
    nameOf(identifier); // the conversion to the algorithm's own dictionary reads it a second time
    convertMembers(identifier, offered.parameters, parameters);
  } else convertMembers({}, offered.parameters, parameters);
  if (parameters.hash !== undefined) parameters.hash = normalize(parameters.hash, 'digest').parameters.name;
  return { parameters, run: offered.run as NonNullable<Algorithm[O]>['run'] };
}

function nameOf(identifier: object | string): string {
  if (typeof identifier === 'string') return identifier;
  const { name } = identifier as { name?: unknown };
  if (name === undefined) throw new TypeError('The algorithm has no name');
  return toDOMString(name);
}
