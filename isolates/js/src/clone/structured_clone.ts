/** Structured clone (HTML §2.7), within one realm. */

import { blobBytes, isBlob, isFile, newBlob, newFile } from '../blob.ts';
import { type BuiltinKind, builtinKind } from '../builtin_kind.ts';
import { isCryptoKey, newKey, slotsOf } from '../crypto/crypto_key.ts';
import { DOMException, isDOMException } from '../dom_exception.ts';
import { isDetachedPort, isMessagePort, type MessagePort, movePort } from '../message_channel.ts';
import {
  arrayBufferByteLength,
  ArrayBufferIsView,
  dataViewBuffer,
  dataViewByteLength,
  dataViewOffset,
  hasOwn,
  isArray,
  ObjectDefineProperty,
  ObjectGetOwnPropertyDescriptor,
  ObjectGetPrototypeOf,
  ObjectKeys,
  setBytes,
  sliceBytes,
  typedArrayBuffer,
  typedArrayByteLength,
  typedArrayLength,
  typedArrayOffset,
  typedArrayTag,
  uncurryThis,
} from '../primordials.ts';
import { inspect } from '../inspect.ts';
import {
  bigintValue,
  booleanValue,
  bufferMaxByteLength,
  bufferResizable,
  dateTime,
  ERRORS,
  mapForEach,
  numberValue,
  regExpFlags,
  regExpSource,
  setForEach,
  stringValue,
  VIEWS,
} from '../internal_slots.ts';
import { Float16ArrayCtor, isError } from '../late_intrinsics.ts';
import { isArrayBuffer, isObject, isSharedArrayBuffer, requireArguments, toDictionary } from '../webidl.ts';
import { isLockedStream, isTransferableStream, sidesOf, transferStream } from './transferred_streams.ts';

const typedArrayValues = uncurryThis(
  (ObjectGetPrototypeOf(Uint8Array.prototype) as Uint8Array).values as () => unknown,
) as unknown as (view: ArrayBufferView) => unknown;
const detached = uncurryThis(ObjectGetOwnPropertyDescriptor(ArrayBuffer.prototype, 'detached')!.get as () => boolean);
const resize = uncurryThis(
  (ArrayBuffer.prototype as unknown as { resize(length: number): void }).resize,
) as unknown as (buffer: ArrayBuffer, length: number) => void;
const transferBuffer = uncurryThis(
  (ArrayBuffer.prototype as unknown as { transfer(): ArrayBuffer }).transfer,
) as unknown as (buffer: ArrayBuffer) => ArrayBuffer;

function refuse(value: unknown, what?: string): never {
  const shown = what ?? inspect(value, { depth: 0 }).slice(0, 200);
  throw new DOMException(`${shown} could not be cloned`, 'DataCloneError');
}

/** What was cloned already, and the shapes of views whose buffer may be detached by now. */
interface Memory {
  clones: Map<object, unknown>;
  shapes: Map<object, ViewShape>;
}

interface ViewShape {
  offset: number;
  /** Undefined when it follows the length of its buffer. */
  length: number | undefined;
}

function clone(value: unknown, memory: Memory): unknown {
  if (typeof value === 'symbol') refuse(value);
  if (!isObject(value)) return value;
  if (memory.clones.has(value)) return memory.clones.get(value);
  const kind = builtinKind(value);
  const leaf = cloneLeaf(value, kind, memory);
  if (leaf !== undefined) {
    memory.clones.set(value, leaf);
    return leaf;
  }
  if (typeof value === 'function') refuse(value);
  const container = cloneContainer(value, kind, memory);
  if (container !== undefined) return container;
  if (isPlatformOnly(value)) refuse(value);
  const copy: object = {};
  memory.clones.set(value, copy);
  copyProperties(value, copy, memory);
  return copy;
}

/** Objects without members to follow; undefined for others. */
function cloneLeaf(value: object, kind: BuiltinKind | null, memory: Memory): object | undefined {
  switch (kind) {
    case 'Boolean':
      return Object(booleanValue(value)) as object;
    case 'Number':
      return Object(numberValue(value)) as object;
    case 'BigInt':
      return Object(bigintValue(value)) as object;
    case 'String':
      return Object(stringValue(value)) as object;
    case 'Date':
      return new Date(dateTime(value as Date));
    case 'RegExp':
      return new RegExp(regExpSource(value), regExpFlags(value));
    case 'ArrayBuffer':
      return cloneBuffer(value as ArrayBuffer);
    case 'Map':
    case 'Set':
      return undefined;
    case null:
      break;
    default:
      refuse(value);
  }
  if (ArrayBufferIsView(value)) return cloneView(value, memory);
  if (isSharedArrayBuffer(value)) refuse(value, 'A SharedArrayBuffer');
  if (isFile(value)) return newFile(blobBytes(value), value.name, value.type, value.lastModified);
  if (isBlob(value)) return newBlob(blobBytes(value), value.type);
  if (isCryptoKey(value)) return newKey(slotsOf(value));
  if (isDOMException(value)) return new DOMException(value.message, value.name);
  return undefined;
}

