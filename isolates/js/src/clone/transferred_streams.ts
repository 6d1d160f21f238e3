/**
 * Streams that are transferred (Streams §4.2.5, §5.2.5 and §6.2.4): the given one is locked for good, and a new one
 * passes clones of its chunks on. The standard has a pair of message ports between the two, for realms that share
 * nothing; here they are in one isolate, and each is asked as the other is.
 */

import { ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, uncurryThis } from '../primordials.ts';
import {
  cancelReader,
  isReadableStream,
  ReadableStream,
  type Reader,
  readFrom,
  streamInterfaces,
  TransformStream,
  WritableStream,
} from '../streams.ts';

type Stream = ReadableStream<unknown> | WritableStream<unknown> | TransformStream<unknown, unknown>;
type Copy = (value: unknown) => unknown;

const { ReadableStreamDefaultReader, WritableStreamDefaultWriter } = streamInterfaces;
type Writer = InstanceType<typeof WritableStreamDefaultWriter>;

const readableLocked = accessor<boolean>(ReadableStream.prototype, 'locked');
const writableLocked = accessor<boolean>(WritableStream.prototype, 'locked');
const readableSide = accessor<Stream>(TransformStream.prototype, 'readable');
const writableSide = accessor<Stream>(TransformStream.prototype, 'writable');
const write = uncurryThis(WritableStreamDefaultWriter.prototype.write) as unknown as (
  writer: Writer,
  chunk: unknown,
) => Promise<void>;
const close = uncurryThis(WritableStreamDefaultWriter.prototype.close) as unknown as (writer: Writer) => Promise<void>;
const abort = uncurryThis(WritableStreamDefaultWriter.prototype.abort) as unknown as (
  writer: Writer,
  reason: unknown,
) => Promise<void>;
const whenClosed = uncurryThis(
  ObjectGetOwnPropertyDescriptor(WritableStreamDefaultWriter.prototype, 'closed')!.get as () => Promise<void>,
) as unknown as (writer: Writer) => Promise<void>;

/** An accessor of the platform's, which throws a TypeError for an object that merely inherits from the prototype. */
function accessor<T>(prototype: object, name: string): (stream: Stream) => T {
  return uncurryThis(ObjectGetOwnPropertyDescriptor(prototype, name)!.get as () => T) as unknown as (
    stream: Stream,
  ) => T;
}

export function isTransferableStream(value: unknown): value is Stream {
  if (!isReadableStream(value) && !(value instanceof WritableStream) && !(value instanceof TransformStream))
    return false;
  try {
    isLockedStream(value);
    return true;
  } catch {
    return false;
  }
}

/** What a stream consists of besides itself: the two sides of a TransformStream. */
export function sidesOf(stream: Stream): Stream[] {
  return stream instanceof TransformStream ? [readableSide(stream), writableSide(stream)] : [];
}

/** A stream with a reader, a writer or a pipe cannot be transferred. @throws TypeError when it is none. */
export function isLockedStream(stream: Stream): boolean {
  if (isReadableStream(stream)) return readableLocked(stream);
  if (stream instanceof WritableStream) return writableLocked(stream);
  return isLockedStream(readableSide(stream)) || isLockedStream(writableSide(stream));
}

/** The stream that stands for `stream`, which is not locked, from now on. `copy` is the structured clone. */
export function transferStream(stream: Stream, copy: Copy): Stream {
  if (isReadableStream(stream)) return transferReadable(stream, copy);
  if (stream instanceof WritableStream) return transferWritable(stream, copy);
  const [readable, writable] = sidesOf(stream);
  const moved = Object.create(TransformStream.prototype) as TransformStream<unknown, unknown>;
  const slots = {
    _readable: transferStream(readable, copy),
    _writable: transferStream(writable, copy),
    // Its existence is what the stream is known by.
    _transformStreamController: undefined,
  };
  for (const [name, value] of Object.entries(slots)) ObjectDefineProperty(moved, name, { value, writable: true });
  return moved;
}

function transferReadable(stream: ReadableStream<unknown>, copy: Copy): ReadableStream<unknown> {
  const reader = new ReadableStreamDefaultReader(stream) as unknown as Reader;
  return new ReadableStream<unknown>(
    {
      async pull(controller) {
        const next = await readFrom(reader).catch((error: unknown) => {
          throw copyOfError(error, copy);
        });
        if (next.done) {
          controller.close();
          return;
        }
        try {
          controller.enqueue(copy(next.value));
        } catch (error) {
          cancelReader(reader, error).catch(ignore);
          throw error;
        }
      },
      cancel: (reason) => cancelReader(reader, copyOfError(reason, copy)),
    },
    { highWaterMark: 0 },
  );
}

function transferWritable(stream: WritableStream<unknown>, copy: Copy): WritableStream<unknown> {
  const writer = new WritableStreamDefaultWriter(stream) as unknown as Writer;
  return new WritableStream<unknown>({
    start(controller) {
      whenClosed(writer).catch((error: unknown) => controller.error(copyOfError(error, copy)));
    },
    write(chunk) {
      let copied: unknown;
      try {
        copied = copy(chunk);
      } catch (error) {
        abort(writer, error).catch(ignore);
        throw error;
      }
      return write(writer, copied);
    },
    close: () => close(writer),
    abort: (reason) => abort(writer, copyOfError(reason, copy)),
  });
}

/** A clone of a reason, or, if it has none, the error that says so. */
function copyOfError(error: unknown, copy: Copy): unknown {
  try {
    return copy(error);
  } catch (refused) {
    return refused;
  }
}

function ignore(): void {}
