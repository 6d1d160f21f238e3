/**
 * Structured serialisation (HTML §2.7.4) into bytes, for what leaves the isolate. The input is a structured clone, which
 * has neither getters nor proxies nor prototypes of the app's, so that nothing of the app's runs here.
 *
 * A value is a tag byte and its content; numbers are little-endian. An object that was there before is told by its place
 * in the order in which objects began.
 */

import { blobBytes, isBlob, isFile, newBlob, newFile } from './blob.ts';
import { type BuiltinKind, builtinKind } from './builtin_kind.ts';
import { DOMException, isDOMException } from './dom_exception.ts';
import { utf8Decode, utf8Encode } from './encoding/utf8.ts';
import { Float16ArrayCtor, isError } from './late_intrinsics.ts';
import {
  arrayBufferByteLength,
  ArrayBufferIsView,
  charCodeAt,
  dataViewBuffer,
  dataViewByteLength,
  dataViewOffset,
  fromCharCode,
  hasOwn,
  isArray,
  ObjectDefineProperty,
  ObjectKeys,
  SafeMap,
  setBytes,
  sliceBytes,
  toWellFormed,
  typedArrayBuffer,
  typedArrayLength,
  typedArrayOffset,
  typedArrayTag,
  uncurryThis,
} from './primordials.ts';

const dateTime = uncurryThis(Date.prototype.getTime);
const regExpSource = uncurryThis(Object.getOwnPropertyDescriptor(RegExp.prototype, 'source')!.get as () => string);
const regExpFlags = uncurryThis(Object.getOwnPropertyDescriptor(RegExp.prototype, 'flags')!.get as () => string);
const numberValue = uncurryThis(Number.prototype.valueOf);
const stringValue = uncurryThis(String.prototype.valueOf);
const booleanValue = uncurryThis(Boolean.prototype.valueOf);
const bigintValue = uncurryThis(BigInt.prototype.valueOf) as unknown as (value: object) => bigint;
const bigintText = uncurryThis(BigInt.prototype.toString) as unknown as (value: bigint) => string;
const mapForEach = uncurryThis(Map.prototype.forEach);
const mapSet = uncurryThis(Map.prototype.set);
const mapSize = uncurryThis(Object.getOwnPropertyDescriptor(Map.prototype, 'size')!.get as () => number);
const setForEach = uncurryThis(Set.prototype.forEach);
const setAdd = uncurryThis(Set.prototype.add);
const setSize = uncurryThis(Object.getOwnPropertyDescriptor(Set.prototype, 'size')!.get as () => number);
const resizable = uncurryThis(
  Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'resizable')!.get as () => boolean,
);
const maxByteLength = uncurryThis(
  Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'maxByteLength')!.get as () => number,
);

const UNDEFINED = 0;
const NULL = 1;
const TRUE = 2;
const FALSE = 3;
const NUMBER = 4;
const TEXT = 5;
/** With halves of surrogate pairs, which UTF-8 has not. */
const UNITS = 6;
const BIGINT = 7;
const AGAIN = 8;
const DATE = 9;
const BOOLEAN_OBJECT = 10;
const NUMBER_OBJECT = 11;
const STRING_OBJECT = 12;
const BIGINT_OBJECT = 13;
const REGEXP = 14;
const BUFFER = 15;
const VIEW = 16;
const ARRAY = 17;
const OBJECT = 18;
const MAP = 19;
const SET = 20;
const ERROR = 21;
const BLOB = 22;
const FILE = 23;
const DOM_EXCEPTION = 24;

const VIEWS: (new (buffer: ArrayBuffer, offset: number, length?: number) => ArrayBufferView)[] = [
  DataView,
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
];
const VIEW_NAMES = VIEWS.map((View) => View.name);
const FLOAT16 = VIEWS.length;
const ERRORS = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError] as const;
const ERROR_NAMES = ERRORS.map((Constructor) => Constructor.name);

/** The value has more bytes than it may. */
export class TooLarge extends Error {}

function refuse(what: string): never {
  throw new DOMException(`${what} cannot be sent to another isolate`, 'DataCloneError');
}

class Writer {
  readonly #limit: number;
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  readonly #seen = new SafeMap<object, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  written(): Uint8Array<ArrayBuffer> {
    return sliceBytes(this.#bytes, 0, this.#at);
  }