function cloneBuffer(buffer: ArrayBuffer): ArrayBuffer {
  if (detached(buffer)) refuse(buffer, 'A detached ArrayBuffer');
  const length = arrayBufferByteLength(buffer);
  const options = bufferResizable(buffer) ? { maxByteLength: bufferMaxByteLength(buffer) } : undefined;
  const copy = new (ArrayBuffer as unknown as new (length: number, options?: object) => ArrayBuffer)(length, options);
  new Uint8Array(copy).set(new Uint8Array(buffer));
  return copy;
}

function cloneView(view: ArrayBufferView, memory: Memory): ArrayBufferView {
  const tag = typedArrayTag(view);
  const source = tag === undefined ? dataViewBuffer(view) : typedArrayBuffer(view);
  const shape = memory.shapes.get(view) ?? shapeOf(view, tag);
  memory.shapes.set(view, shape);
  const buffer = clone(source, memory) as ArrayBuffer;
  const View = tag === undefined ? DataView : tag === 'Float16Array' ? Float16ArrayCtor! : VIEWS[tag];
  return new View(buffer, shape.offset, shape.length);
}

function shapeOf(view: ArrayBufferView, tag: string | undefined): ViewShape {
  try {
    // Both throw for a view that is out of its buffer's bounds.
    if (tag === undefined) {
      const length = dataViewByteLength(view);
      return { offset: dataViewOffset(view), length: followsBuffer(view, tag) ? undefined : length };
    }
    typedArrayValues(view);
  } catch {
    refuse(view, 'A view that is out of the bounds of its buffer');
  }
  return { offset: typedArrayOffset(view), length: followsBuffer(view, tag) ? undefined : typedArrayLength(view) };
}

/** The most bytes that an element of a view can have. */
const ELEMENT_BYTES = 8;

/**
 * Whether a view's length is that of its buffer, which nothing tells: the buffer is made longer for a moment, or, when it
 * is as long as it may be, shorter.
 */
function followsBuffer(view: ArrayBufferView, tag: string | undefined): boolean {
  const buffer = tag === undefined ? dataViewBuffer(view) : typedArrayBuffer(view);
  if (!isArrayBuffer(buffer) || !bufferResizable(buffer)) return false;
  const lengthOf = tag === undefined ? dataViewByteLength : typedArrayByteLength;
  const bytes = arrayBufferByteLength(buffer);
  const length = lengthOf(view);
  if (bytes + ELEMENT_BYTES <= bufferMaxByteLength(buffer)) {
    resize(buffer, bytes + ELEMENT_BYTES);
    const follows = lengthOf(view) !== length;
    resize(buffer, bytes);
    return follows;
  }
  if (bytes < ELEMENT_BYTES || length === 0) return false;
  const all = new Uint8Array(buffer);
  const last = sliceBytes(all, bytes - ELEMENT_BYTES);
  resize(buffer, bytes - ELEMENT_BYTES);
  let follows = true;
  try {
    if (tag !== undefined) typedArrayValues(view);
    follows = lengthOf(view) < length;
  } catch {
    follows = false; // a view with a length of its own, which is out of bounds now
  }
  resize(buffer, bytes);
  setBytes(all, last, bytes - ELEMENT_BYTES);
  return follows;
}

/** Objects whose members are cloned too; undefined for others. */
function cloneContainer(value: object, kind: BuiltinKind | null, memory: Memory): object | undefined {
  if (isArray(value)) {
    const copy: unknown[] = [];
    copy.length = value.length;
    memory.clones.set(value, copy);
    copyProperties(value, copy, memory);
    return copy;
  }
  if (kind === 'Map') {
    const copy = new Map<unknown, unknown>();
    memory.clones.set(value, copy);
    const entries: unknown[] = [];
    mapForEach(value as Map<unknown, unknown>, (item, key) => entries.push(key, item));
    for (let i = 0; i < entries.length; i += 2) copy.set(clone(entries[i], memory), clone(entries[i + 1], memory));
    return copy;
  }
  if (kind === 'Set') {
    const copy = new Set<unknown>();
    memory.clones.set(value, copy);
    const members: unknown[] = [];
    setForEach(value as Set<unknown>, (member) => members.push(member));
    for (const member of members) copy.add(clone(member, memory));
    return copy;
  }
  return isError(value) ? cloneError(value as Error, memory) : undefined;
}

