/** The reverse of `serialize.ts`, for bytes that came from there. */

import { newBlob, newFile } from '../blob.ts';
import { DOMException } from '../dom_exception.ts';
import { utf8Decode } from '../encoding/utf8.ts';
import { ERRORS, VIEWS } from '../internal_slots.ts';
import { Float16ArrayCtor } from '../late_intrinsics.ts';
import { fromCharCode, ObjectDefineProperty, SafeMap, setBytes, sliceBytes, uncurryThis } from '../primordials.ts';
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

const mapSet = uncurryThis(Map.prototype.set);
const setAdd = uncurryThis(Set.prototype.add);

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
    const made = this.#keep(order, new ERRORS[ERROR_NAMES[this.#byte()]]());
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
    const tag = VIEW_TAGS[kind];
    const View = tag === undefined ? DataView : tag === 'Float16Array' ? Float16ArrayCtor! : VIEWS[tag];
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

/** The value that `serialize` was given. @throws anything for bytes that are not from there. */
export function deserialize(bytes: Uint8Array<ArrayBuffer>): unknown {
  return new Reader(bytes).value();
}
