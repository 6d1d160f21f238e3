/** `node:stream`: the package `readable-stream`, which is that of Node.js, with conversions from and to web streams. */

import stream from 'readable-stream';
import { duplexFromWeb, fromReadable, fromWritable, toReadable, toWritable } from '../internal/web_streams.ts';

stream.Readable.toWeb = fromReadable;
stream.Readable.fromWeb = toReadable;
stream.Writable.toWeb = fromWritable;
stream.Writable.fromWeb = toWritable;
stream.Duplex.toWeb = (duplex: unknown) => ({ readable: fromReadable(duplex), writable: fromWritable(duplex) });
stream.Duplex.fromWeb = duplexFromWeb;

/** As in Node.js the module is the constructor of legacy streams. */
const { Stream } = stream;
const { promises } = Stream;

export const {
  _isUint8Array,
  _uint8ArrayToBuffer,
  addAbortSignal,
  compose,
  destroy,
  Duplex,
  finished,
  isDisturbed,
  isErrored,
  isReadable,
  PassThrough,
  pipeline,
  Readable,
  Transform,
  Writable,
} = stream;
export const getDefaultHighWaterMark = (objectMode: boolean): number => (objectMode ? 16 : 16 << 10);
export { promises, Stream };
export default Stream;
