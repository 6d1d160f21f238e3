/** sequence<T> (Web IDL §3.2.21). */

import { isObject } from '../webidl.ts';

/** @throws TypeError when the value cannot be iterated over. */
export function toSequence<T>(value: unknown, convert: (item: unknown) => T, what: string): T[] {
  if (!isObject(value) || typeof (value as Iterable<unknown>)[Symbol.iterator] !== 'function') {
    throw new TypeError(`${what} is not a sequence`);
  }
  const result: T[] = [];
  for (const item of value as Iterable<unknown>) result[result.length] = convert(item);
  return result;
}
