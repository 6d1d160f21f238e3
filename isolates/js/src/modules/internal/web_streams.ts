/** Streams of Node.js as web streams, and the other way round. */

import stream from 'readable-stream';

type Any = any;

/** A ReadableStream of what a Readable gives, read only as fast as it is asked for. */
export function fromReadable(readable: Any): ReadableStream {
  const iterator: AsyncIterator<unknown> = readable[Symbol.asyncIterator]();
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(typeof value === 'string' ? new TextEncoder().encode(value) : value);
      },
      async cancel(reason) {
        readable.destroy(reason instanceof Error ? reason : undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

export function toReadable(source: ReadableStream, options: object = {}): Any {
  return stream.Readable.from(chunksOf(source), { objectMode: false, ...options });
}

async function* chunksOf(source: ReadableStream): AsyncGenerator<unknown> {
  const reader = source.getReader();
  let finished = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield value;
    }
    finished = true;
  } finally {
    if (!finished) await reader.cancel();
    reader.releaseLock();
  }
}

export function fromWritable(writable: Any): WritableStream {
  return new WritableStream({
    write: (chunk) => called((done) => writable.write(chunk, done)),
    close: () => called((done) => writable.end(done)),
    abort(reason) {
      writable.destroy(reason instanceof Error ? reason : undefined);
    },
  });
}

export function toWritable(target: WritableStream): Any {
  const writer = target.getWriter();
  return new stream.Writable({
    write(chunk: unknown, _encoding: string, done: (error?: unknown) => void) {
      writer.write(chunk).then(() => done(), done);
    },
    final(done: (error?: unknown) => void) {
      writer.close().then(() => done(), done);
    },
    destroy(error: unknown, done: (error?: unknown) => void) {
      const after = (): void => done(error);
      if (error) writer.abort(error).then(after, after);
      else after();
    },
  });
}

export function duplexFromWeb(pair: { readable: ReadableStream; writable: WritableStream }): Any {
  return stream.Duplex.from({ readable: toReadable(pair.readable), writable: toWritable(pair.writable) });
}

function called(start: (done: (error?: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));
}
