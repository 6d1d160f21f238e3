/**
 * Text for values, in the manner of Node's util.inspect: what console prints and what the log says of exceptions.
 *
 * Safe for any value: no getter or toJSON of app code is run, what a proxy's traps throw is caught, cycles are marked,
 * and depth, entries and length are bounded.
 */

import { type BuiltinKind, builtinKind } from './builtin_kind.ts';
import { exceptionMessage, exceptionName, isDOMException } from './dom_exception.ts';
import { shownFields, shownPairs } from './inspect_platform.ts';
import { emptyItems, moreItems, quote, wrap } from './inspect_text.ts';
import {
  booleanValue,
  dateTime,
  mapForEach,
  mapSize,
  numberValue,
  regExpFlags,
  regExpSource,
  setForEach,
  setSize,
  stringValue,
} from './internal_slots.ts';
import { errorStack, isError } from './late_intrinsics.ts';
import {
  arrayBufferByteLength,
  isArray,
  ObjectGetOwnPropertyDescriptor,
  ObjectGetPrototypeOf,
  ReflectApply,
  ReflectOwnKeys,
  typedArrayLength,
  typedArrayTag,
  uncurryThis,
} from './primordials.ts';
import { trimStack } from './stack.ts';
import { isURL, urlHref } from './url/url.ts';

const MAX_DEPTH = 2;
const MAX_ENTRIES = 100;
const MAX_TOTAL = 64 << 10;

const dateToISO = uncurryThis(Date.prototype.toISOString);
const functionToString = uncurryThis(Function.prototype.toString);
const symbolToString = uncurryThis(Symbol.prototype.toString);

interface Context {
  seen: object[];
  /** Objects that a nested value refers back to. */
  circular: object[];
  /** Characters written so far. */
  total: number;
  depth: number;
}

export interface InspectOptions {
  /** How deep nested objects are shown. */
  depth?: number;
}

export function inspect(value: unknown, options: InspectOptions = {}): string {
  const context: Context = { seen: [], circular: [], total: 0, depth: options.depth ?? MAX_DEPTH };
  try {
    return formatValue(value, 0, context, false);
  } catch {
    return lastResort(value);
  }
}

/** For values, or realms, in which nothing can be relied on. */
function lastResort(value: unknown): string {
  try {
    const { stack } = value as { stack?: unknown };
    return typeof stack === 'string' ? stack : `${value as string}`;
  } catch {
    return '[value that cannot be inspected]';
  }
}

/** What an object's own `toString` says, as `%s` wants it; null if it has the language's, or throws. */
export function toStringOf(value: object): string | null {
  try {
    if (typeof value === 'function' || isErrorLike(value)) return null;
    const method = dataProperty(value, 'toString');
    if (typeof method !== 'function' || functionToString(method as () => void).includes('[native code]')) return null;
    return `${ReflectApply(method as () => unknown, value, []) as string}`;
  } catch {
    return null;
  }
}

/** The text of something thrown: the stack of an error, with its causes, else the value. */
export function inspectError(error: unknown): string {
  return inspect(error);
}

function formatValue(value: unknown, depth: number, context: Context, typed: boolean): string {
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'number':
      return formatNumber(value);
    case 'bigint':
      return `${value}n`;
    case 'symbol':
      return symbolToString(value);
    case 'object':
      if (value === null) return 'null';
      break;
    case 'function':
      break;
    default:
      return `${value as boolean}`;
  }
  if (context.seen.includes(value)) {
    if (!context.circular.includes(value)) context.circular.push(value);
    return `[Circular *${context.circular.indexOf(value) + 1}]`;
  }
  if (context.total > MAX_TOTAL) return '...';
  context.seen.push(value);
  const text = formatObject(value, depth, context);
  context.seen.pop();
  context.total += typed ? 0 : text.length;
  const reference = context.circular.indexOf(value);
  return reference < 0 ? text : `<ref *${reference + 1}> ${text}`;
}

