/**
 * Structured serialisation (HTML §2.7.4) into bytes (`tags.ts`), for what leaves the isolate. The input is a structured
 * clone, which has neither getters nor proxies nor prototypes of the app's, so that nothing of the app's runs here.
 */

import { blobBytes, isBlob, isFile } from '../blob.ts';
import { type BuiltinKind, builtinKind } from '../builtin_kind.ts';
import { DOMException, isDOMException } from '../dom_exception.ts';
import { utf8Encode } from '../encoding/utf8.ts';
import {
  bigintValue,
  booleanValue,
  bufferMaxByteLength,
  bufferResizable,
  dateTime,
  mapForEach,
  mapSize,
  numberValue,
  regExpFlags,
  regExpSource,
  setForEach,
  setSize,
  stringValue,
} from '../internal_slots.ts';
import { isError } from '../late_intrinsics.ts';
import {
  arrayBufferByteLength,
  ArrayBufferIsView,
  charCodeAt,
  dataViewBuffer,
  dataViewByteLength,
  dataViewOffset,
  hasOwn,
  isArray,
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
} from '../primordials.ts';
import {
  AGAIN,
  ARRAY,
  BIGINT,
  BIGINT_OBJECT,
  BLOB,
  BOOLEAN_OBJECT,
  BUFFER,
  DATE,
  DOM_EXCEPTION,
  ERROR,
  ERROR_NAMES,
  FALSE,
  FILE,
  MAP,
  NULL,
  NUMBER,
  NUMBER_OBJECT,
  OBJECT,
  REGEXP,
  SET,
  STRING_OBJECT,
  TEXT,
  TRUE,
  UNDEFINED,
  UNITS,
  VIEW,
  VIEW_TAGS,
} from './tags.ts';

const bigintText = uncurryThis(BigInt.prototype.toString) as unknown as (value: bigint) => string;

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
        this.value(booleanValue(value));
        break;
      case 'Number':
        this.#number(NUMBER_OBJECT, numberValue(value));
        break;
      case 'String':
        this.#byte(STRING_OBJECT);
        this.#text(stringValue(value));
        break;
      case 'BigInt':
        this.#bigint(BIGINT_OBJECT, bigintValue(value));
        break;
      case 'Date':
        this.#number(DATE, dateTime(value as Date));
        break;
      case 'RegExp':
        this.#byte(REGEXP);
        this.#text(regExpSource(value));
        this.#text(regExpFlags(value));
        break;
      case 'ArrayBuffer':
        this.#buffer(value as ArrayBuffer);
        break;
      case 'Map':
        this.#byte(MAP);
        this.#word(mapSize(value));
        mapForEach(value as Map<unknown, unknown>, (item, key) => {
          this.value(key);
          this.value(item);
        });
        break;
      case 'Set':
        this.#byte(SET);
        this.#word(setSize(value));
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
    this.#word(bufferResizable(value) ? bufferMaxByteLength(value) + 1 : 0);
    this.#data(new Uint8Array(value, 0, arrayBufferByteLength(value)));
  }

  #viewOf(value: ArrayBufferView): void {
    const tag = typedArrayTag(value);
    this.#byte(VIEW);
    this.#byte(VIEW_TAGS.indexOf(tag));
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

/**
 * A structured clone as bytes. @throws DOMException DataCloneError for what has no bytes, `TooLarge` for more than `limit`.
 */
export function serialize(clone: unknown, limit: number): Uint8Array<ArrayBuffer> {
  const writer = new Writer(limit);
  writer.value(clone);
  return writer.written();
}
