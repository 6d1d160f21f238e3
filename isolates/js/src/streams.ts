/** The Streams standard, from web-streams-polyfill, with what Fetch needs to know of a stream beyond its interface. */

import {
  ByteLengthQueuingStrategy,
  CountQueuingStrategy,
  ReadableByteStreamController,
  ReadableStream,
  ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  TransformStream,
  TransformStreamDefaultController,
  WritableStream,
  WritableStreamDefaultController,
  WritableStreamDefaultWriter,
} from 'web-streams-polyfill';
import { ObjectDefineProperty, ObjectGetPrototypeOf, ObjectSetPrototypeOf } from './primordials.ts';

/** Every interface of the standard, by its global name. */
export const streamInterfaces = {
  ByteLengthQueuingStrategy,
  CountQueuingStrategy,
  ReadableByteStreamController,
  ReadableStream,
  ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  TransformStream,
  TransformStreamDefaultController,
  WritableStream,
  WritableStreamDefaultController,
  WritableStreamDefaultWriter,
};

export { ReadableStream, TransformStream, WritableStream };

export function isReadableStream(value: unknown): value is ReadableStream<unknown> {
  return value instanceof ReadableStream;
}

/** Whether anything was ever read from the stream, or it was cancelled: "is disturbed" of the standard. */
export function isDisturbed(stream: ReadableStream<unknown>): boolean {
  return (stream as unknown as { _disturbed: boolean })._disturbed;
}

export function isByteStream(stream: ReadableStream<unknown>): boolean {
  const { _readableStreamController: controller } = stream as unknown as { _readableStreamController: unknown };
  return controller instanceof ReadableByteStreamController;
}

for (const [name, Interface] of Object.entries(streamInterfaces)) {
  // The bundler renames what would clash.
  if (Interface.name !== name) ObjectDefineProperty(Interface, 'name', { value: name, configurable: true });
}

const AsyncIteratorPrototype = ObjectGetPrototypeOf(ObjectGetPrototypeOf(async function* () {}.prototype)) as object;
const iterator = (new ReadableStream() as unknown as { values(): object }).values();
ObjectSetPrototypeOf(ObjectGetPrototypeOf(iterator), AsyncIteratorPrototype);
