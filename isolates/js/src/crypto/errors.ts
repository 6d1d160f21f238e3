/** The exceptions of Web Crypto, by name. */

import { DOMException } from '../dom_exception.ts';
import type { KeyUsage, UsageSet } from './crypto_key.ts';

export function operationError(message: string): DOMException {
  return new DOMException(message, 'OperationError');
}

export function dataError(message: string): DOMException {
  return new DOMException(message, 'DataError');
}

export function invalidAccess(message: string): DOMException {
  return new DOMException(message, 'InvalidAccessError');
}

export function notSupported(message: string): DOMException {
  return new DOMException(message, 'NotSupportedError');
}

export function syntaxError(message: string): DOMException {
  return new DOMException(message, 'SyntaxError');
}

/** @throws SyntaxError when a usage is not in the set. */
export function requireUsagesWithin(usages: readonly KeyUsage[], set: UsageSet): void {
  for (let i = 0; i < usages.length; i++) {
    if (set[usages[i]] !== true) throw syntaxError(`Keys of this kind cannot have the usage "${usages[i]}"`);
  }
}

/** @throws SyntaxError when there are none: a secret or private key must be good for something. */
export function requireSomeUsages(usages: readonly KeyUsage[]): void {
  if (usages.length === 0) throw syntaxError('A secret or private key needs at least one usage');
}