/** A data property's value, without running a getter. Proxies are not asked: see `isOrdinary`. */
function dataProperty(object: object, key: PropertyKey): unknown {
  for (let at: object | null = object; at !== null; at = ObjectGetPrototypeOf(at) as object | null) {
    const descriptor = ObjectGetOwnPropertyDescriptor(at, key);
    if (descriptor !== undefined) return descriptor.value as unknown;
  }
  return undefined;
}

function constructorName(object: object): string | null {
  for (let at: object | null = object; at !== null; at = ObjectGetPrototypeOf(at) as object | null) {
    const descriptor = ObjectGetOwnPropertyDescriptor(at, 'constructor');
    if (descriptor !== undefined && typeof descriptor.value === 'function') {
      const name = ObjectGetOwnPropertyDescriptor(descriptor.value as object, 'name');
      if (name !== undefined && typeof name.value === 'string' && name.value !== '') return name.value;
    }
  }
  return null;
}

function prefix(object: object, usual: string): string {
  const name = constructorName(object);
  const tag = dataProperty(object, Symbol.toStringTag);
  const label = name ?? `[${usual}: null prototype]`;
  const suffix = typeof tag === 'string' && tag !== '' && tag !== name ? ` [${tag}]` : '';
  return label === usual && usual === 'Object' && suffix === '' ? '' : `${label}${suffix} `;
}

function formatObject(value: object, depth: number, context: Context): string {
  if (typeof value === 'function') return formatFunction(value, depth, context);
  if (isArray(value)) return formatArray(value, depth, context);
  if (isErrorLike(value)) return formatError(value, depth, context);
  const platform = formatPlatformObject(value, depth, context);
  if (platform !== null) return platform;
  if (typedArrayTag(value) !== undefined) return formatTypedArray(value as Uint8Array, context);
  const kind = builtinKind(value);
  if (kind === 'Map') return formatMap(value as Map<unknown, unknown>, depth, context);
  if (kind === 'Set') return formatSet(value as Set<unknown>, depth, context);
  const simple = formatSimple(value, kind);
  if (simple !== null && kind === 'String') return simple; // its characters are its own properties
  return group(value, simple ?? prefix(value, 'Object'), [], ['{', '}'], depth, context, simple !== null);
}

function isErrorLike(value: object): value is Error {
  return isDOMException(value) || isError(value);
}

/** Objects that one text stands for, with their own properties behind it. */
function formatSimple(value: object, kind: BuiltinKind | null): string | null {
  switch (kind) {
    case 'Date': {
      const time = dateTime(value as Date);
      return Number.isNaN(time) ? 'Invalid Date' : dateToISO(value as Date);
    }
    case 'RegExp':
      return `/${regExpSource(value)}/${regExpFlags(value)}`;
    case 'Number':
      return `[Number: ${formatNumber(numberValue(value))}]`;
    case 'String':
      return `[String: ${quote(stringValue(value))}]`;
    case 'Boolean':
      return `[Boolean: ${booleanValue(value)}]`;
    case 'Promise':
      return `${constructorName(value) ?? 'Promise'} { <state unknown> }`;
    case 'WeakMap':
    case 'WeakSet':
      return `${kind} { <items unknown> }`;
    case 'ArrayBuffer':
      return `ArrayBuffer { byteLength: ${arrayBufferByteLength(value)} }`;
    default:
      return null;
  }
}

function formatNumber(value: number): string {
  return Object.is(value, -0) ? '-0' : `${value}`;
}

function formatFunction(value: object, depth: number, context: Context): string {
  const name = ObjectGetOwnPropertyDescriptor(value, 'name')?.value as unknown;
  const label = typeof name === 'string' && name !== '' ? name : '(anonymous)';
  let source = '';
  try {
    source = functionToString(value as () => void);
  } catch {
    // a callable proxy
  }
  if (source.startsWith('class')) {
    const parent = ObjectGetPrototypeOf(value) as object | null;
    const parentName = parent === null ? undefined : (ObjectGetOwnPropertyDescriptor(parent, 'name')?.value as unknown);
    const heritage = typeof parentName === 'string' && parentName !== '' ? ` extends ${parentName}` : '';
    return group(value, `[class ${label}${heritage}]`, [], ['{', '}'], depth, context, true);
  }
  const kind = constructorName(value) ?? 'Function';
  const text = label === '(anonymous)' ? `[${kind} (anonymous)]` : `[${kind}: ${label}]`;
  return group(value, text, [], ['{', '}'], depth, context, true);
}

