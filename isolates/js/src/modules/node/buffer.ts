/** `node:buffer`: the package `buffer`, with what Node.js has beyond it. */

import { Buffer, INSPECT_MAX_BYTES, kMaxLength, SlowBuffer } from 'buffer';
import values from 'internal:platform';

interface Patched {
  from: AnyFunction;
  byteLength: AnyFunction;
  isEncoding(encoding: unknown): boolean;
  copyBytesFrom: AnyFunction;
  prototype: { toString: AnyFunction; write: AnyFunction; [name: symbol]: unknown };
}

const MAX_STRING_LENGTH = 0x1fffffe8;
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

function isBase64Url(encoding: unknown): boolean {
  return typeof encoding === 'string' && encoding.toLowerCase() === 'base64url';
}

/** The package decodes the alphabet of base64url as base64, and does not know its name. */
function addBase64Url(target: Patched): void {
  const { from, byteLength, isEncoding } = target;
  const { toString, write } = target.prototype;
  const known = (encoding: unknown): unknown => (isBase64Url(encoding) ? 'base64' : encoding);
  target.from = (value: unknown, encoding?: unknown, length?: unknown) => from(value, known(encoding), length);
  target.byteLength = (value: unknown, encoding?: unknown) => byteLength(value, known(encoding));
  target.isEncoding = (encoding) => isBase64Url(encoding) || isEncoding(encoding);
  target.prototype.write = function (this: unknown, ...args: unknown[]) {
    const last = args.length - 1;
    return Reflect.apply(
      write,
      this,
      args.map((arg, index) => (index === last ? known(arg) : arg)),
    );
  };
  target.prototype.toString = function (this: unknown, encoding?: unknown, start?: unknown, end?: unknown) {
    const text: string = Reflect.apply(toString, this, [known(encoding), start, end]);
    return isBase64Url(encoding) ? text.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '') : text;
  };
}

const patched = Buffer as unknown as Patched;
addBase64Url(patched);
patched.copyBytesFrom ??= (view: ArrayBufferView, offset = 0, length?: number) => {
  const typed = view as Uint8Array;
  const part = typed.subarray(offset, length === undefined ? undefined : offset + length);
  return Buffer.from(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
};
patched.prototype[INSPECT] ??= (patched.prototype as { inspect?: unknown }).inspect;

export function isAscii(input: ArrayBuffer | Uint8Array): boolean {
  return bytesOf(input).every((byte) => byte < 0x80);
}

export function isUtf8(input: ArrayBuffer | Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytesOf(input));
    return true;
  } catch {
    return false;
  }
}

export function transcode(source: Uint8Array, from: string, to: string): Buffer {
  return Buffer.from(Buffer.from(bytesOf(source)).toString(from as 'utf8'), to as 'utf8');
}

export function resolveObjectURL(): undefined {
  return undefined;
}

function bytesOf(input: ArrayBuffer | Uint8Array): Uint8Array<ArrayBuffer> {
  return (ArrayBuffer.isView(input) ? input : new Uint8Array(input)) as Uint8Array<ArrayBuffer>;
}

const { atob, btoa, Blob, File } = values;
const constants = { MAX_LENGTH: kMaxLength, MAX_STRING_LENGTH };
const kStringMaxLength = MAX_STRING_LENGTH;

export { atob, Blob, btoa, Buffer, constants, File, INSPECT_MAX_BYTES, kMaxLength, kStringMaxLength, SlowBuffer };
export default {
  atob,
  Blob,
  btoa,
  Buffer,
  constants,
  File,
  INSPECT_MAX_BYTES,
  isAscii,
  isUtf8,
  kMaxLength,
  kStringMaxLength,
  resolveObjectURL,
  SlowBuffer,
  transcode,
};
