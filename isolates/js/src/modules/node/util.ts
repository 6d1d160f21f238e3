/** `node:util`: formatting and inspecting are the console's. */

import values from 'internal:platform';
import legacy from 'unenv/node/util';
import { isDeepStrictEqual } from '../internal/deep_equal.ts';
import types from './util/types.ts';

const CUSTOM = Symbol.for('nodejs.util.promisify.custom');
const INSPECT_CUSTOM = Symbol.for('nodejs.util.inspect.custom');

interface Options {
  depth?: number | null;
}

export function inspect(value: unknown, options?: Options | boolean): string {
  const chosen: Options = typeof options === 'object' ? options : {};
  const depth = chosen.depth === null ? Infinity : chosen.depth;
  const custom =
    typeof value === 'object' && value !== null ? (value as Record<symbol, unknown>)[INSPECT_CUSTOM] : null;
  if (typeof custom === 'function') {
    const shown: unknown = Reflect.apply(custom, value, [depth ?? 2, chosen, inspect]);
    if (shown !== value) return typeof shown === 'string' ? shown : inspect(shown, chosen);
  }
  return values.inspect(value, depth === undefined ? {} : { depth });
}
inspect.custom = INSPECT_CUSTOM;
inspect.defaultOptions = { depth: 2 };
inspect.colors = {};
inspect.styles = {};

export function format(...args: unknown[]): string {
  return values.format(args);
}

export function formatWithOptions(_options: unknown, ...args: unknown[]): string {
  return values.format(args);
}

export function promisify(original: AnyFunction): AnyFunction {
  if (typeof original !== 'function') throw new TypeError('The "original" argument must be of type function');
  const custom = (original as unknown as Record<symbol, unknown>)[CUSTOM];
  if (typeof custom === 'function') return custom as AnyFunction;
  function promisified(this: unknown, ...args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const done = (error: unknown, value: unknown): void => (error ? reject(error) : resolve(value));
      Reflect.apply(original, this, [...args, done]);
    });
  }
  Object.setPrototypeOf(promisified, Object.getPrototypeOf(original) as object);
  return Object.defineProperties(promisified, Object.getOwnPropertyDescriptors(original)) as AnyFunction;
}
promisify.custom = CUSTOM;

export function callbackify(original: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: unknown[]): void {
    const done = args.pop() as AnyFunction;
    (Reflect.apply(original, this, args) as Promise<unknown>).then(
      (value) => queueMicrotask(() => void done(null, value)),
      (reason: unknown) =>
        queueMicrotask(() => void done(reason ?? new Error('Promise was rejected with falsy value'))),
    );
  };
}

export function inherits(constructor: AnyFunction, superConstructor: AnyFunction): void {
  Object.defineProperty(constructor, 'super_', { value: superConstructor, writable: true, configurable: true });
  Object.setPrototypeOf(constructor.prototype, superConstructor.prototype as object);
}

/** Says so once, at the first call. */
export function deprecate(original: AnyFunction, message: string, code?: string): AnyFunction {
  let said = false;
  return function (this: unknown, ...args: unknown[]): unknown {
    if (!said) console.warn(`${code === undefined ? '' : `[${code}] `}DeprecationWarning: ${message}`);
    said = true;
    return new.target ? Reflect.construct(original, args, new.target) : Reflect.apply(original, this, args);
  };
}

export function debuglog(): AnyFunction & { enabled: boolean } {
  return Object.assign(() => {}, { enabled: false });
}

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u001B\u009B][[\]()#;?]*(?:(?:\d{1,4}(?:[;:]\d{0,4})*)?[\dA-PR-TZcf-nq-uy=><~])/g;

export function stripVTControlCharacters(text: string): string {
  return text.replace(CONTROL, '');
}

/** Text goes into a log, which has no colours. */
export function styleText(_format: unknown, text: string): string {
  return text;
}

export function toUSVString(text: string): string {
  return `${text}`.toWellFormed();
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

export const debug = debuglog;
export const { TextDecoder, TextEncoder } = values;
export const { isArray } = Array;
export const { MIMEParams, MIMEType, parseArgs } = legacy;
export const _extend = Object.assign;
export { isDeepStrictEqual, types };
export default {
  ...legacy,
  _extend,
  aborted,
  callbackify,
  debug,
  debuglog,
  deprecate,
  format,
  formatWithOptions,
  inherits,
  inspect,
  isArray,
  isDeepStrictEqual,
  MIMEParams,
  MIMEType,
  parseArgs,
  promisify,
  stripVTControlCharacters,
  styleText,
  TextDecoder,
  TextEncoder,
  toUSVString,
  types,
};
