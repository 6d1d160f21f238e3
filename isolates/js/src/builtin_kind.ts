/**
 * Which of the language's own classes an object is an instance of.
 *
 * Asking a getter whether an object has its internal slot costs an exception with a stack trace for every wrong guess,
 * so the prototype chain says which slot to ask for, and only that one is asked.
 */

import {
  arrayBufferByteLength,
  ObjectGetOwnPropertyDescriptor,
  ObjectGetPrototypeOf,
  SafeMap,
  uncurryThis,
} from './primordials.ts';

type Probe = (value: object) => unknown;

function getter(prototype: object, name: PropertyKey): Probe {
  return uncurryThis(ObjectGetOwnPropertyDescriptor(prototype, name)!.get as (this: object) => unknown);
}

function method(prototype: object, name: string): Probe {
  return uncurryThis((prototype as Record<string, (this: object) => unknown>)[name]);
}

const weakMapHas = uncurryThis(WeakMap.prototype.has);
const weakSetHas = uncurryThis(WeakSet.prototype.has);

/** Throws unless the object has the slots of its class. */
const PROBES = {
  ArrayBuffer: (value: object) => arrayBufferByteLength(value),
  BigInt: method(BigInt.prototype, 'valueOf'),
  Boolean: method(Boolean.prototype, 'valueOf'),
  Date: method(Date.prototype, 'getTime'),
  Map: getter(Map.prototype, 'size'),
  Number: method(Number.prototype, 'valueOf'),
  Promise: () => undefined,
  RegExp: getter(RegExp.prototype, 'source'),
  Set: getter(Set.prototype, 'size'),
  String: method(String.prototype, 'valueOf'),
  Symbol: method(Symbol.prototype, 'valueOf'),
  WeakMap: (value: object) => weakMapHas(value as WeakMap<object, unknown>, value),
  WeakRef: method(WeakRef.prototype, 'deref'),
  WeakSet: (value: object) => weakSetHas(value as WeakSet<object>, value),
} as const satisfies Record<string, Probe>;

export type BuiltinKind = keyof typeof PROBES;

const kinds = new SafeMap<object, BuiltinKind>();
for (const [Class, kind] of [
  [ArrayBuffer, 'ArrayBuffer'],
  [BigInt, 'BigInt'],
  [Boolean, 'Boolean'],
  [Date, 'Date'],
  [Map, 'Map'],
  [Number, 'Number'],
  [Promise, 'Promise'],
  [RegExp, 'RegExp'],
  [Set, 'Set'],
  [String, 'String'],
  [Symbol, 'Symbol'],
  [WeakMap, 'WeakMap'],
  [WeakRef, 'WeakRef'],
  [WeakSet, 'WeakSet'],
] as const) {
  kinds.set(Class.prototype, kind);
}

const ObjectPrototype = Object.prototype;

/** The class of a genuine instance; null for other objects, and for a proxy. */
export function builtinKind(value: object): BuiltinKind | null {
  for (let at: unknown = ObjectGetPrototypeOf(value); at !== null && at !== ObjectPrototype;) {
    const kind = kinds.get(at as object);
    if (kind !== undefined) return isGenuine(value, kind) ? kind : null;
    at = ObjectGetPrototypeOf(at);
  }
  return null;
}

function isGenuine(value: object, kind: BuiltinKind): boolean {
  // RegExp.prototype.source answers for the prototype itself, which is no regular expression.
  if (value === RegExp.prototype) return false;
  try {
    PROBES[kind](value);
    return true;
  } catch {
    return false;
  }
}
