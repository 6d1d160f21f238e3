/** TextEncoder, TextDecoder and their streams (Encoding standard §7). */

import { normalizeEncoding, TextDecoder as LegacyDecoder } from '@exodus/bytes/encoding.js';
import { charCodeAt, stringSlice } from '../primordials.ts';
import { type ReadableStream, TransformStream, type WritableStream } from '../streams.ts';
import {
  anyBytesView,
  defineInterface,
  isBufferSource,
  isSharedArrayBuffer,
  isUint8Array,
  requireArguments,
  toDictionary,
  toDOMString,
  toUSVString,
} from '../webidl.ts';
import { completeUtf8, utf8Decode, utf8DecodeStrict, utf8Encode, utf8EncodeInto } from './utf8.ts';
import { concatBytes } from '../blob.ts';

export class TextEncoder {
  #brand = true;

  get encoding(): string {
    void this.#brand;
    return 'utf-8';
  }

  encode(input: string | undefined = undefined): Uint8Array<ArrayBuffer> {
    void this.#brand;
    return input === undefined ? new Uint8Array(0) : utf8Encode(toUSVString(input));
  }

  encodeInto(source: string, destination: Uint8Array): { read: number; written: number } {
    void this.#brand;
    requireArguments(arguments.length, 2, 'TextEncoder.encodeInto');
    const text = toDOMString(source);
    if (!isUint8Array(destination)) throw new TypeError('The destination is not a Uint8Array');
    return utf8EncodeInto(text, destination);
  }
}

function inputBytes(input: unknown): Uint8Array {
  if (isBufferSource(input)) return anyBytesView(input);
  if (isSharedArrayBuffer(input)) return new Uint8Array(input as ArrayBuffer);
  throw new TypeError('The input is not a buffer');
}

/** UTF-8 with its state between the calls of a stream. */
class Utf8Decoder {
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  #rest: Uint8Array | null = null;
  #markSeen = false;
  #streaming = false;

  constructor(fatal: boolean, ignoreBOM: boolean) {
    this.fatal = fatal;
    this.ignoreBOM = ignoreBOM;
  }

  decode(given: Uint8Array, stream: boolean): string {
    if (!this.#streaming) {
      this.#rest = null;
      this.#markSeen = false;
    }
    this.#streaming = stream;
    let bytes = given;
    if (this.#rest !== null) bytes = concatBytes([this.#rest, given]);
    this.#rest = null;
    let end = bytes.length;
    if (stream) {
      end = completeUtf8(bytes, 0, end);
      if (end < bytes.length) this.#rest = bytes.slice(end);
    }
    let text: string;
    if (this.fatal) {
      const strict = utf8DecodeStrict(bytes, 0, end);
      if (strict === null) {
        this.#rest = null;
        throw new TypeError('The data is not valid UTF-8');
      }
      text = strict;
    } else text = utf8Decode(bytes, 0, end);
    if (this.ignoreBOM || this.#markSeen || text.length === 0) return text;
    this.#markSeen = true;
    return charCodeAt(text, 0) === 0xfeff ? stringSlice(text, 1) : text;
  }
}

interface AnyDecoder {
  decode(bytes: Uint8Array, stream: boolean): string;
}

function legacyDecoder(encoding: string, fatal: boolean, ignoreBOM: boolean): AnyDecoder {
  const decoder = new LegacyDecoder(encoding, { fatal, ignoreBOM });
  return { decode: (bytes, stream) => decoder.decode(bytes, { stream }) };
}

export class TextDecoder {
  #encoding: string;
  #fatal: boolean;
  #ignoreBOM: boolean;
  #decoder: AnyDecoder;

  constructor(label: string = 'utf-8', options: unknown = undefined) {
    const name = toDOMString(label);
    const settings = toDictionary(options, 'The options');
    const encoding = encodingOf(name);
    if (encoding === null) throw new RangeError(`The encoding ${JSON.stringify(name)} is not known`);
    this.#encoding = encoding;
    this.#fatal = !!settings.fatal;
    this.#ignoreBOM = !!settings.ignoreBOM;
    this.#decoder =
      encoding === 'utf-8'
        ? new Utf8Decoder(this.#fatal, this.#ignoreBOM)
        : legacyDecoder(encoding, this.#fatal, this.#ignoreBOM);
  }

  get encoding(): string {
    return this.#encoding;
  }

  get fatal(): boolean {
    return this.#fatal;
  }

  get ignoreBOM(): boolean {
    return this.#ignoreBOM;
  }

  decode(input: unknown = undefined, options: unknown = undefined): string {
    const decoder = this.#decoder;
    const bytes = input === undefined ? EMPTY : inputBytes(input);
    return decoder.decode(bytes, !!toDictionary(options, 'The options').stream);
  }
}

const EMPTY = new Uint8Array(0);

/** "Get an encoding", without "replacement", which has no decoder. */
function encodingOf(label: string): string | null {
  const encoding = normalizeEncoding(label.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, '')) as string | null;
  return encoding === 'replacement' ? null : encoding;
}

export class TextEncoderStream {
  #transform: TransformStream<unknown, Uint8Array>;

  constructor() {
    let lead = '';
    this.#transform = new TransformStream<unknown, Uint8Array>({
      transform(chunk, controller) {
        // Encode and enqueue a chunk: half of a surrogate pair waits for the other.
        let text = lead + toDOMString(chunk);
        lead = '';
        const last = text.length > 0 ? charCodeAt(text, text.length - 1) : 0;
        if ((last & 0xfc00) === 0xd800) {
          lead = stringSlice(text, -1);
          text = stringSlice(text, 0, -1);
        }
        if (text.length > 0) controller.enqueue(utf8Encode(text));
      },
      flush(controller) {
        if (lead !== '') controller.enqueue(new Uint8Array([0xef, 0xbf, 0xbd]));
      },
    });
  }

  get encoding(): string {
    void this.#transform;
    return 'utf-8';
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#transform.readable;
  }

  get writable(): WritableStream<unknown> {
    return this.#transform.writable;
  }
}

export class TextDecoderStream {
  #decoder: TextDecoder;
  #transform: TransformStream<unknown, string>;

  constructor(label: string = 'utf-8', options: unknown = undefined) {
    const decoder = new TextDecoder(label, options);
    this.#decoder = decoder;
    this.#transform = new TransformStream<unknown, string>({
      transform(chunk, controller) {
        const text = decoder.decode(inputBytes(chunk), { stream: true });
        if (text !== '') controller.enqueue(text);
      },
      flush(controller) {
        const text = decoder.decode();
        if (text !== '') controller.enqueue(text);
      },
    });
  }

  get encoding(): string {
    return this.#decoder.encoding;
  }

  get fatal(): boolean {
    return this.#decoder.fatal;
  }

  get ignoreBOM(): boolean {
    return this.#decoder.ignoreBOM;
  }

  get readable(): ReadableStream<string> {
    return this.#transform.readable;
  }

  get writable(): WritableStream<unknown> {
    return this.#transform.writable;
  }
}

defineInterface(TextEncoder, 'TextEncoder');
defineInterface(TextDecoder, 'TextDecoder');
defineInterface(TextEncoderStream, 'TextEncoderStream');
defineInterface(TextDecoderStream, 'TextDecoderStream');