function cloneError(error: Error, memory: Memory): Error {
  const { name } = error;
  const Constructor = typeof name === 'string' && hasOwn(ERRORS, name) ? ERRORS[name] : Error;
  const message = ObjectGetOwnPropertyDescriptor(error, 'message');
  const copy = Object.create(Constructor.prototype as object) as Error;
  const made = new Constructor();
  Object.setPrototypeOf(made, Object.getPrototypeOf(copy) as object);
  memory.clones.set(error, made);
  if (message !== undefined && 'value' in message) {
    ObjectDefineProperty(made, 'message', {
      value: `${message.value as string}`,
      writable: true,
      configurable: true,
      enumerable: false,
    });
  }
  const stack: unknown = error.stack;
  ObjectDefineProperty(made, 'stack', {
    value: typeof stack === 'string' ? stack : '',
    writable: true,
    configurable: true,
    enumerable: false,
  });
  if (hasOwn(error, 'cause')) {
    ObjectDefineProperty(made, 'cause', {
      value: clone(error.cause, memory),
      writable: true,
      configurable: true,
      enumerable: false,
    });
  }
  return made;
}

/** Objects with internal slots that cannot be serialized. */
function isPlatformOnly(value: object): boolean {
  const prototype = ObjectGetPrototypeOf(value) as object | null;
  if (prototype === null || prototype === Object.prototype) return false;
  return isTransferableStream(value) || isMessagePort(value) || isInterfaceObject(value);
}

/** Instances of the platform's interfaces have their class's tag on the prototype and no state of their own. */
function isInterfaceObject(value: object): boolean {
  const tag = (Object.getPrototypeOf(value) as { [Symbol.toStringTag]?: unknown } | null)?.[Symbol.toStringTag];
  if (typeof tag !== 'string') return false;
  const Interface = (globalThis as unknown as Record<string, unknown>)[tag];
  return (
    typeof Interface === 'function' && value instanceof Interface && Interface !== Object && !(value instanceof Array)
  );
}

function copyProperties(from: object, to: object, memory: Memory): void {
  for (const key of ObjectKeys(from)) {
    if (!hasOwn(from, key)) continue; // a getter may have removed it
    ObjectDefineProperty(to, key, {
      value: clone((from as Record<string, unknown>)[key], memory),
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
}

/** Checks a transfer list. @throws DOMException DataCloneError */
function checkTransfer(transfer: object[]): void {
  for (const [index, item] of transfer.entries()) {
    if (transfer.indexOf(item) !== index) throw new DOMException('A transferable is listed twice', 'DataCloneError');
    if (isArrayBuffer(item)) {
      if (detached(item)) refuse(item, 'A detached ArrayBuffer');
    } else if (isTransferableStream(item)) {
      if (isLockedStream(item)) refuse(item, 'A locked stream');
      for (const side of sidesOf(item)) if (transfer.includes(side)) refuse(side, 'A side of a stream in the list');
    } else if (!isMessagePort(item)) refuse(item, 'A value that cannot be transferred');
    else if (isDetachedPort(item)) refuse(item, 'A MessagePort that was transferred');
  }
}

/** StructuredSerializeWithTransfer and its reverse. Returns the clone and the transferred ports. */
export function cloneWithTransfer(value: unknown, transfer: object[]): { value: unknown; ports: MessagePort[] } {
  const shapes = new Map<object, ViewShape>();
  if (transfer.length === 0) return { value: clone(value, { clones: new Map(), shapes }), ports: [] };
  checkTransfer(transfer);
  // A failed clone must transfer nothing: a first run, in which what is transferred stands for itself, finds out.
  clone(value, { clones: new Map(transfer.map((item) => [item, item])), shapes });
  const clones = new Map<object, unknown>();
  const ports: MessagePort[] = [];
  for (const item of transfer) {
    if (isMessagePort(item)) {
      const port = movePort(item);
      ports.push(port);
      clones.set(item, port);
    } else if (isTransferableStream(item)) clones.set(item, transferStream(item, structuredClone));
    else clones.set(item, transferBuffer(item as ArrayBuffer));
  }
  return { value: clone(value, { clones, shapes }), ports };
}

/** The transfer list in the options of structuredClone and postMessage. */
export function transferList(options: unknown): object[] {
  if (isArray(options)) return options as object[];
  const { transfer } = toDictionary(options, 'The options');
  if (transfer === undefined) return [];
  const list = [...(transfer as Iterable<unknown>)];
  for (const item of list) if (!isObject(item)) throw new TypeError('A member of transfer is not an object');
  return list as object[];
}

export function structuredClone(value: unknown, options?: unknown): unknown {
  requireArguments(arguments.length, 1, 'structuredClone');
  return cloneWithTransfer(value, transferList(options)).value;
}
