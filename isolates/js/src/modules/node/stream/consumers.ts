/** `node:stream/consumers`: the whole of a stream, of Node.js or of the web. */

import { Buffer } from '../buffer.ts';

type Source = AsyncIterable<Uint8Array | string>;

export async function buffer(source: Source): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(typeof part === 'string' ? Buffer.from(part) : part);
  return Buffer.concat(parts);
}

export const arrayBuffer = async (source: Source): Promise<ArrayBuffer> => Uint8Array.from(await buffer(source)).buffer;
export const text = async (source: Source): Promise<string> => new TextDecoder().decode(await arrayBuffer(source));
export const json = async (source: Source): Promise<unknown> => JSON.parse(await text(source));
export const blob = async (source: Source): Promise<Blob> => new Blob([await arrayBuffer(source)]);
export default { arrayBuffer, blob, buffer, json, text };
