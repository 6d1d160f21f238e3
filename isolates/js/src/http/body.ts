/** Bodies (Fetch §2.2.4, §5.2): extracting, consuming and cloning, without a stream until one is asked for. */

import { currentConnection } from '../continuation.ts';
import { Blob, blobBytes, concatBytes, isBlob, newBlob, utf8DecodeWithoutMark } from '../blob.ts';
import { utf8Encode, utf8Length } from '../encoding/utf8.ts';
import { FormData, isFormData } from '../form_data.ts';
import {
  charCodeAt,
  JSONParse,
  min,
  ObjectDefineProperty,
  promiseReject,
  promiseResolve,
  SafeWeakMap,
  setBytes,
  sliceBytes,
  stringSlice,
} from '../primordials.ts';
import {
  cancelReader,
  isByteStream,
  isDisturbed,
  isReadableStream,
  readChunks,
  ReadableStream,
  readerOf,
  TransformStream,
} from '../streams.ts';
import { structuredClone } from '../clone/structured_clone.ts';
import { isURLSearchParams, serializeParams } from '../url/search_params.ts';
import { bytesView, isBufferSource, isUint8Array, toUSVString } from '../webidl.ts';
import { type BorrowedBlock, borrowBlock } from '../native.ts';
import { WINDOW_BYTES } from '../ring/output.ts';
import { borrow, copyInto } from './body_buffers.ts';
import { parseFormData, serializeMultipart } from './form_codec.ts';
import { parseMime, serializeMime } from './mime.ts';
import type { IncomingBody } from './incoming.ts';

const STREAM_CHUNK_BYTES = 64 << 10;

/** A body: text or bytes that are there, or frames that arrive, or a stream. */
export class Body {
  /** Text stands for its UTF-8 bytes. Null when the body is `incoming` or only a stream. With a stream that was made of
   *  it, it counts as long as nothing was read from that. */
  source: string | Uint8Array<ArrayBuffer> | null;
  incoming: IncomingBody | null;
  /** Made on demand; once there, it is the body. */
  stream: ReadableStream<unknown> | null;
  /** Consumed without a stream. */
  used = false;
  /** Memory of `body_buffers.ts` that the source is in, if this body alone refers to it. */
  borrowed: Uint8Array<ArrayBuffer> | null = null;
  /** The same for a block. */
  block: BorrowedBlock | null = null;

  constructor(
    source: string | Uint8Array<ArrayBuffer> | null,
    incoming: IncomingBody | null = null,
    stream: ReadableStream<unknown> | null = null,
  ) {
    this.source = source;
    this.incoming = incoming;
    this.stream = stream;
  }

  /** From now on somebody else may refer to the source. */
  share(): void {
    this.borrowed = null;
    this.block = null;
  }
}

/** Streams that were made of a source. */
const sources = new SafeWeakMap<object, string | Uint8Array<ArrayBuffer>>();

/** The content type that the last `extractBody` implies, or null. Read it right after the call. */
export let extractedType: string | null = null;

/** Fetch "extract a body". `toBeSent`: it is over once it was sent, which is mostly soon. @throws TypeError for a stream that is locked or was read from. */
export function extractBody(init: unknown, toBeSent = false): Body {
  extractedType = null;
  if (typeof init === 'string') {
    extractedType = 'text/plain;charset=UTF-8';
    return new Body(init);
  }
  if (isReadableStream(init)) {
    if (init.locked || isDisturbed(init)) throw new TypeError('The body is a stream that is locked or was read from');
    // Frameworks pass bodies on as `new Response(response.body, …)`: what is whole stays whole.
    return new Body(sources.get(init) ?? null, null, init);
  }
  if (isBufferSource(init)) return copied(bytesView(init), toBeSent);
  if (isBlob(init)) {
    if (init.type !== '') extractedType = init.type;
    return new Body(blobBytes(init));
  }
  if (isFormData(init)) {
    const { bytes, type } = serializeMultipart(init);
    extractedType = type;
    return new Body(bytes);
  }
  if (isURLSearchParams(init)) {
    extractedType = 'application/x-www-form-urlencoded;charset=UTF-8';
    return new Body(serializeParams(init));
  }
  if (isAsyncIterable(init)) return new Body(null, null, streamFrom(init));
  extractedType = 'text/plain;charset=UTF-8';
  return new Body(toUSVString(init));
}