function formatError(value: Error, depth: number, context: Context): string {
  const stack = stackOf(value);
  const cause = ObjectGetOwnPropertyDescriptor(value, 'cause');
  const errors = ObjectGetOwnPropertyDescriptor(value, 'errors');
  const items: string[] = [];
  if (cause !== undefined) items.push(`[cause]: ${formatValue(cause.value, depth + 1, context, false)}`);
  if (errors !== undefined && isArray(errors.value)) {
    items.push(`[errors]: ${formatValue(errors.value, depth + 1, context, false)}`);
  }
  return group(value, stack, items, ['{', '}'], depth, context, true, [
    'stack',
    'message',
    'cause',
    'errors',
    '__location',
  ]);
}

/** The stack without running app code; an error whose message changed since shows the new message too. */
function stackOf(value: Error): string {
  let name: unknown;
  let message: unknown;
  if (isDOMException(value)) {
    name = exceptionName(value);
    message = exceptionMessage(value);
  } else {
    name = dataProperty(value, 'name');
    message = dataProperty(value, 'message');
  }
  const title = `${typeof name === 'string' ? name : 'Error'}${typeof message === 'string' && message !== '' ? `: ${message}` : ''}`;
  let stack: unknown = ObjectGetOwnPropertyDescriptor(value, 'stack')?.value; // what the app put in its place
  try {
    stack ??= errorStack(value);
  } catch {
    // the app's Error.prepareStackTrace
  }
  if (typeof stack !== 'string' || stack === '') return `[${title}]`;
  const frames = stack.indexOf('\n    at ');
  if (frames < 0) return stack.includes(title) ? stack : title;
  const first = stack.slice(0, frames);
  return trimStack(
    first.includes(typeof message === 'string' ? message : '') && !isDOMException(value)
      ? stack
      : title + stack.slice(frames),
  );
}

function formatArray(value: unknown[], depth: number, context: Context): string {
  const length = ObjectGetOwnPropertyDescriptor(value, 'length')!.value as number;
  const name = constructorName(value);
  const label = name === 'Array' ? '' : `${name ?? '[Array: null prototype]'}(${length}) `;
  if (depth > context.depth) return `[${name ?? 'Array'}]`;
  const items: string[] = [];
  let holes = 0;
  let shown = 0;
  for (let i = 0; i < length && shown < MAX_ENTRIES; i++) {
    const descriptor = ObjectGetOwnPropertyDescriptor(value, i);
    if (descriptor === undefined) {
      holes++;
      if (holes < 100_000) continue;
      break;
    }
    if (holes > 0) items.push(emptyItems(holes));
    holes = 0;
    items.push(formatProperty(descriptor, depth, context));
    shown++;
  }
  if (holes > 0) items.push(emptyItems(holes));
  if (length > shown && shown === MAX_ENTRIES) items.push(moreItems(length - shown));
  return group(value, label, items, ['[', ']'], depth, context, false, ['length'], true);
}

function formatTypedArray(value: Uint8Array, context: Context): string {
  const length = typedArrayLength(value);
  const items: string[] = [];
  for (let i = 0; i < length && i < MAX_ENTRIES; i++) items.push(formatValue(value[i], 0, context, true));
  if (length > MAX_ENTRIES) items.push(moreItems(length - MAX_ENTRIES));
  return `${constructorName(value) ?? typedArrayTag(value)}(${length}) ${wrap(items, ['[', ']'], 0)}`;
}

