/** CompressionStream and DecompressionStream (Compression standard), over the host's zlib. */

import { currentRequestId } from './continuation.ts';
import { limitHitAgain } from './log.ts';
import { perform, resultWord, scratchData, scratchRoom } from './native.ts';
import { hasOwn, min, setBytes, sliceBytes, subarray } from './primordials.ts';
import { type ReadableStream, TransformStream, type WritableStream } from './streams.ts';
import { bytesView, defineInterface, isBufferSource, requireArguments } from './webidl.ts';

// The operations and refusals of isolates/compression.py.
const OPEN = 64;
const WRITE = 65;
const READ = 66;
const FINISH = 67;
const CLOSE = 68;
const BAD_DATA = -32;
const TOO_MANY = -33;

const FORMATS: Record<string, number> = { gzip: 1, deflate: 2, 'deflate-raw': 3, brotli: 4 };

type Enqueue = (chunk: Uint8Array<ArrayBuffer>) => void;

/** Closes streams that app code dropped half-way. Made by the first stream, since a snapshot could not hold it. */
let dropped: FinalizationRegistry<number> | null = null;

/** One direction of one stream at the host, opened by its first chunk. */
class Codec {
  readonly #format: number;
  readonly #decompress: boolean;
  #handle = 0;

  constructor(format: number, decompress: boolean) {
    this.#format = format;
    this.#decompress = decompress;
  }

  write(chunk: unknown, enqueue: Enqueue): void {
    if (!isBufferSource(chunk)) throw new TypeError('The chunk is not a buffer source');
    const bytes = bytesView(chunk);
    const room = scratchRoom();
    for (let at = 0; at < bytes.length;) {
      const end = min(bytes.length, at + room);
      const handle = this.#open();
      setBytes(scratchData(end - at), subarray(bytes, at, end));
      this.#take(perform(WRITE, handle, end - at), enqueue);
      at = end;
    }
  }

  finish(enqueue: Enqueue): void {
    this.#take(perform(FINISH, this.#open()), enqueue);
    this.close();
  }

  close(): void {
    if (this.#handle === 0) return;
    perform(CLOSE, this.#handle);
    dropped?.unregister(this);
    this.#handle = 0;
  }

  #open(): number {
    if (this.#handle !== 0) return this.#handle;
    this.#check(perform(OPEN, this.#format, this.#decompress ? 1 : 0));
    this.#handle = resultWord(1);
    dropped ??= new FinalizationRegistry((handle) => void perform(CLOSE, handle));
    dropped.register(this, this.#handle, this);
    return this.#handle;
  }

  #take(status: number, enqueue: Enqueue): void {
    for (;;) {
      this.#check(status);
      const size = resultWord(1);
      const more = resultWord(2);
      if (size > 0) enqueue(sliceBytes(scratchData(size)));
      if (more === 0) return;
      status = perform(READ, this.#handle);
    }
  }

  #check(status: number): void {
    if (status >= 0) return;
    this.close();
    if (status === BAD_DATA)
      throw new TypeError('The compressed data is damaged, incomplete, or has junk after its end');
    if (status === TOO_MANY) {
      const message = 'Too many compression streams are open';
      limitHitAgain('compression_streams', `${message} (limit compression_streams)`, currentRequestId());
      throw new RangeError(message);
    }
    throw new TypeError('The host does not offer compression');
  }
}

function makeTransform(format: unknown, decompress: boolean): TransformStream<unknown, Uint8Array> {
  const name = `${format as string}`;
  if (!hasOwn(FORMATS, name)) throw new TypeError(`${name} is not a compression format`);
  const codec = new Codec(FORMATS[name], decompress);
  return new TransformStream<unknown, Uint8Array>({
    transform(chunk, controller) {
      codec.write(chunk, (output) => controller.enqueue(output));
    },
    flush(controller) {
      codec.finish((output) => controller.enqueue(output));
    },
    cancel() {
      codec.close();
    },
  });
}

export class CompressionStream {
  #transform: TransformStream<unknown, Uint8Array>;

  constructor(format: string) {
    requireArguments(arguments.length, 1, "Failed to construct 'CompressionStream'");
    this.#transform = makeTransform(format, false);
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#transform.readable;
  }

  get writable(): WritableStream<unknown> {
    return this.#transform.writable;
  }
}

export class DecompressionStream {
  #transform: TransformStream<unknown, Uint8Array>;

  constructor(format: string) {
    requireArguments(arguments.length, 1, "Failed to construct 'DecompressionStream'");
    this.#transform = makeTransform(format, true);
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#transform.readable;
  }

  get writable(): WritableStream<unknown> {
    return this.#transform.writable;
  }
}

defineInterface(CompressionStream, 'CompressionStream');
defineInterface(DecompressionStream, 'DecompressionStream');