function copied(bytes: Uint8Array<ArrayBuffer>, toBeSent: boolean): Body {
  // The response to come is the current request's, most likely.
  const block = toBeSent && bytes.length > WINDOW_BYTES ? borrowBlock(bytes.length, currentConnection()) : null;
  if (block !== null) {
    setBytes(block.bytes, bytes);
    const body = new Body(block.bytes);
    body.block = block;
    return body;
  }
  const memory = toBeSent ? borrow(bytes.length) : null;
  if (memory === null) return new Body(sliceBytes(bytes));
  const body = new Body(copyInto(memory, bytes));
  body.borrowed = memory;
  return body;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === 'function'
  );
}

function streamFrom(iterable: AsyncIterable<unknown>): ReadableStream<unknown> {
  return (ReadableStream as unknown as { from(iterable: AsyncIterable<unknown>): ReadableStream<unknown> }).from(
    iterable,
  );
}

/** Marks a body as consumed by way of its source. */
export function markUsed(body: Body): void {
  body.used = true;
  if (body.stream !== null) exhaust(body.stream);
}

/** What was consumed shows as disturbed, at its end, and locked, as if it had been read from. */
function exhaust(stream: ReadableStream<unknown>): void {
  void cancelReader(readerOf(stream), undefined);
}

/** Bytes of the body where that is known, else -1. */
export function bodyLength(body: Body): number {
  const { source } = body;
  return source === null ? -1 : typeof source === 'string' ? utf8Length(source) : source.length;
}

export function isUsed(body: Body | null): boolean {
  return body !== null && (body.used || (body.stream !== null && isDisturbed(body.stream)));
}

/** Fetch "unusable": disturbed or locked. */
export function isUnusable(body: Body | null): boolean {
  return body !== null && (body.used || (body.stream !== null && (isDisturbed(body.stream) || body.stream.locked)));
}

/** The body's stream, made now if it has none. */
export function streamOf(body: Body): ReadableStream<unknown> {
  if (body.stream !== null) return body.stream;
  if (body.used) {
    // What was in it belongs to whoever consumed it, and may still be arriving there.
    body.stream = new ReadableStream({ type: 'bytes' }) as ReadableStream<unknown>;
    exhaust(body.stream);
    return body.stream;
  }
  const { source, incoming } = body;
  if (incoming !== null) body.stream = incoming.toStream() as ReadableStream<unknown>;
  else {
    body.stream = streamOver(typeof source === 'string' ? utf8Encode(source) : source!);
    sources.set(body.stream, source!);
    body.share();
  }
  return body.stream;
}

function streamOver(bytes: Uint8Array<ArrayBuffer>): ReadableStream<unknown> {
  let at = 0;
  return new ReadableStream({
    type: 'bytes',
    start(controller) {
      if (bytes.length === 0) controller.close();
    },
    pull(controller) {
      const end = min(bytes.length, at + STREAM_CHUNK_BYTES);
      controller.enqueue(sliceBytes(bytes, at, end));
      at = end;
      if (at === bytes.length) {
        controller.close();
        controller.byobRequest?.respond(0);
      }
    },
  }) as unknown as ReadableStream<unknown>;
}

/** Fetch "clone a body". The body must not be unusable. */
export function cloneBody(body: Body): Body {
  if (body.source !== null) {
    body.share();
    return new Body(body.source);
  }
  const stream = streamOf(body);
  const [mine, other] = stream.tee();
  body.stream = mine;
  body.incoming = null;
  // The branches of a byte stream share nothing already; chunks of another one are cloned for the second branch.
  return new Body(null, null, isByteStream(stream) ? other : other.pipeThrough(cloningTransform()));
}

