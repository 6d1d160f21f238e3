/**
 * The intrinsics that the loop and the platform rely on, taken before any app code runs.
 *
 * App code may overwrite every global and every prototype method of its own realm. What runs between requests must
 * not break because of it, so hot paths use these, index loops instead of iterators, and `await` instead of `then`.
 */

const { call, bind } = Function.prototype;

/** Turns a method into a function that takes `this` first; V8 inlines calls of the result. */
export const uncurryThis = bind.bind(call) as <T, A extends unknown[], R>(
  method: (this: T, ...args: A) => R,
) => (self: T, ...args: A) => R;

export const {
  defineProperty: ObjectDefineProperty,
  defineProperties: ObjectDefineProperties,
  getOwnPropertyDescriptor: ObjectGetOwnPropertyDescriptor,
  getOwnPropertyDescriptors: ObjectGetOwnPropertyDescriptors,
  getOwnPropertyNames: ObjectGetOwnPropertyNames,
  getPrototypeOf: ObjectGetPrototypeOf,
  setPrototypeOf: ObjectSetPrototypeOf,
  create: ObjectCreate,
  freeze: ObjectFreeze,
  keys: ObjectKeys,
} = Object;
export const { ownKeys: ReflectOwnKeys, apply: ReflectApply, construct: ReflectConstruct } = Reflect;
export const hasOwn = Object.hasOwn;
export const isArray = Array.isArray;
export const { now: DateNow } = Date;
export const { min, max, floor, trunc } = Math;
export const { isFinite: NumberIsFinite, isInteger: NumberIsInteger } = Number;
export const { isView: ArrayBufferIsView } = ArrayBuffer;
export const { fromCharCode } = String;
export const { parse: JSONParse, stringify: JSONStringify } = JSON;

export const propertyIsEnumerable = uncurryThis(Object.prototype.propertyIsEnumerable);
export const toWellFormed = uncurryThis(String.prototype.toWellFormed);
export const toLowerCase = uncurryThis(String.prototype.toLowerCase);
export const toUpperCase = uncurryThis(String.prototype.toUpperCase);
export const stringSplit = uncurryThis(String.prototype.split as (this: string, separator: string) => string[]);
export const stringSlice = uncurryThis(String.prototype.slice);
export const stringIndexOf = uncurryThis(String.prototype.indexOf);
export const charCodeAt = uncurryThis(String.prototype.charCodeAt);

const TypedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
const getter = (prototype: object, name: PropertyKey) =>
  uncurryThis(Object.getOwnPropertyDescriptor(prototype, name)!.get as (this: unknown) => unknown);

export const typedArrayTag = getter(TypedArrayPrototype, Symbol.toStringTag) as (value: unknown) => string | undefined;
export const typedArrayBuffer = getter(TypedArrayPrototype, 'buffer') as (value: unknown) => ArrayBuffer;
export const typedArrayOffset = getter(TypedArrayPrototype, 'byteOffset') as (value: unknown) => number;
export const typedArrayLength = getter(TypedArrayPrototype, 'length') as (value: unknown) => number;
export const typedArrayByteLength = getter(TypedArrayPrototype, 'byteLength') as (value: unknown) => number;
export const dataViewBuffer = getter(DataView.prototype, 'buffer') as (value: unknown) => ArrayBuffer;
export const dataViewOffset = getter(DataView.prototype, 'byteOffset') as (value: unknown) => number;
export const dataViewByteLength = getter(DataView.prototype, 'byteLength') as (value: unknown) => number;
export const arrayBufferByteLength = getter(ArrayBuffer.prototype, 'byteLength') as (value: unknown) => number;
/** With a length of 0: the bytes are gone for all who had them. */
export const detachBuffer = uncurryThis(
  (ArrayBuffer.prototype as unknown as { transfer(length: number): ArrayBuffer }).transfer as (
    this: ArrayBuffer,
    length: number,
  ) => ArrayBuffer,
);
export const setBytes = uncurryThis(TypedArrayPrototype.set) as (
  target: Uint8Array,
  source: Uint8Array,
  at?: number,
) => void;
export const subarray = uncurryThis(TypedArrayPrototype.subarray) as (
  source: Uint8Array,
  start?: number,
  end?: number,
) => Uint8Array<ArrayBuffer>;
export const sliceBytes = uncurryThis(TypedArrayPrototype.slice) as (
  source: Uint8Array,
  start?: number,
  end?: number,
) => Uint8Array<ArrayBuffer>;
export const Uint8ArrayCtor = Uint8Array;
export const PromiseCtor = Promise;
export const promiseResolve = Promise.resolve.bind(Promise) as <T>(value: T | PromiseLike<T>) => Promise<T>;
export const promiseReject = Promise.reject.bind(Promise) as <T = never>(reason: unknown) => Promise<T>;
export const promiseThen = uncurryThis(Promise.prototype.then) as <T, R, S>(
  promise: Promise<T>,
  fulfilled: (value: T) => R,
  rejected?: (reason: unknown) => S,
) => Promise<R | S>;

/** Copies `Base`'s methods onto `Safe`'s own prototype, so that changes to `Base.prototype` do not reach it. */
function detachPrototype(Base: { prototype: object }, Safe: { prototype: object }): void {
  const prototype = Base.prototype;
  for (const key of Reflect.ownKeys(prototype)) {
    if (!Object.hasOwn(Safe.prototype, key)) {
      Object.defineProperty(Safe.prototype, key, Object.getOwnPropertyDescriptor(prototype, key)!);
    }
  }
  Object.setPrototypeOf(Safe.prototype, null);
  Object.freeze(Safe.prototype);
}

/** A Map whose methods app code cannot replace. Do not iterate it with for-of: use `forEach`. */
export class SafeMap<K, V> extends Map<K, V> {}
detachPrototype(Map, SafeMap);

/** A Set whose methods app code cannot replace. */
export class SafeSet<T> extends Set<T> {}
detachPrototype(Set, SafeSet);

/** A WeakMap whose methods app code cannot replace. */
export class SafeWeakMap<K extends WeakKey, V> extends WeakMap<K, V> {}
detachPrototype(WeakMap, SafeWeakMap);

/** A WeakSet whose methods app code cannot replace. */
export class SafeWeakSet<T extends WeakKey> extends WeakSet<T> {}
detachPrototype(WeakSet, SafeWeakSet);

/** Marks a promise whose rejection is somebody else's to see, so that it is not reported as unhandled. */
export function markHandled(promise: Promise<unknown>): void {
  promiseThen(promise, ignore, ignore);
}

function ignore(): void {}
