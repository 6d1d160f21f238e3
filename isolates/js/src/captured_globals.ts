/**
 * The language's globals as they were before app code ran. The build puts these in the place of every free reference in
 * the bundle, the bundled packages included, so that an app that overwrites a global breaks only itself.
 */

const scope = globalThis;

export const {
  Array,
  ArrayBuffer,
  BigInt,
  Boolean,
  DataView,
  Date,
  Error,
  FinalizationRegistry,
  Float64Array,
  Int32Array,
  JSON,
  Map,
  Math,
  Number,
  Object,
  Promise,
  RangeError,
  Reflect,
  RegExp,
  Set,
  String,
  Symbol,
  SyntaxError,
  TypeError,
  Uint16Array,
  Uint32Array,
  Uint8Array,
  WeakMap,
  WeakRef,
  WeakSet,
} = scope;
