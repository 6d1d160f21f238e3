/** FormData (XMLHttpRequest standard §5). */

import { type Blob, blobBytes, type File, isBlob, isFile, newFile } from './blob.ts';
import { ReflectApply } from './primordials.ts';
import { type IterationKind, iteratorPrototype, makeIterator } from './pair_iterator.ts';
import { defineInterface, isObject, requireArguments, toUSVString } from './webidl.ts';

export type FormValue = string | File;
export type FormEntry = [name: string, value: FormValue];

export let formEntries: (form: FormData) => FormEntry[];
export let isFormData: (value: unknown) => value is FormData;

export class FormData {
  #entries: FormEntry[] = [];

  constructor(form?: unknown) {
    if (form !== undefined) throw new TypeError('There are no form elements here');
  }

  static {
    formEntries = (form) => form.#entries;
    isFormData = (value): value is FormData => isObject(value) && #entries in value;
  }

  append(name: string, value: unknown, filename?: string): void {
    requireArguments(arguments.length, 2, 'FormData.append');
    this.#entries.push(entry(name, value, filename, arguments.length > 2));
  }

  delete(name: string): void {
    requireArguments(arguments.length, 1, 'FormData.delete');
    const key = toUSVString(name);
    this.#entries = this.#entries.filter((other) => other[0] !== key);
  }

  get(name: string): FormValue | null {
    requireArguments(arguments.length, 1, 'FormData.get');
    const key = toUSVString(name);
    return this.#entries.find((other) => other[0] === key)?.[1] ?? null;
  }

  getAll(name: string): FormValue[] {
    requireArguments(arguments.length, 1, 'FormData.getAll');
    const key = toUSVString(name);
    return this.#entries.filter((other) => other[0] === key).map((other) => other[1]);
  }

  has(name: string): boolean {
    requireArguments(arguments.length, 1, 'FormData.has');
    const key = toUSVString(name);
    return this.#entries.some((other) => other[0] === key);
  }

  set(name: string, value: unknown, filename?: string): void {
    requireArguments(arguments.length, 2, 'FormData.set');
    const made = entry(name, value, filename, arguments.length > 2);
    const at = this.#entries.findIndex((other) => other[0] === made[0]);
    if (at < 0) this.#entries.push(made);
    else this.#entries = this.#entries.filter((other, i) => i <= at || other[0] !== made[0]).with(at, made);
  }

  forEach(callback: (value: FormValue, name: string, form: FormData) => void, self: unknown = undefined): void {
    requireArguments(arguments.length, 1, 'FormData.forEach');
    if (typeof callback !== 'function') throw new TypeError('The callback is not a function');
    for (let i = 0; i < this.#entries.length; i++) {
      const [name, value] = this.#entries[i];
      ReflectApply(callback, self, [value, name, this]);
    }
  }

  entries(): Iterator<FormEntry> {
    return iterate(this, 'both') as Iterator<FormEntry>;
  }

  keys(): Iterator<string> {
    return iterate(this, 'key') as Iterator<string>;
  }

  values(): Iterator<FormValue> {
    return iterate(this, 'value') as Iterator<FormValue>;
  }
}

const FormDataIterator = iteratorPrototype('FormData');

function iterate(form: FormData, kind: IterationKind): Iterator<unknown> {
  formEntries(form); // throws for a foreign receiver
  return makeIterator(FormDataIterator, () => formEntries(form), kind);
}

/** Create an entry: a Blob becomes a File, and a filename needs a Blob. */
function entry(name: string, value: unknown, filename: unknown, named: boolean): FormEntry {
  const key = toUSVString(name);
  if (!isBlob(value)) {
    if (named) throw new TypeError('A filename is for a Blob value only');
    return [key, toUSVString(value)];
  }
  const title = named && filename !== undefined ? toUSVString(filename) : undefined;
  if (isFile(value) && title === undefined) return [key, value];
  const blob: Blob = value;
  return [key, newFile(blobBytes(blob), title ?? 'blob', blob.type, isFile(value) ? value.lastModified : undefined)];
}

Object.defineProperty(FormData.prototype, Symbol.iterator, {
  value: FormData.prototype.entries,
  writable: true,
  configurable: true,
});
defineInterface(FormData, 'FormData');
