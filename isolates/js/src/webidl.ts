/** Conversions and prototype shapes of Web IDL, for the interfaces of the platform. */

import {
  arrayBufferByteLength,
  ArrayBufferIsView,
  charCodeAt,
  dataViewBuffer,
  dataViewByteLength,
  dataViewOffset,
  floor,
  hasOwn,
  max,
  min,
  NumberIsFinite,
  ObjectDefineProperty,
  ObjectGetOwnPropertyDescriptor,
  ReflectOwnKeys,
  sliceBytes,
  toWellFormed,
  trunc,
  typedArrayBuffer,
  typedArrayByteLength,
  typedArrayOffset,
  typedArrayTag,
} from './primordials.ts';
import { builtinKind } from './builtin_kind.ts';
import { sharedArrayBufferByteLength } from './late_intrinsics.ts';

/** The token that lets the platform construct what app code cannot; never handed out. */
export const INTERNAL: unique symbol = Symbol('internal');

export function toDOMString(value: unknown): string {
  return typeof value === 'string' ? value : `${value as string}`;
}

export function toUSVString(value: unknown): string {
  return toWellFormed(typeof value === 'string' ? value : `${value as string}`);
}

/** @throws TypeError when a character is above U+00FF. */
export function toByteString(value: unknown): string {
  const text = typeof value === 'string' ? value : `${value as string}`;
  for (let i = 0; i < text.length; i++) {
    if (charCodeAt(text, i) > 0xff) {
      throw new TypeError(`Cannot convert to a ByteString: character ${i} has a value greater than 255`);
    }
  }
  return text;
}

/** unsigned long long with [EnforceRange]. */
export function toEnforcedInteger(value: unknown, upper: number): number {
  const number = trunc(Number(value));
  if (!NumberIsFinite(number) || number < 0 || number > upper) {
    throw new TypeError(`The value is not in the range 0 to ${upper}`);
  }
  return number + 0;
}

/** unsigned short, with wrapping. */
export function toUnsignedShort(value: unknown): number {
  return Number(value) & 0xffff;
}

/** unsigned short with [Clamp]: the nearest one, the even one of two that are as near. */
export function toClampedUnsignedShort(value: unknown): number {
  const number = min(max(+(value as number), 0), 0xffff);
  const below = floor(number);
  const up = number - below > 0.5 || (number - below === 0.5 && below % 2 === 1);
  return number === number ? below + (up ? 1 : 0) : 0;
}

/** long, with wrapping. */
export function toLong(value: unknown): number {
  return Number(value) | 0;
}

/** The members of a dictionary argument: undefined and null are an empty one. @throws TypeError for a primitive. */
export function toDictionary(value: unknown, what: string): Record<string, unknown> {
  if (value === undefined || value === null) return EMPTY;
  if (typeof value !== 'object' && typeof value !== 'function') throw new TypeError(`${what} is not an object`);
  return value as Record<string, unknown>;
}

const EMPTY: Record<string, unknown> = Object.freeze(Object.create(null) as Record<string, unknown>);

export function requireArguments(count: number, needed: number, what: string): void {
  if (count < needed) {
    throw new TypeError(`${what}: ${needed} argument${needed > 1 ? 's' : ''} required, but only ${count} present`);
  }
}

export function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return typeof value === 'object' && value !== null && builtinKind(value) === 'ArrayBuffer';
}

export function isSharedArrayBuffer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('growable' in value)) return false;
  try {
    sharedArrayBufferByteLength(value);
    return true;
  } catch {
    return false;
  }
}

export function isBufferSource(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return ArrayBufferIsView(value) || isArrayBuffer(value);
}

export function isUint8Array(value: unknown): value is Uint8Array<ArrayBuffer> {
  return typedArrayTag(value) === 'Uint8Array';
}

/**
 * A view of the bytes of a buffer source: not a copy. One that is detached, or out of its buffer's bounds, is empty.
 * @throws TypeError for a view of shared memory, as Web IDL has it for all arguments that are not marked [AllowShared].
 */
export function bytesView(source: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  return viewOf(source, false);
}

/** As `bytesView`, for arguments that are marked [AllowShared]. */
export function anyBytesView(source: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  return viewOf(source, true);
}

function viewOf(source: ArrayBuffer | ArrayBufferView, allowShared: boolean): Uint8Array<ArrayBuffer> {
  if (!ArrayBufferIsView(source)) {
    return arrayBufferByteLength(source) === 0 ? new Uint8Array(0) : new Uint8Array(source);
  }
  const isTyped = typedArrayTag(source) !== undefined;
  const buffer = isTyped ? typedArrayBuffer(source) : dataViewBuffer(source);
  if (!allowShared && isSharedArrayBuffer(buffer)) throw new TypeError('The buffer is shared memory');
  if (isTyped) {
    const length = typedArrayByteLength(source);
    return length === 0 ? new Uint8Array(0) : new Uint8Array(buffer, typedArrayOffset(source), length);
  }
  try {
    return new Uint8Array(buffer, dataViewOffset(source), dataViewByteLength(source));
  } catch {
    return new Uint8Array(0);
  }
}

export function copyBytes(source: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  return sliceBytes(bytesView(source));
}

type Interface = { prototype: object; name: string };

/**
 * Gives a class the shape of an interface object: members enumerable, `Symbol.toStringTag`, and constants on both the
 * class and its prototype.
 */
export function defineInterface(Class: Interface, name: string, constants?: Record<string, number>): void {
  for (const holder of [Class.prototype, Class as object]) {
    for (const key of ReflectOwnKeys(holder)) {
      if (
        typeof key !== 'string' ||
        key === 'constructor' ||
        key === 'prototype' ||
        (holder === Class && (key === 'name' || key === 'length'))
      ) {
        continue;
      }
      const descriptor = ObjectGetOwnPropertyDescriptor(holder, key)!;
      if (descriptor.configurable) ObjectDefineProperty(holder, key, { ...descriptor, enumerable: true });
    }
  }
  ObjectDefineProperty(Class.prototype, Symbol.toStringTag, { value: name, configurable: true });
  if (Class.name !== name) ObjectDefineProperty(Class, 'name', { value: name, configurable: true });
  if (constants === undefined) return;
  for (const key in constants) {
    if (!hasOwn(constants, key)) continue;
    for (const holder of [Class.prototype, Class as object]) {
      ObjectDefineProperty(holder, key, { value: constants[key], enumerable: true });
    }
  }
}
