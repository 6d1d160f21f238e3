/**
 * What the language's own objects keep in internal slots, read without the app's prototypes; and the constructors that
 * make such objects again. For whatever copies, sends or prints a value.
 */

import { uncurryThis } from './primordials.ts';

const getter = <R>(prototype: object, name: string) =>
  uncurryThis(Object.getOwnPropertyDescriptor(prototype, name)!.get as (this: unknown) => R);

export const dateTime = uncurryThis(Date.prototype.getTime);
export const regExpSource = getter<string>(RegExp.prototype, 'source');
export const regExpFlags = getter<string>(RegExp.prototype, 'flags');
export const numberValue = uncurryThis(Number.prototype.valueOf) as (value: unknown) => number;
export const stringValue = uncurryThis(String.prototype.valueOf) as (value: unknown) => string;
export const booleanValue = uncurryThis(Boolean.prototype.valueOf) as (value: unknown) => boolean;
export const bigintValue = uncurryThis(BigInt.prototype.valueOf) as (value: unknown) => bigint;
export const mapForEach = uncurryThis(Map.prototype.forEach);
export const mapSize = getter<number>(Map.prototype, 'size');
export const setForEach = uncurryThis(Set.prototype.forEach);
export const setSize = getter<number>(Set.prototype, 'size');
export const bufferResizable = getter<boolean>(ArrayBuffer.prototype, 'resizable');
export const bufferMaxByteLength = getter<number>(ArrayBuffer.prototype, 'maxByteLength');

type ViewConstructor = new (buffer: ArrayBuffer, offset: number, length?: number) => ArrayBufferView;

/** By the name that `typedArrayTag` gives. Float16Array is one of `late_intrinsics`. */
export const VIEWS: Record<string, ViewConstructor> = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
};

/** Those that a clone can be, by the name that an error has. */
export const ERRORS: Record<string, new (message?: string) => Error> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};