function formatMap(value: Map<unknown, unknown>, depth: number, context: Context): string {
  const size = mapSize(value);
  if (depth > context.depth) return `[${constructorName(value) ?? 'Map'}]`;
  const items: string[] = [];
  mapForEach(value, (item, key) => {
    if (items.length >= MAX_ENTRIES) return;
    items.push(`${formatValue(key, depth + 1, context, false)} => ${formatValue(item, depth + 1, context, false)}`);
  });
  if (size > MAX_ENTRIES) items.push(moreItems(size - MAX_ENTRIES));
  return group(value, `${constructorName(value) ?? 'Map'}(${size}) `, items, ['{', '}'], depth, context);
}

function formatSet(value: Set<unknown>, depth: number, context: Context): string {
  const size = setSize(value);
  if (depth > context.depth) return `[${constructorName(value) ?? 'Set'}]`;
  const items: string[] = [];
  setForEach(value, (item) => {
    if (items.length < MAX_ENTRIES) items.push(formatValue(item, depth + 1, context, false));
  });
  if (size > MAX_ENTRIES) items.push(moreItems(size - MAX_ENTRIES));
  return group(value, `${constructorName(value) ?? 'Set'}(${size}) `, items, ['{', '}'], depth, context);
}

function formatPlatformObject(value: object, depth: number, context: Context): string | null {
  const pairs = shownPairs(value);
  if (pairs !== null) return formatPairs(value, pairs, depth, context);
  if (isURL(value)) return `URL { href: ${quote(urlHref(value))} }`;
  const fields = shownFields(value);
  if (fields === null) return null;
  const items = Object.keys(fields).map(
    (key) => `${keyText(key)}: ${formatValue(fields[key], depth + 1, context, false)}`,
  );
  return `${constructorName(value) ?? 'Object'} ${wrap(items, ['{', '}'], depth)}`;
}

/** As a Map of what may be there several times. */
function formatPairs(value: object, pairs: [string, unknown][], depth: number, context: Context): string {
  const name = constructorName(value) ?? 'Object';
  if (depth > context.depth) return `[${name}]`;
  const items: string[] = [];
  for (let i = 0; i < pairs.length && i < MAX_ENTRIES; i++) {
    items.push(`${quote(pairs[i][0])} => ${formatValue(pairs[i][1], depth + 1, context, false)}`);
  }
  if (pairs.length > MAX_ENTRIES) items.push(moreItems(pairs.length - MAX_ENTRIES));
  return `${name} ${wrap(items, ['{', '}'], depth)}`;
}

function formatProperty(descriptor: PropertyDescriptor, depth: number, context: Context): string {
  if (descriptor.get !== undefined) return descriptor.set !== undefined ? '[Getter/Setter]' : '[Getter]';
  if (descriptor.set !== undefined) return '[Setter]';
  return formatValue(descriptor.value, depth + 1, context, false);
}

function keyText(key: string | symbol): string {
  if (typeof key === 'symbol') return `[${symbolToString(key)}]`;
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key);
}

/** `items` and the own enumerable properties of `value` in brackets, behind `label`. */
function group(
  value: object,
  label: string,
  items: string[],
  brackets: [string, string],
  depth: number,
  context: Context,
  labelStands = false,
  hidden: string[] = [],
  indexed = false,
): string {
  let more = 0;
  const nested: string[] = items;
  // The keys of a large array alone would fill the heap.
  const keys = indexed && items.length >= MAX_ENTRIES ? [] : ReflectOwnKeys(value);
  if (depth > context.depth && !labelStands) return keys.length === 0 ? `${label}{}` : `[${label.trim() || 'Object'}]`;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    if (typeof key === 'string' && (hidden.includes(key) || (indexed && /^\d+$/.test(key)))) continue;
    const descriptor = ObjectGetOwnPropertyDescriptor(value, key);
    if (descriptor === undefined || descriptor.enumerable !== true) continue;
    if (nested.length >= MAX_ENTRIES + 2 || context.total > MAX_TOTAL) {
      more++;
      continue;
    }
    nested.push(`${keyText(key)}: ${formatProperty(descriptor, depth, context)}`);
  }
  if (more > 0) nested.push(moreItems(more));
  if (nested.length === 0) return labelStands ? label : `${label}${brackets[0]}${brackets[1]}`;
  return `${labelStands ? `${label} ` : label}${wrap(nested, brackets, depth)}`;
}
