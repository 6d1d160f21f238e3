/** `node:util/types`. Kinds are told by what the engine does with a value, as far as a script can see that. */

import values from 'internal:platform';

type Check = (value: unknown) => boolean;

const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);
const tagged =
  (...tags: string[]): Check =>
  (value) =>
    typeof value === 'object' && value !== null && tags.includes(tagOf(value));
const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  Symbol.toStringTag,
)!.get as (this: unknown) => string | undefined;
const typed =
  (tag: string): Check =>
  (value) =>
    Reflect.apply(typedArrayTag, value, []) === tag;
const functionOf =
  (...tags: string[]): Check =>
  (value) =>
    typeof value === 'function' && tags.includes(tagOf(value));
/** Whether `method`, which demands an object of its kind, takes the value. */
const takenBy =
  (method: (this: any) => unknown): Check =>
  (value) => {
    try {
      Reflect.apply(method, value, []);
      return true;
    } catch {
      return false;
    }
  };
const sizeOf = (prototype: object, name = 'size'): ((this: unknown) => unknown) =>
  Object.getOwnPropertyDescriptor(prototype, name)!.get as () => unknown;

export const isAnyArrayBuffer: Check = tagged('ArrayBuffer', 'SharedArrayBuffer');
export const isArgumentsObject = tagged('Arguments');
export const isArrayBuffer: Check = takenBy(sizeOf(ArrayBuffer.prototype, 'byteLength'));
export const isArrayBufferView: Check = (value) => ArrayBuffer.isView(value);
export const isAsyncFunction = functionOf('AsyncFunction', 'AsyncGeneratorFunction');
export const isBigInt64Array = typed('BigInt64Array');
export const isBigIntObject: Check = (value) => typeof value === 'object' && takenBy(BigInt.prototype.valueOf)(value);
export const isBigUint64Array = typed('BigUint64Array');
export const isBooleanObject: Check = (value) => typeof value === 'object' && takenBy(Boolean.prototype.valueOf)(value);
export const isCryptoKey: Check = (value) => value instanceof values.CryptoKey;
export const isDataView: Check = takenBy(sizeOf(DataView.prototype, 'byteLength'));
export const isDate: Check = takenBy(Date.prototype.getTime);
export const isExternal: Check = () => false;
export const isFloat32Array = typed('Float32Array');
export const isFloat64Array = typed('Float64Array');
export const isGeneratorFunction = functionOf('GeneratorFunction', 'AsyncGeneratorFunction');
export const isGeneratorObject = tagged('Generator', 'AsyncGenerator');
export const isInt16Array = typed('Int16Array');
export const isInt32Array = typed('Int32Array');
export const isInt8Array = typed('Int8Array');
export const isKeyObject: Check = () => false;
export const isMap: Check = takenBy(sizeOf(Map.prototype));
export const isMapIterator = tagged('Map Iterator');
export const isModuleNamespaceObject = tagged('Module');
export const isNativeError: Check = values.isError;
export const isNumberObject: Check = (value) => typeof value === 'object' && takenBy(Number.prototype.valueOf)(value);
export const isPromise: Check = (value) => value instanceof Promise;
export const isProxy: Check = () => false;
export const isRegExp: Check = (value) => value instanceof RegExp;
export const isSet: Check = takenBy(sizeOf(Set.prototype));
export const isSetIterator = tagged('Set Iterator');
export const isSharedArrayBuffer = tagged('SharedArrayBuffer');
export const isStringObject: Check = (value) => typeof value === 'object' && takenBy(String.prototype.valueOf)(value);
export const isSymbolObject: Check = (value) => typeof value === 'object' && takenBy(Symbol.prototype.valueOf)(value);
export const isTypedArray: Check = (value) => ArrayBuffer.isView(value) && !(value instanceof DataView);
export const isUint16Array = typed('Uint16Array');
export const isUint32Array = typed('Uint32Array');
export const isUint8Array = typed('Uint8Array');
export const isUint8ClampedArray = typed('Uint8ClampedArray');
export const isWeakMap: Check = (value) => value instanceof WeakMap;
export const isWeakSet: Check = (value) => value instanceof WeakSet;
export const isBoxedPrimitive: Check = (value) =>
  isNumberObject(value) ||
  isStringObject(value) ||
  isBooleanObject(value) ||
  isBigIntObject(value) ||
  isSymbolObject(value);

export default {
  isAnyArrayBuffer,
  isArgumentsObject,
  isArrayBuffer,
  isArrayBufferView,
  isAsyncFunction,
  isBigInt64Array,
  isBigIntObject,
  isBigUint64Array,
  isBooleanObject,
  isBoxedPrimitive,
  isCryptoKey,
  isDataView,
  isDate,
  isExternal,
  isFloat32Array,
  isFloat64Array,
  isGeneratorFunction,
  isGeneratorObject,
  isInt16Array,
  isInt32Array,
  isInt8Array,
  isKeyObject,
  isMap,
  isMapIterator,
  isModuleNamespaceObject,
  isNativeError,
  isNumberObject,
  isPromise,
  isProxy,
  isRegExp,
  isSet,
  isSetIterator,
  isSharedArrayBuffer,
  isStringObject,
  isSymbolObject,
  isTypedArray,
  isUint16Array,
  isUint32Array,
  isUint8Array,
  isUint8ClampedArray,
  isWeakMap,
  isWeakSet,
};
