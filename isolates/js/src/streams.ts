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
import { ObjectDefineProperty, ObjectGetPrototypeOf, ObjectSetPrototypeOf, uncurryThis } from './primordials.ts';

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

export type Reader = InstanceType<typeof ReadableStreamDefaultReader>;

/** `stream.getReader()`, whatever an app makes of that. @throws TypeError when the stream has a reader. */
export function readerOf(stream: ReadableStream<unknown>): Reader {
  return new ReadableStreamDefaultReader(stream) as unknown as Reader;
}

/** `reader.read()`, whatever an app makes of that. */
export const readFrom = uncurryThis(ReadableStreamDefaultReader.prototype.read) as unknown as (
  reader: Reader,
) => Promise<{ done: boolean; value: unknown }>;

/** `reader.cancel(reason)`, the same. */
export const cancelReader = uncurryThis(ReadableStreamDefaultReader.prototype.cancel) as unknown as (
  reader: Reader,
  reason: unknown,
) => Promise<void>;

export function isReadableStream(value: unknown): value is ReadableStream<unknown> {
  return value instanceof ReadableStream;
}

/** Whether anything was ever read from the stream, or it was cancelled: "is disturbed" of the standard. */
export function isDisturbed(stream: ReadableStream<unknown>): boolean {
  return (stream as unknown as { _disturbed: boolean })._disturbed;
}

/** What becomes of one read: exactly one of the three is called. */
interface ReadSteps {
  _chunkSteps(chunk: unknown): void;
  _closeSteps(): void;
  _errorSteps(error: unknown): void;
}

const PULL_STEPS = Object.getOwnPropertySymbols(ReadableStreamDefaultController.prototype).find(
  ({ description }) => description === '[[PullSteps]]',
)!;

/** The standard's ReadableStreamDefaultReaderRead, on a stream that has a default reader. */
function readWith(stream: ReadableStream<unknown>, steps: ReadSteps): void {
  const state = stream as unknown as {
    _disturbed: boolean;
    _state: 'readable' | 'closed' | 'errored';
    _storedError: unknown;
    _readableStreamController: Record<symbol, (steps: ReadSteps) => void>;
  };
  state._disturbed = true;
  if (state._state === 'closed') steps._closeSteps();
  else if (state._state === 'errored') steps._errorSteps(state._storedError);
  else state._readableStreamController[PULL_STEPS](steps);
}

/**
 * Hands every chunk of a stream to `take`, to its end; the stream stays locked. What `take` throws cancels the stream and
 * rejects. No object is resolved with, as `Object.prototype.then` of app code would be asked about it.
 */
export async function readChunks(stream: ReadableStream<unknown>, take: (chunk: unknown) => void): Promise<void> {
  const reader = readerOf(stream);
  let open = true;
  while (open) {
    let chunk: unknown;
    await new Promise<void>((resolve, reject) => {
      readWith(stream, {
        _chunkSteps(value) {
          chunk = value;
          resolve();
        },
        _closeSteps() {
          open = false;
          resolve();
        },
        _errorSteps: reject,
      });
    });
    if (!open) return;
    try {
      take(chunk);
    } catch (error) {
      cancelReader(reader, error).catch(() => {});
      throw error;
    }
  }
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
