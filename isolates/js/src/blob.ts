/** Blob and File (File API §3, §4): their bytes are in memory. */

import { utf8Decode, utf8Encode } from './encoding/utf8.ts';
import { DateNow, max, min, ReflectApply, setBytes, sliceBytes, subarray, toLowerCase } from './primordials.ts';
import { ReadableStream } from './streams.ts';
import {
  bytesView,
  defineInterface,
  INTERNAL,
  isBufferSource,
  isObject,
  requireArguments,
  toDictionary,
  toUSVString,
} from './webidl.ts';

/** A view that nobody writes to: slices share it. */
export let blobBytes: (blob: Blob) => Uint8Array<ArrayBuffer>;
/** What `type` says, whatever a subclass made of that. */
export let blobTypeOf: (blob: Blob) => string;
export let isBlob: (value: unknown) => value is Blob;

const STREAM_CHUNK_BYTES = 64 << 10;

export class Blob {
  #bytes: Uint8Array<ArrayBuffer>;
  #type: string;

  constructor(parts: unknown = undefined, options: unknown = undefined, token: unknown = undefined) {
    if (token === INTERNAL) {
      this.#bytes = parts as Uint8Array<ArrayBuffer>;
      this.#type = options as string;
      return;
    }
    let list: (string | Uint8Array)[] = [];
    if (parts !== undefined) list = blobParts(parts);
    const settings = toDictionary(options, 'The options');
    const endings = settings.endings === undefined ? 'transparent' : `${settings.endings as string}`;
    if (endings !== 'transparent' && endings !== 'native') {
      throw new TypeError(`${endings} is not a value of the option endings`);
    }
    this.#type = settings.type === undefined ? '' : blobType(`${settings.type as string}`);
    this.#bytes = joinParts(list, endings === 'native');
  }

  static {
    blobBytes = (blob) => blob.#bytes;
    blobTypeOf = (blob) => blob.#type;
    isBlob = (value): value is Blob => isObject(value) && #bytes in value;
  }

  get size(): number {
    return this.#bytes.length;
  }

  get type(): string {
    return this.#type;
  }

  slice(
    start: number | undefined = undefined,
    end: number | undefined = undefined,
    contentType: string | undefined = undefined,
  ): Blob {
    const { length } = this.#bytes;
    const first = position(start === undefined ? 0 : start, length);
    const last = position(end === undefined ? length : end, length);
    const type = contentType === undefined ? '' : blobType(`${contentType}`);
    return newBlob(subarray(this.#bytes, first, max(first, last)), type);
  }

  stream(): ReadableStream<Uint8Array> {
    const bytes = this.#bytes;
    let at = 0;
    return new ReadableStream({
      type: 'bytes',
      pull(controller) {
        if (at < bytes.length) {
          const end = min(bytes.length, at + STREAM_CHUNK_BYTES);
          controller.enqueue(sliceBytes(bytes, at, end));
          at = end;
        }
        if (at >= bytes.length) {
          controller.close();
          controller.byobRequest?.respond(0);
        }
      },
    });
  }

  async text(): Promise<string> {
    return utf8DecodeWithoutMark(this.#bytes);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return sliceBytes(this.#bytes).buffer;
  }

  async bytes(): Promise<Uint8Array> {
    return sliceBytes(this.#bytes);
  }
}

export let isFile: (value: unknown) => value is File;
/** As `blobTypeOf`. */
export let fileNameOf: (file: File) => string;

export class File extends Blob {
  #name: string;
  #lastModified: number;

  constructor(parts: unknown, name: string, options: unknown = undefined, token: unknown = undefined) {
    if (token === INTERNAL) {
      super(parts, (options as FileFacts).type, INTERNAL);
      this.#name = name;
      this.#lastModified = (options as FileFacts).lastModified;
      return;
    }
    requireArguments(arguments.length, 2, "Failed to construct 'File'");
    if (parts === undefined) throw new TypeError('The file parts are not a sequence');
    super(parts, options);
    this.#name = toUSVString(name);
    const { lastModified } = toDictionary(options, 'The options');
    this.#lastModified = lastModified === undefined ? DateNow() : Math.trunc(Number(lastModified)) || 0;
  }

  static {
    isFile = (value): value is File => isObject(value) && #name in value;
    fileNameOf = (file) => file.#name;
  }

  get name(): string {
    return this.#name;
  }

  get lastModified(): number {
    return this.#lastModified;
  }

  get webkitRelativePath(): string {
    void this.#name;
    return '';
  }
}

interface FileFacts {
  type: string;
  lastModified: number;
}

/** A blob over bytes that the caller will not change. */
export function newBlob(bytes: Uint8Array<ArrayBuffer>, type: string): Blob {
  return new Blob(bytes, type, INTERNAL);
}

/** A file over bytes that the caller will not change. */
export function newFile(bytes: Uint8Array<ArrayBuffer>, name: string, type: string, lastModified = DateNow()): File {
  return new File(bytes, name, { type, lastModified }, INTERNAL);
}

/** The type of a blob: lower case, or empty when it holds anything but printable ASCII. */
export function blobType(type: string): string {
  return /^[\x20-\x7e]*$/.test(type) ? toLowerCase(type) : '';
}

/** UTF-8 decode of the Encoding standard: a byte order mark at the start is dropped. */
export function utf8DecodeWithoutMark(bytes: Uint8Array): string {
  const mark = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return utf8Decode(bytes, mark ? 3 : 0);
}

function position(value: number, length: number): number {
  const number = Math.min(Math.max(Math.trunc(Number(value)) || 0, -Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  return number < 0 ? max(length + number, 0) : min(number, length);
}

function blobParts(parts: unknown): (string | Uint8Array)[] {
  // Read once, as the conversion to a sequence does.
  const iterate = isObject(parts) ? (parts as Partial<Iterable<unknown>>)[Symbol.iterator] : undefined;
  if (typeof iterate !== 'function') throw new TypeError('The blob parts are not a sequence');
  const list: (string | Uint8Array)[] = [];
  for (const part of { [Symbol.iterator]: () => ReflectApply(iterate, parts, []) as Iterator<unknown> }) {
    if (isBlob(part)) list.push(blobBytes(part));
    else if (isBufferSource(part)) list.push(sliceBytes(bytesView(part)));
    else list.push(toUSVString(part));
  }
  return list;
}

function joinParts(parts: (string | Uint8Array)[], nativeEndings: boolean): Uint8Array<ArrayBuffer> {
  const pieces = parts.map((part) =>
    typeof part === 'string' ? utf8Encode(nativeEndings ? part.replace(/\r\n?/g, '\n') : part) : part,
  );
  return concatBytes(pieces);
}

export function concatBytes(pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (let i = 0; i < pieces.length; i++) size += pieces[i].length;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < pieces.length; i++) {
    setBytes(bytes, pieces[i], at);
    at += pieces[i].length;
  }
  return bytes;
}

defineInterface(Blob, 'Blob');
defineInterface(File, 'File');