function cloningTransform(): TransformStream<unknown, unknown> {
  return new TransformStream<unknown, unknown>({
    transform(chunk, controller) {
      controller.enqueue(structuredClone(chunk));
    },
  });
}

/** What `convert` makes of all bytes of a stream. @throws TypeError when a chunk is no Uint8Array. */
async function readAll<T>(stream: ReadableStream<unknown>, convert: (bytes: Uint8Array<ArrayBuffer>) => T): Promise<T> {
  const chunks: Uint8Array[] = [];
  await readChunks(stream, (chunk) => {
    if (!isUint8Array(chunk)) throw new TypeError('The stream gave a chunk that is not a Uint8Array');
    chunks[chunks.length] = chunk;
  });
  return convert(concatBytes(chunks));
}

function unchanged<T>(value: T): T {
  return value;
}

const USED = 'The body was already used, or is locked';

/** The body's bytes, in an array that nobody else holds. */
function takeBytes(body: Body | null): Promise<Uint8Array<ArrayBuffer>> {
  if (body === null) return promiseResolve(new Uint8Array(0));
  if (isUnusable(body)) return promiseReject(new TypeError(USED));
  const { source, incoming } = body;
  if (source === null && body.stream !== null) return readAll(body.stream, unchanged);
  markUsed(body);
  if (typeof source === 'string') return promiseResolve(utf8Encode(source));
  if (source !== null) return promiseResolve(sliceBytes(source));
  return incoming!.collect();
}

function takeText(body: Body | null): Promise<string> | string {
  if (body === null) return '';
  const { source, incoming } = body;
  if ((body.stream === null || source !== null) && !isUnusable(body)) {
    markUsed(body);
    if (typeof source === 'string') return wellFormedText(source);
    if (source !== null) return utf8DecodeWithoutMark(source);
    return incoming!.collect().then(utf8DecodeWithoutMark);
  }
  if (!isUnusable(body)) return readAll(body.stream!, utf8DecodeWithoutMark);
  return promiseReject(new TypeError(USED));
}

function wellFormedText(text: string): string {
  return (text.length > 0 && charCodeAt(text, 0) === 0xfeff ? stringSlice(text, 1) : text).toWellFormed();
}

/** What a class with a body tells the mixin: its body, and its content type or null. */
export interface BodyOwner<T> {
  body(self: T): Body | null;
  contentType(self: T): string | null;
}

/** Adds the Body mixin's members to `prototype`. `owner`'s functions throw a TypeError for a foreign receiver. */
export function mixinBody<T extends object>(prototype: T, owner: BodyOwner<T>): void {
  const members = {
    get body() {
      const body = owner.body(this as unknown as T);
      return body === null ? null : streamOf(body);
    },
    get bodyUsed() {
      return isUsed(owner.body(this as unknown as T));
    },
    async arrayBuffer() {
      return (await takeBytes(owner.body(this as unknown as T))).buffer;
    },
    async blob(): Promise<Blob> {
      const type = owner.contentType(this as unknown as T);
      return newBlob(await takeBytes(owner.body(this as unknown as T)), type === null ? '' : mimeForBlob(type));
    },
    async bytes() {
      return takeBytes(owner.body(this as unknown as T));
    },
    async formData(): Promise<FormData> {
      const self = this as unknown as T;
      const body = owner.body(self);
      if (isUnusable(body)) throw new TypeError(USED);
      return parseFormData(await takeBytes(body), owner.contentType(self));
    },
    async json(): Promise<unknown> {
      const text = takeText(owner.body(this as unknown as T));
      return JSONParse(typeof text === 'string' ? text : await text);
    },
    async text(): Promise<string> {
      return takeText(owner.body(this as unknown as T));
    },
  };
  const descriptors = Object.getOwnPropertyDescriptors(members) as Record<string, PropertyDescriptor>;
  for (const name of Object.keys(descriptors)) ObjectDefineProperty(prototype, name, descriptors[name]);
}

/** The type of a blob made of a body: that of the header, in its shortest form, when it is one. */
function mimeForBlob(type: string): string {
  const mime = parseMime(type);
  return mime === null ? '' : serializeMime(mime);
}