  value(value: unknown): void {
    if (value === undefined) this.#byte(UNDEFINED);
    else if (value === null) this.#byte(NULL);
    else if (typeof value === 'boolean') this.#byte(value ? TRUE : FALSE);
    else if (typeof value === 'number') this.#number(NUMBER, value);
    else if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'bigint') this.#bigint(BIGINT, value);
    else this.#object(value as object);
  }

  #object(value: object): void {
    const before = this.#seen.get(value);
    if (before !== undefined) {
      this.#byte(AGAIN);
      this.#word(before);
      return;
    }
    this.#seen.set(value, this.#seen.size);
    const kind = builtinKind(value);
    if (kind !== null) this.#builtin(value, kind);
    else if (isArray(value)) this.#array(value as unknown[]);
    else if (ArrayBufferIsView(value)) this.#viewOf(value);
    // Before other errors: it is one, but keeps its name and message elsewhere.
    else if (isDOMException(value)) {
      this.#byte(DOM_EXCEPTION);
      this.#text(value.message);
      this.#text(value.name);
    } else if (isError(value)) this.#error(value as Error);
    else if (isBlob(value)) this.#blob(value);
    else if (Object.getPrototypeOf(value) === Object.prototype) {
      this.#byte(OBJECT);
      this.#members(value, ObjectKeys(value));
    } else refuse('A value of this type');
  }

  #builtin(value: object, kind: BuiltinKind): void {
    switch (kind) {
      case 'Boolean':
        this.#byte(BOOLEAN_OBJECT);
        this.value(booleanValue(value as never));
        break;
      case 'Number':
        this.#number(NUMBER_OBJECT, numberValue(value as never));
        break;
      case 'String':
        this.#byte(STRING_OBJECT);
        this.#text(stringValue(value as never));
        break;
      case 'BigInt':
        this.#bigint(BIGINT_OBJECT, bigintValue(value));
        break;
      case 'Date':
        this.#number(DATE, dateTime(value as Date));
        break;
      case 'RegExp':
        this.#byte(REGEXP);
        this.#text(regExpSource(value as never));
        this.#text(regExpFlags(value as never));
        break;
      case 'ArrayBuffer':
        this.#buffer(value as ArrayBuffer);
        break;
      case 'Map':
        this.#byte(MAP);
        this.#word(mapSize(value as never));
        mapForEach(value as Map<unknown, unknown>, (item, key) => {
          this.value(key);
          this.value(item);
        });
        break;
      case 'Set':
        this.#byte(SET);
        this.#word(setSize(value as never));
        setForEach(value as Set<unknown>, (member) => this.value(member));
        break;
      default:
        refuse(`A ${kind}`);
    }
  }

  #array(value: unknown[]): void {
    this.#byte(ARRAY);
    this.#word(value.length);
    this.#members(value, ObjectKeys(value));
  }

  #members(value: object, keys: string[]): void {
    this.#word(keys.length);
    for (let i = 0; i < keys.length; i++) {
      this.#text(keys[i]);
      this.value((value as Record<string, unknown>)[keys[i]]);
    }
  }

  #buffer(value: ArrayBuffer): void {
    this.#byte(BUFFER);
    this.#word(resizable(value as never) ? maxByteLength(value as never) + 1 : 0);
    this.#data(new Uint8Array(value, 0, arrayBufferByteLength(value)));
  }

  #viewOf(value: ArrayBufferView): void {
    const tag = typedArrayTag(value);
    this.#byte(VIEW);
    this.#byte(tag === undefined ? 0 : tag === 'Float16Array' ? FLOAT16 : VIEW_NAMES.indexOf(tag));
    this.#word(tag === undefined ? dataViewOffset(value) : typedArrayOffset(value));
    this.#word(tag === undefined ? dataViewByteLength(value) : typedArrayLength(value));
    this.value(tag === undefined ? dataViewBuffer(value) : typedArrayBuffer(value));
  }

  #error(value: Error): void {
    this.#byte(ERROR);
    const { name, stack } = value;
    this.#byte(Math.max(0, ERROR_NAMES.indexOf(name)));
    this.value(hasOwn(value, 'message') ? value.message : undefined);
    this.#text(typeof stack === 'string' ? stack : '');
    const hasCause = hasOwn(value, 'cause');
    this.value(hasCause);
    if (hasCause) this.value(value.cause);
  }

  #blob(value: object & { type: string }): void {
    const file = isFile(value) ? value : null;
    this.#byte(file === null ? BLOB : FILE);
    this.#text(value.type);
    if (file !== null) {
      this.#text(file.name);
      this.#number(NUMBER, file.lastModified);
    }
    this.#data(blobBytes(value as never));
  }

  #number(tag: number, value: number): void {
    this.#byte(tag);
    this.#room(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  #bigint(tag: number, value: bigint): void {
    this.#byte(tag);
    this.#text(bigintText(value));
  }

  #text(text: string): void {
    if (toWellFormed(text) === text) {
      this.#byte(TEXT);
      // Before it is encoded: a text of a gigabyte must not be.
      if (text.length > this.#limit) throw new TooLarge();
      this.#data(utf8Encode(text));
      return;
    }
    this.#byte(UNITS);
    this.#word(text.length);
    this.#room(2 * text.length);
    for (let i = 0; i < text.length; i++, this.#at += 2) this.#view.setUint16(this.#at, charCodeAt(text, i), true);
  }

  #data(data: Uint8Array): void {
    this.#word(data.length);
    this.#room(data.length);
    setBytes(this.#bytes, data, this.#at);
    this.#at += data.length;
  }

  #word(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  #byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  #room(size: number): void {
    const needed = this.#at + size;
    if (needed > this.#limit) throw new TooLarge();
    if (needed <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    setBytes(bytes, this.#bytes);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;
  readonly #objects = new SafeMap<number, object>();
  #begun = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  value(): unknown {
    const tag = this.#byte();
    switch (tag) {
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case TRUE:
        return true;
      case FALSE:
        return false;
      case NUMBER:
        return this.#number();
      case TEXT:
      case UNITS:
        this.#at--;
        return this.#text();
      case BIGINT:
        return BigInt(this.#text());
      case AGAIN:
        return this.#objects.get(this.#word());
      default:
        return this.#object(tag, this.#begun++);
    }
  }

  #object(tag: number, order: number): object {
    switch (tag) {
      case ARRAY: {
        const array: unknown[] = [];
        array.length = this.#word();
        return this.#members(this.#keep(order, array));
      }
      case OBJECT:
        return this.#members(this.#keep(order, {}));
      case MAP: {
        const map = this.#keep(order, new Map<unknown, unknown>());
        for (let left = this.#word(); left > 0; left--) mapSet(map as never, this.value(), this.value());
        return map;
      }
      case SET: {
        const set = this.#keep(order, new Set<unknown>());
        for (let left = this.#word(); left > 0; left--) setAdd(set as never, this.value());
        return set;
      }
      case ERROR:
        return this.#error(order);
      default:
        return this.#keep(order, this.#leaf(tag));
    }
  }

  #leaf(tag: number): object {
    switch (tag) {
      case DATE:
        return new Date(this.#number());
      case BOOLEAN_OBJECT:
      case STRING_OBJECT:
        return Object(this.value()) as object;
      case NUMBER_OBJECT:
        return Object(this.#number()) as object;
      case BIGINT_OBJECT:
        return Object(BigInt(this.#text())) as object;
      case REGEXP:
        return new RegExp(this.#text(), this.#text());
      case BUFFER:
        return this.#buffer();
      case VIEW:
        return this.#viewOf();
      case BLOB: {
        const type = this.#text();
        return newBlob(this.#data(), type);
      }
      case FILE: {
        const type = this.#text();
        const name = this.#text();
        this.#byte();
        const lastModified = this.#number();
        return newFile(this.#data(), name, type, lastModified);
      }
      case DOM_EXCEPTION:
        return new DOMException(this.#text(), this.#text());
      default:
        throw new TypeError(`There is no value of kind ${tag}`);
    }
  }

  #members<T extends object>(target: T): T {
    for (let left = this.#word(); left > 0; left--) {
      const key = this.#text();
      const value = this.value();
      ObjectDefineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
    }
    return target;
  }

  #error(order: number): Error {
    const made = this.#keep(order, new (ERRORS[this.#byte()] ?? Error)());
    const message = this.value();
    const hidden = { writable: true, configurable: true, enumerable: false };
    if (message !== undefined) ObjectDefineProperty(made, 'message', { value: message, ...hidden });
    ObjectDefineProperty(made, 'stack', { value: this.#text(), ...hidden });
    if (this.value() === true) ObjectDefineProperty(made, 'cause', { value: this.value(), ...hidden });
    return made;
  }

  #buffer(): ArrayBuffer {
    const most = this.#word();
    const data = this.#data();
    if (most === 0) return data.buffer;
    const Buffer = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer;
    const buffer = new Buffer(data.length, { maxByteLength: most - 1 });
    setBytes(new Uint8Array(buffer), data);
    return buffer;
  }

  #viewOf(): ArrayBufferView {
    const kind = this.#byte();
    const offset = this.#word();
    const length = this.#word();
    const View = kind === FLOAT16 ? Float16ArrayCtor! : VIEWS[kind];
    return new View(this.value() as ArrayBuffer, offset, length);
  }

  #keep<T extends object>(order: number, object: T): T {
    this.#objects.set(order, object);
    return object;
  }

  #number(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  #text(): string {
    if (this.#byte() === TEXT) {
      const size = this.#word();
      this.#at += size;
      return utf8Decode(this.#bytes, this.#at - size, this.#at);
    }
    let text = '';
    for (let left = this.#word(); left > 0; left--, this.#at += 2) {
      text += fromCharCode(this.#view.getUint16(this.#at, true));
    }
    return text;
  }

  /** A copy, with a buffer of its own. */
  #data(): Uint8Array<ArrayBuffer> {
    const size = this.#word();
    this.#at += size;
    return sliceBytes(this.#bytes, this.#at - size, this.#at);
  }

  #word(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  #byte(): number {
    return this.#view.getUint8(this.#at++);
  }
}

/**
 * A structured clone as bytes. @throws DOMException DataCloneError for what has no bytes, `TooLarge` for more than `limit`.
 */
export function serialize(clone: unknown, limit: number): Uint8Array<ArrayBuffer> {
  const writer = new Writer(limit);
  writer.value(clone);
  return writer.written();
}

/** The value that `serialize` was given. @throws anything for bytes that are not from there. */
export function deserialize(bytes: Uint8Array<ArrayBuffer>): unknown {
  return new Reader(bytes).value();
}
